"""Models as published tables name them: which family and which weights they are."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from registry.files import data_file
from registry.model_families import family

__all__ = ["PublishedModel", "load", "read"]


@dataclass(frozen=True)
class PublishedModel:
    """``checkpoint`` is an id on the Hub; ``open`` is what the name leaves open, ``None`` where it is exact."""

    name: str
    family: str
    checkpoint: str
    open: str | None


@functools.cache
def load() -> Mapping[str, PublishedModel]:
    """Every model by its published name. Raises ``CardError`` for a malformed file."""
    return MappingProxyType(read(Path(__file__).with_name("published.yaml")))


def read(path: Path) -> dict[str, PublishedModel]:
    """The models in a file. Raises ``CardError`` with file and key, also for a family that does not exist."""
    top = data_file.open_file(path)
    found = {}
    for name in top.all():
        section = top.section(name)
        found[name] = PublishedModel(
            name=name,
            family=section.choice("family", tuple(family.load())),
            checkpoint=section.text("checkpoint"),
            open=section.optional_text("open"),
        )
        section.finish()
    return found
