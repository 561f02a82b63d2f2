"""TextVQA's records and its metric."""

from __future__ import annotations

from collections.abc import Iterable

from hallu_tasks.benchmark import Benchmark, Metric, PerSample, Record, counts
from hallu_tasks.scoring import textvqa

__all__ = ["TEXTVQA"]


def _metrics(records: Iterable[Record]) -> list[Metric]:
    return [Metric("accuracy", "accuracy", textvqa.STATISTICS["accuracy"], "higher")]


TEXTVQA = Benchmark(
    id="textvqa",
    title="TextVQA",
    unit="percent",
    noun="questions",
    columns=frozenset({"image_id", "questions", "tenths"}),
    image="image_id",
    rule=None,
    metrics=_metrics,
    documents=counts,
    allowed={"questions": (1,), "tenths": range(11)},
    right=lambda record: record["tenths"] >= 5,
    per_sample=PerSample(lambda record: "accuracy", lambda record: record["tenths"] / 10),
    guard=True,
)
