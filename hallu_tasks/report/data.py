"""A comparison as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from hallu_tasks.compare.comparison import ALPHA, Contrast, MetricRow, RunComparison
from hallu_tasks.compare.published import NONE, WARNING, Harness

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
                "documents_count": block.documents_count,
                "images_count": block.images_count,
                "limited": block.limited and {"compared": block.limited[0], "documents": block.limited[1]},
                "metrics": [_metric(row, arms) for row in block.rows],
            }
            for block in comparison.blocks
        ],
    }
    if comparison.published is not None:
        warning = WARNING if comparison.published else NONE
        value["published"] = {"warning": warning, "harnesses": [_harness(one) for one in comparison.published]}
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)


def _metric(row: MetricRow, arms: Sequence[str]) -> dict[str, Any]:
    return {
        "metric": row.metric.name,
        "label": row.metric.label,
        "better": row.metric.direction,
        "unit": row.metric.unit,
        "arms": {
            arm: {"value": one.value, "interval": one.interval, "method": one.method, "reasons": one.reasons}
            for arm, one in zip(arms, row.estimates)
        },
        "differences": {arm: _difference(contrast) for arm, contrast in zip(arms[1:], row.contrasts)},
    }


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


def _harness(harness: Harness) -> dict[str, Any]:
    return {
        "source": harness.source,
        "model": harness.model,
        "setting": harness.setting,
        "rows": [{"method": row.method, "variant": row.variant, "numbers": dict(row.numbers)} for row in harness.rows],
    }
