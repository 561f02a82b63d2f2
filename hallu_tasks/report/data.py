"""A comparison as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from hallu_tasks.compare.comparison import ALPHA, Block, Contrast, Controls, MetricRow, RunComparison
from hallu_tasks.compare.published import NONE, WARNING, Harness
from hallu_tasks.scoring.paired import Estimate
from hallu_tasks.scoring.rate_ratio import RateRatio

__all__ = ["as_json"]


def as_json(comparison: RunComparison) -> str:
    """Everything, with unrounded numbers; ``null`` where a value is undefined, with its reason."""
    arms = comparison.arms
    value = {
        "baseline": arms[0],
        "arms": [
            {
                "name": arm,
                "given": run.given,
                "results_file": str(run.file),
                "runs_count": run.runs_count,
                "model": run.model,
                "settings": run.hallu,
                "tokens_per_second": run.tokens_per_second,
            }
            for arm, run in zip(arms, comparison.runs)
        ],
        "alpha": ALPHA,
        "correction": "Holm",
        "p_values_count": comparison.p_values_count,
        "units_for_a_verdict": comparison.units_for_a_verdict,
        "resamples": comparison.resamples,
        "seed": comparison.seed,
        "allowed_differences": [
            {
                "name": one.name,
                "detail": one.detail,
                "values": dict(zip(arms, one.values)),
                "remark": one.remark or None,
            }
            for one in comparison.allowed
        ],
        "warnings": comparison.warnings,
        "notes": comparison.notes,
        "tasks": [
            {
                "task": block.task,
                **({"subtasks": block.tasks} if block.tasks else {}),
                "benchmark": block.benchmark.title,
                **({"answers_of": block.rescored} if block.rescored else {}),
                "documents_count": block.documents_count,
                "images_count": block.images_count,
                "limited": block.limited and {"compared": block.limited[0], "documents": block.limited[1]},
                "metrics": [_metric(row, arms) for row in block.rows],
                **_saying_less(block),
            }
            for block in comparison.blocks
        ],
    }
    if comparison.controls is not None:
        value["controls"] = _controls(comparison.controls, arms)
    if comparison.published is not None:
        warning = WARNING if comparison.published else NONE
        value["published"] = {"warning": warning, "harnesses": [_harness(one) for one in comparison.published]}
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)


def _metric(row: MetricRow, arms: Sequence[str]) -> dict[str, Any]:
    head = {
        "metric": row.metric.name,
        "label": row.metric.label,
        "better": row.metric.direction,
        "unit": row.metric.unit,
    }
    if row.kind == "ratio":
        ratios = {arm: {"ratio": one.ratio, **_interval(one)} for arm, one in zip(arms[1:], row.ratios)}
        return {**head, "ratios": ratios}
    values = {arm: _estimate(one) for arm, one in zip(arms, row.estimates)}
    differences = {arm: _difference(contrast) for arm, contrast in zip(arms[1:], row.contrasts)}
    if row.kind == "cut":
        del values[arms[0]]
        return {**head, "baseline_cut_to_the_recall_of": values, "differences": differences}
    return {**head, "arms": values, "differences": differences}


def _estimate(one: Estimate) -> dict[str, Any]:
    return {"value": one.value, "interval": one.interval, "method": one.method, "reasons": one.reasons}


def _interval(one: RateRatio) -> dict[str, Any]:
    return {
        "interval": one.interval,
        "confidence": one.confidence,
        "method": "Poisson regression with length, cluster-robust by unit",
        "units_count": one.units_count,
        "reasons": one.reasons,
    }


def _saying_less(block: Block) -> dict[str, Any]:
    """The baseline's captions, cut to their first 1, 2, ... mentions."""
    if block.frontier is None:
        return {}
    cuts = [
        {
            "mentions": cut.mentions,
            **{name: _estimate(getattr(cut, name)) for name in ("recall", "chair_i", "chair_s")},
        }
        for cut in block.frontier.cuts
    ]
    return {"baseline_cuts": cuts}


def _difference(contrast: Contrast) -> dict[str, Any]:
    result = contrast.result
    return {
        "difference": result.difference,
        "interval": result.interval,
        "confidence": result.confidence,
        "p_value": result.p_value,
        "p_value_holm": contrast.p_holm,
        "test": result.test,
        "verdict": contrast.verdict,
        "units_count": result.units_count,
        "undefined_resamples_count": result.undefined_count,
        "reasons": result.reasons,
    }


def _controls(controls: Controls, arms: Sequence[str]) -> dict[str, Any]:
    """By sham the differences ``arm - sham``, and the shams that are missing."""
    beside = []
    for one in controls.beside:
        names = [arms[number] for number in (one.sham, *one.arms)]
        tasks = [{"task": block.task, "metrics": [_metric(row, names) for row in block.rows]} for block in one.blocks]
        beside.append({"sham": names[0], "arms": names[1:], "tasks": tasks})
    missing = [
        {"sham": one.sham, "arms": [arms[number] for number in one.arms], "command": one.command}
        for one in controls.missing
    ]
    return {"beside": beside, "missing": missing}


def _harness(harness: Harness) -> dict[str, Any]:
    return {
        "source": harness.source,
        "model": harness.model,
        "setting": harness.setting,
        "rows": [{"method": row.method, "variant": row.variant, "numbers": dict(row.numbers)} for row in harness.rows],
    }
