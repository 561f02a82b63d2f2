"""MME's records and metrics: points of each subtask and total, on whole pairs of questions."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import Any, Literal

from hallu_tasks.benchmark import Benchmark, Discrimination, Metric, PerSample, Record
from hallu_tasks.runs.results import Sample
from hallu_tasks.scoring import mme, yesno
from hallu_tasks.scoring.yesno import YesNo

__all__ = ["MME", "image"]


def _metrics(records: Iterable[Record]) -> list[Metric]:
    present = {record["category"] for record in records}
    groups = {
        **{name: (name,) for name in mme.HALLUCINATION},
        **{name: mme.TOTALS[name] for name in ("hallucination", "perception", "cognition")},
        **{name: (name,) for name in mme.SUBTASKS if name not in mme.HALLUCINATION},
    }
    return [
        Metric(
            name,
            name,
            mme.statistic(name),
            "higher",
            "points",
            headline=name in (*mme.HALLUCINATION, *mme.TOTALS),
            subtasks=subtasks,
        )
        for name, subtasks in groups.items()
        if present.issuperset(subtasks)
    ]


def _pairs(metric: Metric, records: Mapping[int, Record]) -> tuple[dict[Any, Record], dict[Any, Hashable]]:
    chosen = [record for record in records.values() if record["category"] in metric.subtasks]
    pairs = mme.pairs(chosen)
    return {**pairs}, {(subtask, image): image for subtask, image in pairs}


def _whole_pairs(records: Mapping[int, Record]) -> dict[int, Record]:
    whole = {id(record) for record in mme.whole_pairs(records.values())[0]}
    return {document: record for document, record in records.items() if id(record) in whole}


def _right(record: Record) -> bool:
    return yesno.parse(record["prediction"], mme.POLICY) == yesno.label(record["answer"])


def _unread(record: Record) -> Literal["unparsed"] | None:
    return "unparsed" if yesno.parse(record["prediction"], mme.POLICY) is None else None


def _said(record: Record, sample: Sample) -> YesNo | None:
    return yesno.parse(record["prediction"], mme.POLICY)


def image(subtask: str, name: str) -> Hashable:
    """What is one image: the hallucination subtasks share COCO's, elsewhere names such as 0001.png begin anew."""
    return name if subtask in mme.HALLUCINATION else (subtask, name)


MME = Benchmark(
    id="mme",
    title="MME",
    unit="points",
    noun="questions",
    columns=frozenset({"image", "category", "answer", "prediction"}),
    image="image",
    rule=None,
    metrics=_metrics,
    documents=_pairs,
    allowed={"category": mme.SUBTASKS, "answer": ("Yes", "No", "yes", "no")},
    right=_right,
    per_sample=PerSample(lambda record: str(record["category"]), lambda record: float(_right(record))),
    scored=_whole_pairs,
    unread=_unread,
    policy=mme.POLICY,
    discrimination=Discrimination(
        lambda record, sample: yesno.label(record["answer"]),
        _said,
        (*mme.TOTALS, *mme.SUBTASKS),
        unit=lambda record: image(record["category"], record["image"]),
    ),
    subtask="category",
)
