"""POPE's records and metrics, of one strategy and of several together."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from hallu_tasks.benchmark import (
    FLAG,
    Benchmark,
    Discrimination,
    Group,
    Metric,
    PerSample,
    Record,
    Rescored,
    by_default,
    correct,
    counts,
    label_of,
    numbers,
    said_in,
    unparsed,
    unread,
    with_default,
)
from hallu_tasks.pope import answers, repope_data
from hallu_tasks.pope.data import STRATEGIES
from hallu_tasks.runs.results import Sample
from hallu_tasks.scoring import pope, strategies, yesno

__all__ = ["POPE", "REPOPE"]


def _metrics(records: Iterable[Record]) -> list[Metric]:
    table = pope.STATISTICS
    return [
        Metric("accuracy", "accuracy", table["accuracy"], "higher", outcome="correct"),
        Metric("precision", "precision", table["precision"], "higher", headline=False),
        Metric("recall", "recall", table["recall"], "higher", headline=False),
        Metric("f1", "F1", table["f1"], "higher"),
        Metric("yes_ratio", "yes ratio", table["yes_ratio"], None),
        Metric("unparsed_count", "unparsed", unparsed, "lower", "answers", headline=False),
        Metric("by_default_count", "decided by default", by_default, "lower", "answers", headline=False),
    ]


def _group(tasks: Sequence[str]) -> list[Metric]:
    # The strategies share the questions that are answered yes, so even an accuracy is no proportion of independent
    # answers: it has no `outcome`, and its p value comes from the bootstrap.
    means = {name: strategies.mean(pope.STATISTICS[name], tasks) for name in ("f1", "accuracy", "yes_ratio")}
    return [
        Metric("f1", "mean F1", means["f1"], "higher"),
        Metric("f1_pooled", "pooled F1", pope.STATISTICS["f1"], "higher"),
        Metric("accuracy", "mean accuracy", means["accuracy"], "higher"),
        Metric("yes_ratio", "mean yes ratio", means["yes_ratio"], None),
    ]


def _by_strategy(records: Mapping[tuple[str, int], Record]) -> tuple[dict[Any, Record], dict[Any, Hashable]]:
    pooled, images = numbers(records)
    columns = ("questions", "correct", "true_positive", "predicted_yes", "labelled_yes")
    means = strategies.apart(pooled, columns)
    return {key: {**record, **means[key]} for key, record in pooled.items()}, images


def _relabelled_name(task: str) -> str | None:
    names = {"hallu_pope": "hallu_repope", **{f"hallu_pope_{one}": f"hallu_repope_{one}" for one in STRATEGIES}}
    return names.get(task)


def _labels(task: str) -> dict[Hashable, str] | None:
    found = repope_data.labels(task.rpartition("_")[2])
    return None if found is None else {(str(image), text): label for (image, text), label in found.items()}


def _asked(record: Record, sample: Sample) -> Hashable:
    return str(record["image_id"]), answers.plain(sample.prompt)


def _relabelled(record: Record, sample: Sample, label: str) -> Record:
    again = pope.record(sample.answer, label, str(record["policy"]))
    return {"image_id": record["image_id"], **again, "relabelled": 1}


_POPE = Benchmark(
    id="pope",
    title="POPE",
    unit="percent",
    noun="questions",
    columns=frozenset({"image_id", "questions", "correct", "predicted_yes", "labelled_yes", "unparsed"}),
    image="image_id",
    rule="policy",
    metrics=_metrics,
    documents=counts,
    allowed={"questions": (1,), "correct": FLAG, "unparsed": FLAG, "policy": yesno.POLICIES},
    right=correct,
    per_sample=PerSample(lambda record: "accuracy", lambda record: float(record["correct"])),
    completed=with_default,
    unread=unread,
    group=Group(_group, _by_strategy),
    discrimination=Discrimination(label_of, said_in, ("accuracy",)),
)

REPOPE = replace(_POPE, id="repope", title="RePOPE", columns=_POPE.columns | {"relabelled"})
"""POPE's questions with labels made again."""

POPE = replace(
    _POPE,
    lacks=frozenset({"relabelled"}),
    rescored=Rescored(REPOPE, _relabelled_name, _labels, _asked, _relabelled),
)
