"""Which benchmarks there are. Each is a folder with an ``entry.py``, and a line in `ENTRIES`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from hallu_tasks.amber import entry as amber
from hallu_tasks.benchmark import Benchmark
from hallu_tasks.chair import entry as chair
from hallu_tasks.crpe import entry as crpe
from hallu_tasks.dash_b import entry as dash_b
from hallu_tasks.data.documents import Documents
from hallu_tasks.estimates.scorer import Scorer
from hallu_tasks.hallusion import entry as hallusion
from hallu_tasks.mme import entry as mme
from hallu_tasks.mmvp import entry as mmvp
from hallu_tasks.pope import entry as pope
from hallu_tasks.runs import record_check
from hallu_tasks.runs.results import Sample
from hallu_tasks.textvqa import entry as textvqa

__all__ = ["BENCHMARKS", "ENTRIES", "SCORERS", "TASKS", "Entry", "of"]


class Entry(Protocol):
    """What the ``entry.py`` of a benchmark holds."""

    KINDS: tuple[Benchmark, ...]
    """The kinds of its tasks, in the order in which their blocks are shown."""
    DOCUMENTS: Mapping[str, Documents]
    """Which documents each of its tasks asks about."""
    SCORERS: tuple[Scorer, ...]
    """What ``hallu score`` can score of it."""


ENTRIES: tuple[Entry, ...] = (
    chair,
    pope,
    dash_b,
    crpe,
    mmvp,
    mme,
    amber,
    textvqa,
    hallusion,
)

BENCHMARKS = tuple(sorted((kind for entry in ENTRIES for kind in entry.KINDS), key=lambda kind: kind.guard))
"""In the order in which their blocks are shown."""

TASKS: Mapping[str, Documents] = {task: documents for entry in ENTRIES for task, documents in entry.DOCUMENTS.items()}
"""Every task that needs data from outside this package, in the order of the benchmarks."""

SCORERS: Mapping[str, Scorer] = {scorer.name: scorer for entry in ENTRIES for scorer in entry.SCORERS}
"""What ``hallu score`` takes, by name."""


def of(samples: Mapping[int, Sample]) -> Benchmark | None:
    """The benchmark whose records the samples carry, ``None`` if there is none.

    Raises `ValueError` that names file and line where some do not, or carry what no scorer writes.
    """
    for benchmark in BENCHMARKS:
        records = {document: benchmark.written(sample) for document, sample in samples.items()}
        place = {document: sample.place or f"document {document}" for document, sample in samples.items()}
        if samples and not any(record is not None for record in records.values()):
            continue
        for document, record in records.items():
            if record is None:
                raise ValueError(
                    f"{place[document]} has no record of {benchmark.title}, as others of the task do "
                    f"({', '.join(sorted(benchmark.columns))}); it was edited or damaged, so rerun lmms-eval"
                )
        # A record stands under every metric, under some with more fields.
        found = [
            (place[document], one)
            for document, record in records.items()
            for one in samples[document].records.values()
            if one is record or (one != record and not benchmark.columns.isdisjoint(one))
        ]
        record_check.require(found, benchmark.image, benchmark.columns, benchmark.allowed)
        return benchmark
    return None
