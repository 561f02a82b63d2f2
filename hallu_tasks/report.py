"""A comparison as text, Markdown or JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from hallu_tasks.benchmarks import Metric
from hallu_tasks.compare import ALPHA, Block, Comparison, Contrast, Row
from hallu_tasks.scoring.paired import Estimate

__all__ = ["as_json", "as_markdown", "as_text"]

MOST_COLUMNS = 3
"""More arms than this do not fit side by side, and get a line each."""

_ARROWS = {"higher": " ↑", "lower": " ↓", None: ""}


def as_text(comparison: Comparison) -> str:
    """Aligned columns, a block a task, the speed of the runs last."""
    if len(comparison.arms) > MOST_COLUMNS:
        return _text_by_arm(comparison)
    head, speed = _head(comparison), _speed(comparison)
    rows = [_cells(row) for block in comparison.blocks for row in block.rows]
    widths = [max(len(cells[column]) for cells in (head, speed, *rows)) for column in range(len(head))]
    lines = [*_arms(comparison), "", *_legend(comparison), "", _aligned(head, widths)]
    for block in comparison.blocks:
        lines += [_title(block), *(_aligned(_cells(row), widths) for row in block.rows)]
        lines += [f"  {reason}" for reason in _reasons(block, comparison.arms)]
        lines.append("")
    return "\n".join([*lines, _aligned(speed, widths)])


def as_markdown(comparison: Comparison) -> str:
    """One table with a line a task, or a table a task with a line an arm; then what the columns mean."""
    if len(comparison.arms) > MOST_COLUMNS:
        return _markdown_by_arm(comparison)
    head = _head(comparison)
    lines = [_piped(head), "|" + "---|" * len(head)]
    for block in comparison.blocks:
        lines.append(_piped([f"**{_title(block)}**", *[""] * (len(head) - 1)]))
        lines += [_piped(_cells(row)) for row in block.rows]
    lines += [_piped(_speed(comparison)), ""]
    reasons = [reason for block in comparison.blocks for reason in _reasons(block, comparison.arms)]
    return "\n".join([*lines, *_legend(comparison), *reasons])


def _text_by_arm(comparison: Comparison) -> str:
    lines = [*_arms(comparison), "", *_legend(comparison), ""]
    for block in comparison.blocks:
        rows = [_metric_head(block)]
        for number, arm in enumerate(comparison.arms):
            rows.append([arm, *(_estimate_cell(row.estimates[number]) for row in block.rows)])
            if number:
                rows.append(["", *(_contrast_cell(row.contrasts[number - 1]) for row in block.rows)])
        widths = [max(map(len, column)) for column in zip(*rows)]
        lines += [_title(block), *(_aligned(cells, widths) for cells in rows)]
        lines += [f"  {reason}" for reason in _reasons(block, comparison.arms)]
        lines.append("")
    width = max(map(len, comparison.arms))
    speeds = (f"{arm.ljust(width)}  {speed}" for arm, speed in zip(comparison.arms, _speed(comparison)[1:]))
    return "\n".join([*lines, "tokens/s", *speeds])


def _markdown_by_arm(comparison: Comparison) -> str:
    lines = []
    speeds = _speed(comparison)[1:]
    for block in comparison.blocks:
        head = [*_metric_head(block), "tokens/s"]
        lines += [f"**{_title(block)}**", "", _piped(head), "|" + "---|" * len(head)]
        for number, arm in enumerate(comparison.arms):
            cells = [_estimate_cell(row.estimates[number]) for row in block.rows]
            if number:
                contrasts = (_contrast_cell(row.contrasts[number - 1]) for row in block.rows)
                cells = [f"{cell}<br>{contrast}" for cell, contrast in zip(cells, contrasts)]
            lines.append(_piped([f"`{arm}`", *cells, speeds[number]]))
        lines.append("")
    reasons = [reason for block in comparison.blocks for reason in _reasons(block, comparison.arms)]
    return "\n".join([*lines, *_legend(comparison), *reasons])


def _metric_head(block: Block) -> list[str]:
    return ["", *(_label(row.metric) for row in block.rows)]


def _contrast_cell(contrast: Contrast) -> str:
    """``+1.7 [0.6, 2.7], p 0.001, worse``: the difference; a verdict only where there is one."""
    verdict = f", {contrast.verdict}" if contrast.verdict not in (None, "no difference") else ""
    return f"{_difference_cell(contrast)}, p {_p_value(contrast)}{verdict}"


def as_json(comparison: Comparison) -> str:
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
        "resamples": comparison.resamples,
        "seed": comparison.seed,
        "allowed_differences": [
            {"name": one.name, "detail": one.detail, "values": dict(zip(arms, one.values))}
            for one in comparison.allowed
        ],
        "notes": comparison.notes,
        "tasks": [
            {
                "task": block.task,
                "benchmark": block.benchmark.title,
                "documents_count": block.documents_count,
                "images_count": block.images_count,
                "metrics": [_metric(row, arms) for row in block.rows],
            }
            for block in comparison.blocks
        ],
    }
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)


def _metric(row: Row, arms: Sequence[str]) -> dict[str, Any]:
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


def _arms(comparison: Comparison) -> list[str]:
    width = max(map(len, comparison.arms))
    lines = []
    for arm, run in zip(comparison.arms, comparison.runs):
        latest = f", the latest of {run.runs_count} runs" if run.runs_count > 1 else ""
        lines.append(f"{arm.ljust(width)}  {run.file}{latest}")
        if run.hallu.get("parameters"):
            lines.append(f"{' ' * width}  {run.hallu['parameters']}")
    return lines


def _legend(comparison: Comparison) -> list[str]:
    baseline, *others = comparison.arms
    lines = ["Values with 95 % intervals."]
    if others:
        arm = others[0] if len(others) == 1 else "arm"
        lines = [
            f"Values with 95 % intervals. Difference: {arm} - {baseline}, paired on the same images.",
            f"A verdict needs p < {ALPHA} after Holm over the {comparison.p_values_count} p values shown "
            "and an interval without 0.",
        ]
    lines += [f"Allowed to differ: {difference.text(comparison.arms)}" for difference in comparison.allowed]
    return [*lines, *(f"Note: {note}" for note in comparison.notes)]


def _title(block: Block) -> str:
    counted = f"{block.documents_count} {block.benchmark.noun}"
    if block.images_count != block.documents_count:
        counted += f" on {block.images_count} image{'s' if block.images_count > 1 else ''}"
    return f"{block.task}: {block.benchmark.title} in {block.benchmark.unit}; {counted}"


def _head(comparison: Comparison) -> list[str]:
    _, *others = comparison.arms
    titles = [f"difference {arm}" for arm in others] if len(others) > 1 else ["difference"] * len(others)
    return ["", *comparison.arms, *(cell for title in titles for cell in (title, "p", "verdict"))]


def _cells(row: Row) -> list[str]:
    contrasts = ((_difference_cell(one), _p_value(one), one.verdict or "N/A") for one in row.contrasts)
    return [
        _label(row.metric),
        *map(_estimate_cell, row.estimates),
        *(cell for contrast in contrasts for cell in contrast),
    ]


def _speed(comparison: Comparison) -> list[str]:
    speeds = (run.tokens_per_second for run in comparison.runs)
    cells = ["N/A" if speed is None else f"{speed:.1f}" for speed in speeds]
    return ["tokens/s", *cells, *[""] * (3 * (len(cells) - 1))]


def _label(metric: Metric) -> str:
    return f"{metric.label}{_ARROWS[metric.direction]}"


def _estimate_cell(estimate: Estimate) -> str:
    if estimate.value is None:
        return "N/A"
    return f"{_number(estimate.value)}{_interval(estimate.interval)}"


def _difference_cell(contrast: Contrast) -> str:
    difference = contrast.result.difference
    if difference is None:
        return "N/A"
    sign = "+" if round(difference, 1) > 0 else ""
    return f"{sign}{_number(difference)}{_interval(contrast.result.interval)}"


def _p_value(contrast: Contrast) -> str:
    p_value = contrast.result.p_value
    if p_value is None:
        return "N/A"
    return "<0.001" if p_value < 0.0005 else f"{p_value:.3f}"


def _interval(interval: tuple[float, float] | None) -> str:
    return " [N/A]" if interval is None else f" [{_number(interval[0])}, {_number(interval[1])}]"


def _number(value: float) -> str:
    # Adding zero turns a rounded -0.0 into 0.0.
    return f"{round(value, 1) + 0.0:.1f}"


def _reasons(block: Block, arms: Sequence[str]) -> Iterator[str]:
    """Why values are N/A. A difference is so where a score of its arms is, and needs no line of its own."""
    for row in block.rows:
        found: dict[str, list[str]] = {}
        for arm, estimate in zip(arms, row.estimates):
            for what, reason in list(estimate.reasons.items())[:1]:
                found.setdefault(f"{'N/A' if what == 'value' else 'no interval'}, {reason}", []).append(arm)
        for text, having in found.items():
            yield f"{row.metric.label}: {text}" + (f" ({', '.join(having)})" if len(having) < len(arms) else "")


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths)).rstrip()


def _piped(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"
