"""Rows that compare an arm with the baseline's own captions cut short: does it do more than saying less?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from hallu_tasks.benchmark import Metric
from hallu_tasks.compare.comparison import Block, Contrast, MetricRow
from hallu_tasks.runs.results import Sample
from hallu_tasks.scoring import paired
from hallu_tasks.scoring.frontier import frontier
from hallu_tasks.scoring.rate_ratio import rate_ratio

__all__ = ["added"]

SAMPLED = "the baseline's captions are sampled, so a gain may be that an arm samples less: take a greedy baseline"


def added(
    block: Block,
    records: Sequence[Mapping[int, Mapping[str, Any]]],
    samples: Mapping[int, Sample],
    sampled: bool,
    *,
    every_metric: bool,
    resamples: int,
    seed: int,
) -> Block:
    """The block with its frontier and its rows; without them where the baseline's captions cannot be cut.

    `records` are each arm's, the baseline first, `samples` the baseline's. Captions that were `sampled` give
    differences without p values and verdicts.
    """
    benchmark = block.benchmark
    assert benchmark.cuts is not None
    listed = {document: benchmark.cuts.said(samples[document]) for document in records[0]}
    said = {document: mentions for document, mentions in listed.items() if mentions is not None}
    if len(said) < len(listed):
        return replace(block, uncut="the baseline's records do not list the objects of each caption, so rerun it")
    prepared = [benchmark.documents(benchmark.cuts.chair_i, arm) for arm in records]
    arms, unit = [one for one, _ in prepared], prepared[0][1]
    found = frontier(said, arms[0], arms[1:], unit=unit, resamples=resamples, seed=seed)
    if found is None:
        return replace(block, uncut="no caption of the baseline mentions an object")
    whole = found.cuts[-1]
    rows = [_row(benchmark.cuts.chair_i, whole.chair_i, [one.chair_i for one in found.arms], sampled)]
    if every_metric:
        rows.append(_row(benchmark.cuts.chair_s, whole.chair_s, [one.chair_s for one in found.arms], sampled))
    ratios = tuple(rate_ratio(arms[0], arm, unit=unit) for arm in arms[1:])
    rows.append(MetricRow(benchmark.cuts.rate, (), (), "ratio", ratios))
    place = next(at for at, row in enumerate(block.rows, 1) if row.metric.name == benchmark.cuts.below)
    return replace(block, rows=(*block.rows[:place], *rows, *block.rows[place:]), frontier=found)


def _row(metric: Metric, whole: paired.Estimate, results: Sequence[paired.Comparison], sampled: bool) -> MetricRow:
    if sampled:
        results = [replace(one, p_value=None, reasons={**one.reasons, "p_value": SAMPLED}) for one in results]
    contrasts = tuple(Contrast(one, None, None) for one in results)
    return MetricRow(metric, (whole, *(one.a for one in results)), contrasts, "cut")
