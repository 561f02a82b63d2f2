"""Model ids: what stands behind ``lmms-eval --model``. Families times methods, and the generic ``hallu``."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from registry.errors import UnknownName
from registry.model_families import family
from registry.plugins import lazy

GENERIC = "hallu"
"""The id that takes any checkpoint and any method or composition through ``--model_args``."""

CONTROL = "base"
"""``<family>_base``: the control arm, the same adapter and prompt without a method."""


@dataclass(frozen=True)
class ModelId:
    """``family`` and ``method`` are None where the id leaves them to ``--model_args``.

    ``method`` is also None for the control arm. ``class_path`` is what lmms-eval imports.
    """

    id: str
    family: str | None
    method: str | None
    class_path: str


@functools.cache
def table() -> Mapping[str, ModelId]:
    """Every id: ``hallu``, then per family the control arm and each method. Reads no card."""
    return MappingProxyType(build(family.load(), lazy.interventions().names()))


def build(families: Iterable[str], methods: Iterable[str]) -> dict[str, ModelId]:
    """The table for these families and methods; of two pairs that spell the same id the first one counts."""
    methods = list(methods)
    found = {GENERIC: _row(GENERIC, None, None)}
    for name in families:
        found.setdefault(f"{name}_{CONTROL}", _row(f"{name}_{CONTROL}", name, None))
        for method in methods:
            found.setdefault(f"{name}_{method}", _row(f"{name}_{method}", name, method))
    return found


def split(model_id: str) -> tuple[str | None, str | None]:
    """``"llava_vhr"`` as ``("llava", "vhr")``, ``"llava_base"`` as ``("llava", None)``, ``"hallu"`` as Nones.

    Raises ``UnknownName`` with near matches.
    """
    row = table().get(model_id)
    if row is None:
        raise UnknownName("model", model_id, table(), "hallu models")
    return row.family, row.method


def _row(model_id: str, family_id: str | None, method: str | None) -> ModelId:
    return ModelId(model_id, family_id, method, f"hallu_models.models.{model_id}")
