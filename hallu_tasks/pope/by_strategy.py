"""Scores of POPE's questions by strategy: each one's, their mean, and those of all questions pooled."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from hallu_tasks.benchmark import Metric
from hallu_tasks.estimates.bootstrap import Bootstrap, Result
from hallu_tasks.estimates.layout import cell, estimated, label, reasons, table
from hallu_tasks.scoring import strategies
from hallu_tasks.scoring.ratios import Ratio
from hallu_tasks.scoring.units import Record

__all__ = ["MOST_COLUMNS", "lines", "scores"]

MOST_COLUMNS = 4
"""More strategies than this, with their pooled scores, do not fit side by side and get a further table."""

_COUNTED = {"by_default": "by default", "left_out": "left out", "turned": "other label"}


def scores(
    result: Mapping[str, Any],
    metrics: Sequence[Metric],
    headline: str,
    records: Mapping[Any, Record],
    images: Mapping[Any, Hashable],
    bootstrap: Bootstrap,
) -> Result:
    """The parts of a result by strategy with an `Estimated` for each score.

    The keys of `records` and `images` begin with the strategy; `headline` names the metric that has a mean.
    """
    by_strategy = {}
    for strategy in dict.fromkeys(key[0] for key in records):
        own = {key: record for key, record in records.items() if key[0] == strategy}
        found = {one.name: bootstrap.score(one, own, {key: images[key] for key in own}) for one in metrics}
        by_strategy[strategy] = {**result["strategies"][strategy], **found}
    pooled = {one.name: bootstrap.score(one, records, images) for one in metrics}
    name, label = f"{headline}_mean_of_strategies", pooled[headline].metric.label
    ratio = pooled[headline].metric.statistic
    assert isinstance(ratio, Ratio)
    mean = Metric(name, f"mean {label} of the strategies", strategies.mean(ratio, list(by_strategy)), "higher")
    columns = dict.fromkeys((ratio.numerator, *ratio.denominator))
    return {
        "strategies": by_strategy,
        "pooled": {**result["pooled"], **pooled},
        name: bootstrap.score(mean, strategies.apart(records, columns), images),
        f"{headline}_pooled": pooled[headline],
        "images_count": len(set(images.values())),
    }


def lines(result: Result, title: str, headline: str, counts: Sequence[str]) -> list[str]:
    """The strategies side by side, `counts` below their scores, then the mean and all questions pooled."""
    columns: dict[str, Mapping[str, Any]] = dict(result["strategies"])
    if len(columns) > 1:
        columns["all pooled"] = result["pooled"]
    told = [f"{title}; {result['pooled']['questions_count']} questions on {result['images_count']} images"]
    names = list(columns)
    for start in range(0, len(names), MOST_COLUMNS):
        shown = names[start : start + MOST_COLUMNS]
        rows = [["", *shown]]
        rows += [
            [label(score), *(cell(columns[name][score.metric.name]) for name in shown)]
            for score in estimated(dict(columns[shown[0]]))
        ]
        rows += [
            [_COUNTED.get(what, what), *(str(columns[name][f"{what}_count"]) for name in shown)] for what in counts
        ]
        told += [*table(rows), ""]
    if len(columns) > 1:
        mean, pooled = result[f"{headline}_mean_of_strategies"], result[f"{headline}_pooled"]
        name = f"{pooled.metric.label} of all questions pooled ↑"
        told += table([[label(mean), cell(mean)], [name, cell(pooled)]])
    for name, column in columns.items():
        told += reasons(f"{name}, ", estimated(dict(column)))
    return told if told[-1] else told[:-1]
