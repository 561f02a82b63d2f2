"""DASH-B's records and metrics."""

from __future__ import annotations

from collections.abc import Iterable

from hallu_tasks.benchmark import (
    FLAG,
    Benchmark,
    Discrimination,
    Metric,
    PerSample,
    Record,
    correct,
    counts,
    said_in,
    unparsed,
    unread,
)
from hallu_tasks.scoring import dash_b, yesno

__all__ = ["DASH_B"]


def _metrics(records: Iterable[Record]) -> list[Metric]:
    table = dash_b.STATISTICS
    return [
        Metric("accuracy", "accuracy", table["accuracy"], "higher", outcome="correct"),
        Metric("tnr", "TNR", table["tnr"], "higher", outcome="true_negative", among="absent"),
        Metric("tpr", "TPR", table["tpr"], "higher", outcome="true_positive", among="present"),
        Metric("harmonic_mean", "harmonic mean", dash_b.harmonic_mean, "higher"),
        Metric("yes_ratio", "yes ratio", table["yes_ratio"], None, headline=False),
        Metric("unparsed_count", "unparsed", unparsed, "lower", "answers", headline=False),
    ]


DASH_B = Benchmark(
    id="dash_b",
    title="DASH-B",
    unit="percent",
    noun="questions",
    columns=frozenset({"image_id", "questions", "correct", "absent", "present", "true_negative", "unparsed"}),
    image="image_id",
    rule="policy",
    metrics=_metrics,
    documents=counts,
    allowed={"questions": (1,), "correct": FLAG, "unparsed": FLAG, "policy": yesno.POLICIES},
    right=correct,
    per_sample=PerSample(lambda record: "accuracy", lambda record: float(record["correct"])),
    unread=unread,
    discrimination=Discrimination(
        lambda record, sample: "yes" if record["present"] else "no", said_in, ("accuracy", "harmonic_mean")
    ),
)
