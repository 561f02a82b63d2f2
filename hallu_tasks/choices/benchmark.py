"""Records and metrics of questions that count in sets."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import Any

from hallu_tasks.benchmark import FLAG, Benchmark, Metric, PerSample, Record, correct, unparsed, unread
from hallu_tasks.scoring import choices
from hallu_tasks.scoring.choices import Sets

__all__ = ["benchmark"]


def benchmark(id: str, title: str, sets: Sets, label: str, resampled: str, unit: str) -> Benchmark:
    """A benchmark of `sets`, whose score is called `label`; `unit` is the field of what is resampled."""

    def metrics(records: Iterable[Record]) -> list[Metric]:
        found = sets.statistics
        return [
            Metric(sets.score, label, found[sets.score], "higher", outcome="sets_correct"),
            Metric("accuracy", "accuracy", found["accuracy"], "higher"),
            Metric("unparsed_count", "unparsed", unparsed, "lower", "answers", headline=False),
        ]

    def documents(metric: Metric, records: Mapping[int, Record]) -> tuple[dict[Any, Record], dict[Any, Hashable]]:
        units = {record[sets.key]: record[unit] for record in records.values()}
        return {**sets.sums(records.values())}, units

    def whole(records: Mapping[int, Record]) -> dict[int, Record]:
        kept = {record[sets.key] for record in sets.whole(records.values())[0]}
        return {document: record for document, record in records.items() if record[sets.key] in kept}

    return Benchmark(
        id=id,
        title=title,
        unit="percent",
        noun="questions",
        columns=frozenset({"image_id", sets.key, "correct", "unparsed"}),
        image="image_id",
        rule="policy",
        metrics=metrics,
        documents=documents,
        scored=whole,
        resampled=resampled,
        allowed={"correct": FLAG, "unparsed": FLAG, "policy": choices.POLICIES},
        right=correct,
        per_sample=PerSample(lambda record: "accuracy", lambda record: float(record["correct"])),
        unread=unread,
    )
