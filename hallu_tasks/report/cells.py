"""The cells, titles and legend that text, Markdown and HTML share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hallu_tasks.benchmark import Metric
from hallu_tasks.compare.comparison import ALPHA, Block, Contrast, RunComparison
from hallu_tasks.scoring.paired import Estimate

__all__ = [
    "arm_lines",
    "difference",
    "estimate",
    "interval",
    "label",
    "legend",
    "number",
    "p_value",
    "reasons",
    "speed",
    "title",
    "verdict",
]

_BETTER = {"higher": " ↑", "lower": " ↓", None: ""}
_EFFECTS = {"better": "▲ better", "worse": "▼ worse"}


def arm_lines(comparison: RunComparison) -> list[str]:
    """Each arm with its file, its parameters below."""
    width = max(map(len, comparison.arms))
    lines = []
    for arm, run in zip(comparison.arms, comparison.runs):
        latest = f", the latest of {run.runs_count} runs" if run.runs_count > 1 else ""
        lines.append(f"{arm.ljust(width)}  {run.file}{latest}")
        if run.hallu.get("parameters"):
            lines.append(f"{' ' * width}  {run.hallu['parameters']}")
    return lines


def legend(comparison: RunComparison) -> list[str]:
    """What the columns mean, what was allowed to differ, what was left out."""
    baseline, *others = comparison.arms
    lines = ["Values with 95 % intervals."]
    if others:
        arm = others[0] if len(others) == 1 else "arm"
        lines = [
            f"Values with 95 % intervals. Difference: {arm} - {baseline}, paired on the same images.",
            f"Holm p: corrected over the {comparison.p_values_count} shown. "
            f"A verdict needs Holm p < {ALPHA} and an interval without 0.",
        ]
    lines += [f"Allowed to differ: {one.text(comparison.arms)}" for one in comparison.allowed]
    return [*lines, *(f"Note: {note}" for note in comparison.notes)]


def title(block: Block) -> str:
    """``hallu_demo_pope: POPE in percent; 1536 questions on 256 images``, with the size of a group, and a limit."""
    counted = f"{block.documents_count} {block.benchmark.noun}"
    if block.images_count != block.documents_count:
        counted += f" on {block.images_count} image{'s' if block.images_count > 1 else ''}"
    group = f", means of {len(block.tasks)} strategies" if block.tasks else ""
    limited = "; limited: {} of {} documents".format(*block.limited) if block.limited else ""
    return f"{block.task}: {block.benchmark.title} in {block.benchmark.unit}{group}; {counted}{limited}"


def label(metric: Metric) -> str:
    """The metric's name with an arrow to the better side."""
    return f"{metric.label}{_BETTER[metric.direction]}"


def estimate(one: Estimate) -> str:
    """``40.4 [36.3, 44.7]``."""
    if one.value is None:
        return "N/A"
    return f"{number(one.value)} {interval(one.interval)}"


def difference(contrast: Contrast) -> str:
    """``+4.3 [0.4, 8.2]``."""
    value = contrast.result.difference
    if value is None:
        return "N/A"
    sign = "+" if round(value, 1) > 0 else ""
    return f"{sign}{number(value)} {interval(contrast.result.interval)}"


def p_value(value: float | None) -> str:
    """Three digits; ``<0.001`` below half of the last one."""
    if value is None:
        return "N/A"
    return "<0.001" if value < 0.0005 else f"{value:.3f}"


def verdict(contrast: Contrast) -> str:
    """``▲ better``, ``▼ worse``, the bare word where neither side is better, ``too few images`` where none is given."""
    word = contrast.verdict or (f"too few {contrast.unit}s" if "verdict" in contrast.result.reasons else "N/A")
    return _EFFECTS.get(word, word)


def interval(ends: tuple[float, float] | None) -> str:
    """``[36.3, 44.7]``."""
    return "[N/A]" if ends is None else f"[{number(ends[0])}, {number(ends[1])}]"


def number(value: float) -> str:
    """One digit behind the point."""
    # Adding zero turns a rounded -0.0 into 0.0.
    return f"{round(value, 1) + 0.0:.1f}"


def speed(tokens_per_second: float | None) -> str:
    """Tokens a second, ``N/A`` where the model did not report them."""
    return "N/A" if tokens_per_second is None else f"{tokens_per_second:.1f}"


def reasons(block: Block, arms: Sequence[str]) -> Iterator[str]:
    """Why values are N/A. A difference is so where a score of its arms is, and needs no line of its own."""
    for row in block.rows:
        found: dict[str, list[str]] = {}
        for arm, one in zip(arms, row.estimates):
            for what, reason in list(one.reasons.items())[:1]:
                found.setdefault(f"{'N/A' if what == 'value' else 'no interval'}, {reason}", []).append(arm)
        for text, having in found.items():
            yield f"{row.metric.label}: {text}" + (f" ({', '.join(having)})" if len(having) < len(arms) else "")
