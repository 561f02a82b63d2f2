"""What exists in lmms-eval-hallu and how it is found: methods, model families, model ids, tasks.

Nothing here imports torch, transformers or lmms-eval; importing this package reads no file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from registry.cards import Card
    from registry.family import Family
    from registry.model_ids import ModelId
    from registry.task_folders import TaskInfo

    __version__: str

__all__ = ["DISTRIBUTION", "SENTINEL", "__version__", "families", "methods", "models", "tasks"]

DISTRIBUTION = "lmms-eval-hallu"
SENTINEL = "lmms-eval-hallu"
"""Tells this package from a stray ``registry.py`` in the working directory."""


def methods() -> dict[str, Card]:
    """Card of every method by name, built-in ones first, then those of other distributions.

    Raises ``CardError`` for a malformed built-in card.
    """
    from registry import lazy

    return {name: lazy.listed(name) for name in lazy.interventions().names()}


def families() -> dict[str, Family]:
    """Model family by id."""
    from registry import family

    return dict(family.load())


def models() -> dict[str, ModelId]:
    """Model id (what ``lmms-eval --model`` takes) by its text. Reads no card."""
    from registry import model_ids

    return dict(model_ids.table())


def tasks() -> dict[str, TaskInfo]:
    """Task or group by the name that ``lmms-eval --tasks`` takes, from every known task folder."""
    from registry import task_folders

    return task_folders.tasks()


def __getattr__(name: str) -> str:
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import metadata

    try:
        return metadata.version(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        return "0+unknown"
