"""Which groups of tasks a comparison shows: those whose own numbers papers state, where all arms have all tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hallu_tasks.benchmark import Benchmark
from hallu_tasks.runs.results import Run

__all__ = ["find", "parts"]


def find(runs: Sequence[Run], shared: Mapping[str, Benchmark]) -> dict[str, tuple[str, ...]]:
    """The tasks of each group, in the order of the `shared` ones.

    lmms-eval records the groups that a run was asked for. It is enough that one run was, but no two may mean other
    tasks by the name. Groups of the same tasks are one, by the first name.
    """
    recorded: dict[str, set[frozenset[str]]] = {}
    for run in runs:
        for name, below in run.groups.items():
            recorded.setdefault(name, set()).add(frozenset(below))
    found: dict[tuple[str, ...], str] = {}
    for name, meanings in recorded.items():
        for meant in meanings:
            tasks = tuple(task for task in shared if task in meant)
            if len(meanings) == 1 and len(tasks) == len(meant) and _has_scores([shared[task] for task in tasks]):
                found.setdefault(tasks, name)
    return {name: tasks for tasks, name in found.items()}


def parts(name: str, tasks: Sequence[str]) -> str:
    """What a group stands for, and how to see it: ``hallu_pope stands for random, popular; ...``."""
    listed = ", ".join(task.removeprefix(f"{name}_") for task in tasks)
    return f"{name} stands for {listed}; --all shows each of them too"


def _has_scores(benchmarks: Sequence[Benchmark]) -> bool:
    first, *others = benchmarks
    return bool(others) and first.group is not None and all(other is first for other in others)
