"""What lmms-eval asks of a model class, and how it learns of one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from registry.runner.mismatch import RunnerMismatch, member, part

ASKED = frozenset({"loglikelihood", "generate_until", "generate_until_multi_round"})
"""The methods that lmms-eval calls for a task's answers."""

_OF = "the class lmms"
_GIVEN = ("is_simple", "rank", "world_size", "clean", "_resolve_system_prompt", "_apply_system_prompt", *sorted(ASKED))


def base() -> Any:
    """The class that lmms-eval takes as a model.

    Raises `RunnerMismatch` where it has not what models rely on, or asks for methods that nobody here has written.
    """
    kind = part("api.model", "lmms")
    for name in _GIVEN:
        member(kind, name, _OF)
    if unknown := sorted(getattr(kind, "__abstractmethods__", frozenset()) - ASKED):
        raise RunnerMismatch(f"{_OF} of lmms-eval asks for methods that no model of this package has: {unknown}")
    return kind


def place(model: Any, rank: int, processes: int) -> None:
    """Tell the evaluator which of how many processes a model is in; it hands out documents by these.

    Raises `RunnerMismatch` where it would be told otherwise: every process would answer the same documents.
    """
    model._rank, model._world_size = rank, processes
    told = member(model, "rank", _OF), member(model, "world_size", _OF)
    if told != (rank, processes):
        raise RunnerMismatch(
            f"{_OF} of lmms-eval takes this for process {told[0]} of {told[1]}, and it is {rank} of {processes}"
        )
    if not isinstance(getattr(model, "task_dict", None), dict):
        raise RunnerMismatch(f"{_OF} of lmms-eval has no task_dict, the documents that models read")


def documents(given: Any, task: str, split: str) -> Any:
    """A task's documents by number, of a model's ``task_dict``. Raises `RunnerMismatch` where it has none."""
    try:
        return given[task][split]
    except (KeyError, TypeError, IndexError) as error:
        raise RunnerMismatch(
            f"lmms-eval asks about documents of task {task}, split {split}, which its task_dict does not hold"
        ) from error


def manifests(classes: Iterable[tuple[str, str]]) -> list[Any]:
    """What the entry point gives, of pairs of a model id and the path of its class, which takes conversations.

    lmms-eval is half imported at this point, so nothing but its registry is looked at. Raises `RunnerMismatch`.
    """
    manifest = part("models.registry_v2", "ModelManifest")
    try:
        return [manifest(model_id=name, chat_class_path=path) for name, path in classes]
    except TypeError as error:
        raise RunnerMismatch(f"ModelManifest of lmms-eval is made otherwise: {error}") from error
