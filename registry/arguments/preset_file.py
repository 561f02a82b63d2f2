"""Preset files: a method's parameters for one model, found by ``hallu calibrate``, used by ``preset=FILE``.

One that lies in the checkpoint's own folder, as ``presets/<method>.yaml``, is used where no other is named; and so are
directions in ``presets/<method>.safetensors``.

The file is YAML, named ``*.yaml``::

    method: vhr
    model: llava-hf/llava-1.5-7b-hf
    depth: 32
    parameters:
      layers: 1+18-31
    how: what was measured, the rule, and what the figures under "measured" are
    measured:
      layer 0: ...
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from registry.cards.parameter import show
from registry.errors import BadArgument
from registry.files.data_file import open_file
from registry.plugins import lazy

KEY = "preset"
ENDING = ".yaml"
FOLDER = "presets"
"""In a checkpoint's folder: what was found on this checkpoint, a file a method."""
DIRECTIONS, TENSORS = "directions", ".safetensors"
"""A parameter that takes a file, and that file's ending."""


@dataclass(frozen=True)
class PresetFile:
    """Parameters of ``method`` for ``model``, whose decoder has ``depth`` layers (None: a file that they name knows).

    ``how`` says where they come from.

    ``measured`` holds the figures behind them, each under what it belongs to.
    """

    method: str
    model: str
    depth: int | None
    parameters: Mapping[str, object]
    how: str
    measured: Mapping[str, object] = field(default_factory=dict)

    def text(self) -> str:
        """The file's contents."""
        yaml = importlib.import_module("yaml")
        return str(yaml.safe_dump({**vars(self)}, sort_keys=False, allow_unicode=True, width=110))

    def require_depth(self, depth: int) -> None:
        """Raise ``BadArgument`` for a model with another number of layers: its layers have other roles."""
        if self.depth not in (None, depth):
            raise BadArgument(
                f"{self.method}: the preset file was found on {self.model} with {self.depth} layers, and this model "
                f"has {depth}; run `hallu calibrate --method {self.method}` on this model"
            )


def read(path: Path) -> PresetFile:
    """The preset in a file. Raises ``CardError``, a ``ValueError``, that names the file and the key."""
    top = open_file(path)
    found = PresetFile(
        method=top.text("method"),
        model=top.text("model"),
        depth=top.whole("depth"),
        parameters=top.mapping("parameters"),
        how=top.text("how"),
        measured=top.mapping("measured", required=False),
    )
    top.finish()
    return found


def beside(checkpoint: Path | None, method: str) -> PresetFile | None:
    """What a checkpoint's own folder holds for a method. Raises ``CardError`` for a malformed file."""
    if checkpoint is None:
        return None
    file, tensors = (checkpoint / FOLDER / f"{method}{ending}" for ending in (ENDING, TENSORS))
    if not file.is_file():
        known = PresetFile(method, str(checkpoint), None, {DIRECTIONS: str(tensors)}, "")
        return known if tensors.is_file() else None
    found = read(file)
    if found.method != method:
        raise BadArgument(f"{file} holds parameters of {found.method}; name it {found.method}{ENDING}, or delete it")
    return found


def taken(values: Mapping[str, object], methods: Sequence[str]) -> tuple[PresetFile | None, dict[str, object]]:
    """The file that ``preset=FILE`` among the arguments names, and the other arguments.

    A value that does not end in ``.yaml`` belongs to the method that has a parameter of this name. Raises
    ``BadArgument`` where there is none, and for a file of another method; ``CardError`` for a malformed file.
    """
    name = values.get(KEY)
    if name is None:
        return None, dict(values)
    if not str(name).endswith(ENDING):
        if any(lazy.card(method).parameter(KEY) for method in methods):
            return None, dict(values)
        raise BadArgument(
            f"{KEY}={show(name)} is no preset file: its name ends in {ENDING}, and `hallu calibrate` writes it"
        )
    found = read(Path(str(name)).expanduser())
    if found.method not in methods:
        raise BadArgument(
            f"{KEY}={name} holds parameters of {found.method}, and the method in use is {'+'.join(methods) or 'none'}; "
            f"use it with {found.method}, or run `hallu calibrate` for the other method"
        )
    return found, {key: value for key, value in values.items() if key != KEY}
