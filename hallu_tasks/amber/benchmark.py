"""The records and metrics of AMBER's two halves."""

from __future__ import annotations

from collections.abc import Iterable

from hallu_tasks.benchmark import (
    FLAG,
    Benchmark,
    Discrimination,
    Metric,
    PerSample,
    Record,
    Span,
    correct,
    counts,
    unparsed,
    unread,
)
from hallu_tasks.runs.results import Sample
from hallu_tasks.scoring import amber
from hallu_tasks.scoring.yesno import YesNo

__all__ = ["DISCRIMINATIVE", "GENERATIVE"]


def _generative(records: Iterable[Record]) -> list[Metric]:
    table = amber.STATISTICS
    return [
        Metric("chair", "CHAIR", table["chair"], "lower"),
        Metric("cover", "Cover", table["cover"], "higher"),
        # Blank responses are neither right nor wrong.
        Metric("hal", "Hal", table["hal"], "lower", outcome="responses_hallucinated", among="responses_answered"),
        Metric("cog", "Cog", table["cog"], "lower"),
        Metric("mean_length", "mean length", table["mean_length"], None, "tokens"),
    ]


def _discriminative(records: Iterable[Record]) -> list[Metric]:
    table, listed = amber.STATISTICS, list(records)
    present = [group for group in amber.GROUPS if any(record[f"{group}.questions"] for record in listed)]
    return [
        Metric("accuracy", "accuracy", table["accuracy"], "higher", outcome="correct"),
        Metric("precision", "precision", table["precision"], "higher", headline=False),
        Metric("recall", "recall", table["recall"], "higher", headline=False),
        Metric("f1", "F1", table["f1"], "higher"),
        *(Metric(f"{group}_f1", f"{group} F1", table[f"{group}.f1"], "higher", headline=False) for group in present),
        Metric("unparsed_count", "unparsed", unparsed, "lower", "answers", headline=False),
    ]


def _said(record: Record, sample: Sample) -> YesNo | None:
    return None if record["unparsed"] else "no" if record["predicted_no"] else "yes"


def _rules(record: Record, sample: Sample) -> Record:
    return {**record, "rules": f"mode {record['mode']}, similarity {record['similarity']}"}


def _marked(sample: Sample) -> list[Span]:
    record = next((one for one in sample.records.values() if "hallucinated_nouns" in one), {})
    return amber.places(sample.answer, record.get("hallucinated_nouns", ()))


GENERATIVE = Benchmark(
    id="amber_generative",
    title="AMBER generative",
    unit="percent, mean length in tokens",
    noun="responses",
    columns=frozenset({"image_id", "responses", "nouns", "hallucinated", "covered", "marked", "similarity"}),
    image="image_id",
    rule="rules",
    metrics=_generative,
    documents=counts,
    allowed={
        "responses": (1,),
        "responses_answered": FLAG,
        "responses_hallucinated": FLAG,
        "mode": amber.MODES,
        "similarity": amber.SIMILARITIES,
    },
    right=lambda record: not record["responses_hallucinated"],
    per_sample=PerSample(lambda record: "hal", lambda record: float(record["hallucinated"] > 0), best=0.0),
    completed=_rules,
    marked=_marked,
)

DISCRIMINATIVE = Benchmark(
    id="amber_discriminative",
    title="AMBER discriminative",
    unit='percent, "no" is positive',
    noun="questions",
    columns=frozenset({"image_id", "questions", "correct", "predicted_no", "labelled_no", "relation.questions"}),
    image="image_id",
    rule="policy",
    metrics=_discriminative,
    documents=counts,
    allowed={"questions": (1,), "correct": FLAG, "unparsed": FLAG, "policy": amber.POLICIES},
    right=correct,
    per_sample=PerSample(lambda record: "accuracy", lambda record: float(record["correct"])),
    unread=unread,
    discrimination=Discrimination(
        lambda record, sample: "no" if record["labelled_no"] else "yes", _said, ("accuracy",), positive="no"
    ),
)
