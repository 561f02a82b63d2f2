"""The arguments of a method or a composition, parsed once: what holds for every model that they are bound to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from registry.arguments import params, preset_file
from registry.arguments.preset_file import PresetFile
from registry.plugins import lazy

__all__ = ["MethodArguments", "parse"]


@dataclass(frozen=True)
class MethodArguments:
    """``values`` by method, in the order written, with the types of its fields; ``preset`` is the file behind some."""

    values: Mapping[str, Mapping[str, Any]]
    preset: PresetFile | None = None

    def require_depth(self, depth: int) -> None:
        """Raise ``BadArgument`` where the preset file is of a model with another number of layers."""
        if self.preset:
            self.preset.require_depth(depth)


def parse(method: str | None, given: Mapping[str, object], reserved: Iterable[str] = ()) -> MethodArguments:
    """Sort, coerce and check arguments, and read the preset file that one of them may name.

    ``method`` is a name or a composition such as ``"vhr+pai"``; None is no method. A name may say which method it is
    of (``vhr.alpha``). ``reserved`` are names that the caller takes itself, for messages. Raises ``BadArgument`` for
    what is unknown, malformed or out of range, ``CardError`` for a malformed preset file, and what
    ``lazy.composition`` and ``lazy.resolve`` raise.
    """
    names = lazy.composition(method) if method is not None else ()
    preset, rest = preset_file.taken(given, names)
    split, _ = params.split_arguments(rest, method, reserved)
    values = {}
    for name in names:
        kind = lazy.resolve(name)
        own = {**preset.parameters, **split[name]} if preset and preset.method == name else split[name]
        values[name] = params.coerce(kind, own, card=kind.card(), method=name)
    return MethodArguments(values, preset)
