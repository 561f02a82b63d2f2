"""YAML files as plain data. PyYAML is imported on first use."""

from __future__ import annotations

import functools
import importlib
from pathlib import Path
from typing import Any


def read(path: Path) -> object:
    """The document in ``path``; a tag such as ``!function`` becomes None and nothing is executed.

    Raises ``ValueError`` for malformed text, ``OSError`` for an unreadable file.
    """
    yaml = _yaml()
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader=_loader())
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error


def _yaml() -> Any:
    return importlib.import_module("yaml")


@functools.cache
def _loader() -> Any:
    yaml = _yaml()
    base = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    # A class of its own: constructors are registered per class, and lmms-eval registers "!function" too.
    loader = type("Loader", (base,), {})
    yaml.add_multi_constructor("!", lambda _loader, _suffix, _node: None, Loader=loader)
    return loader
