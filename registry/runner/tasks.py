"""Tasks of lmms-eval, loaded outside of an evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from registry.runner.mismatch import RunnerMismatch, member, part


class Task(Protocol):
    """A task with its documents, and what it asks about one."""

    eval_docs: Any

    def doc_to_visual(self, doc: Any) -> Sequence[Any]: ...

    def doc_to_text(self, doc: Any) -> str: ...


def load(name: str, folders: Sequence[Path], *, builtin: bool) -> Task | None:
    """The task of a name in these folders, and with ``builtin`` among lmms-eval's own; None where there is none.

    Raises `RunnerMismatch` where tasks are found and loaded otherwise, and what the loading of its data raises.
    """
    manager_class, get = part("tasks", "TaskManager"), part("tasks", "get_task_dict")
    try:
        manager = manager_class(include_path=[str(folder) for folder in folders], include_defaults=builtin)
    except TypeError as error:
        raise RunnerMismatch(f"TaskManager of lmms-eval is made otherwise: {error}") from error
    if name not in member(manager, "all_subtasks", "TaskManager"):
        return None
    task: Task = get([name], manager)[name]
    for attribute in ("eval_docs", "doc_to_visual", "doc_to_text"):
        member(task, attribute, "a task")
    return task
