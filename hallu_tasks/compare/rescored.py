"""The same answers under other labels, where the user has these: POPE's questions with RePOPE's."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hallu_tasks.benchmark import Benchmark
from hallu_tasks.runs.results import Run

__all__ = ["Again", "found"]

Records = Mapping[int, Mapping[str, Any]]


@dataclass(frozen=True)
class Again:
    """A task or group under its other `name`; `records` by task and arm. `limited` is that of `comparison.Block`."""

    name: str
    kind: Benchmark
    records: Mapping[str, Sequence[Records]]
    limited: tuple[int, int] | None


def found(
    name: str,
    by_task: Mapping[str, Sequence[Records]],
    benchmark: Benchmark,
    runs: Sequence[Run],
    shared: Collection[str],
    notes: list[str],
) -> Again | None:
    """A task or a group of tasks scored again; ``None`` where there are no other labels or all arms ran with them.

    `notes` gets why labels that are there cannot be used, and how many of their questions were not asked.
    """
    rescored = benchmark.rescored
    other = rescored.name(name) if rescored else None
    names = [rescored.name(task) for task in by_task] if rescored else []
    if rescored is None or other is None or None in names or any(one in shared for one in names):
        return None
    records: dict[str, list[Records]] = {}
    every = asked = 0
    for task, arms in by_task.items():
        try:
            labels = rescored.labels(task)
        except ValueError as error:
            notes.append(f"{other} is left out: {error}")
            return None
        if labels is None:
            return None
        samples = [run.tasks[task].samples for run in runs]
        keys = {document: rescored.asked(record, samples[0][document]) for document, record in arms[0].items()}
        kept = {document: labels[key] for document, key in keys.items() if key in labels}
        if not kept:
            notes.append(f"{other} is left out: it labels none of the questions of {task}")
            return None
        records[task] = [
            {document: rescored.record(arm[document], texts[document], label) for document, label in kept.items()}
            for arm, texts in zip(arms, samples)
        ]
        every, asked = every + len(labels), asked + len(kept)
    limited = any(task in run.limited for task in by_task for run in runs)
    if asked < every and not limited:
        notes.append(f"{other}: {every - asked:,} of its {every:,} questions were not asked in {name}")
    return Again(other, rescored.kind, records, (asked, every) if limited else None)
