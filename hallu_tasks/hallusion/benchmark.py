"""HallusionBench's records and metrics, on sets of figures."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import Any

from hallu_tasks.benchmark import (
    FLAG,
    Benchmark,
    Discrimination,
    Metric,
    PerSample,
    Record,
    correct,
    unparsed,
    unread,
    with_default,
)
from hallu_tasks.runs.results import Sample
from hallu_tasks.scoring import hallusion, yesno

__all__ = ["HALLUSION"]


def _metrics(records: Iterable[Record]) -> list[Metric]:
    table = hallusion.STATISTICS
    return [
        *(Metric(name, name, table[name], "higher") for name in ("aAcc", "qAcc", "fAcc")),
        Metric("easy_aAcc", "easy aAcc", table["easy_aAcc"], "higher", headline=False),
        Metric("hard_aAcc", "hard aAcc", table["hard_aAcc"], "higher", headline=False),
        Metric("unparsed_count", "unparsed", unparsed, "lower", "answers", headline=False),
    ]


def _sets(metric: Metric, records: Mapping[int, Record]) -> tuple[dict[Any, Record], dict[Any, Hashable]]:
    sets = hallusion.sets(records.values())
    numbers = {key: {name: value for name, value in one.items() if isinstance(value, int)} for key, one in sets.items()}
    return {**numbers}, {key: key for key in numbers}


def _figure(record: Record, sample: Sample) -> Record:
    image = "{category}/{subcategory}/{set_id}_{figure_id}.png".format(**record)
    return {**with_default(record, sample), "image_id": image}


HALLUSION = Benchmark(
    id="hallusion",
    title="HallusionBench",
    unit="percent",
    noun="questions",
    columns=frozenset({"category", "subcategory", "set_id", "figure_id", "question_id", "visual_input", "correct"}),
    image="image_id",
    rule="policy",
    metrics=_metrics,
    documents=_sets,
    resampled="figure set",
    allowed={
        "correct": FLAG,
        "unparsed": FLAG,
        "policy": yesno.POLICIES,
        "category": ("VD", "VS"),
        "visual_input": ("0", "1", "2"),
    },
    right=correct,
    per_sample=PerSample(lambda record: "aAcc", lambda record: float(record["correct"])),
    completed=_figure,
    unread=unread,
    discrimination=Discrimination(
        # Records hold no label, and the target is one.
        lambda record, sample: yesno.label(sample.target.rstrip(".")),
        lambda record, sample: yesno.parse(sample.answer, record["policy"]),
        ("aAcc", "qAcc", "fAcc"),
        unit=lambda record: (record["category"], record["subcategory"], record["set_id"]),
    ),
)
