"""Benchmarks and metrics of object hallucination for lmms-eval.

The scorers in `hallu_tasks.scoring` are pure functions; the task folders beside it are what
``lmms-eval --include_path "$(python -m hallu_tasks)"`` reads.
"""

from __future__ import annotations

import importlib
import os
import sys
import types
import warnings
from typing import Any

__all__ = ["path"]

_MOVED = {"doc": "hallu_tasks.data.doc", "truth_cache": "hallu_tasks.chair.truth_cache"}
"""Modules that pages or task files of others name, under their former names, which version 0.2 will not know."""


def path() -> str:
    """Return the absolute folder of this package, the value for lmms-eval's ``--include_path``."""
    return os.path.dirname(os.path.abspath(__file__))


class _Moved(types.ModuleType):
    """A module under its old name: what is taken from it comes from the new one, with a warning."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        place = _MOVED[self.__name__.rpartition(".")[2]]
        warnings.warn(
            f"{self.__name__} is {place} now; version 0.2 has no other name", DeprecationWarning, stacklevel=2
        )
        return getattr(importlib.import_module(place), name)


for _name in _MOVED:
    globals()[_name] = sys.modules[f"{__name__}.{_name}"] = _Moved(f"{__name__}.{_name}")
