"""The cells, titles and legend that text, Markdown and HTML share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from hallu_tasks.benchmark import Metric
from hallu_tasks.compare.comparison import ALPHA, Block, Contrast, MetricRow, RunComparison
from hallu_tasks.scoring.paired import Estimate
from hallu_tasks.scoring.rate_ratio import RateRatio

__all__ = [
    "Change",
    "arm_lines",
    "change",
    "difference",
    "estimate",
    "interval",
    "label",
    "legend",
    "number",
    "p_value",
    "ratio",
    "reasons",
    "saying_less",
    "speed",
    "threshold",
    "title",
    "value",
    "verdict",
]

_LACKING = {"value": "N/A", "ratio": "N/A", "interval": "no interval"}
_BETTER = {"higher": " ↑", "lower": " ↓", None: ""}
_EFFECTS = {"better": "▲ ", "worse": "▼ "}


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
    lines += [*saying_less(comparison.blocks, baseline), *threshold(comparison.blocks, baseline)]
    lines += [f"Allowed to differ: {one.text(comparison.arms)}" for one in comparison.allowed]
    return [*lines, *(f"Note: {note}" for note in comparison.notes)]


def saying_less(blocks: Sequence[Block], baseline: str) -> list[str]:
    """What rows mean that compare with the baseline's texts cut short; nothing where the blocks have none."""
    if not any(block.frontier for block in blocks):
        return []
    return [
        f"CHAIR_i vs cut: difference to {baseline}'s captions cut short to the arm's recall: to saying less.",
        f"length-adjusted: share of hallucinated mentions at equal caption length, arm / {baseline}.",
    ]


def threshold(blocks: Sequence[Block], baseline: str) -> list[str]:
    """What rows mean that compare yes/no answers without the threshold; nothing where the blocks have none."""
    if not any(row.metric.name == "auroc" for block in blocks for row in block.rows):
        return []
    return [
        "AUROC: how well margins of yes and no tell the right answers apart, wherever the threshold lies.",
        f"same-ratio: the arm's threshold is moved until it says yes as often as {baseline} does.",
    ]


def title(block: Block) -> str:
    """``hallu_demo_pope: POPE in percent; 1536 questions on 256 images``, with the size of a group, and a limit."""
    counted = f"{block.documents_count} {block.benchmark.noun}"
    if block.images_count != block.documents_count:
        counted += f" on {block.images_count} image{'s' if block.images_count > 1 else ''}"
    group = f", means of {len(block.tasks)} strategies" if block.tasks else ""
    limited = "; limited: {} of {} documents".format(*block.limited) if block.limited else ""
    rescored = f"; the answers of {block.rescored} scored again" if block.rescored else ""
    return f"{block.task}: {block.benchmark.title} in {block.benchmark.unit}{group}; {counted}{limited}{rescored}"


def label(metric: Metric) -> str:
    """The metric's name with an arrow to the better side."""
    return f"{metric.label}{_BETTER[metric.direction]}"


def estimate(one: Estimate) -> str:
    """``40.4 [36.3, 44.7]``."""
    if one.value is None:
        return "N/A"
    return f"{number(one.value)} {interval(one.interval)}"


def value(row: MetricRow, arm: int) -> str:
    """The estimate of an arm by its number; in a row of kind ``cut`` that of the baseline's cut: ``cut 12.4 [...]``."""
    if row.kind == "score":
        return estimate(row.estimates[arm])
    if row.kind == "ratio" or not arm or row.estimates[arm].value is None:
        return ""
    return f"cut {estimate(row.estimates[arm])}"


class Change(NamedTuple):
    """The cells of an arm's change: difference or ratio, p value after Holm, verdict; empty where there is none.

    `found` says whether the verdict is one of a difference, `own` whether it is in a row's own words.
    """

    size: str
    p_holm: str
    verdict: str
    found: bool
    own: bool = False


def change(row: MetricRow, arm: int) -> Change:
    """An arm beside the baseline, by its number, at least 1."""
    if row.kind == "ratio":
        return Change(ratio(row.ratios[arm - 1]), "", "", False)
    contrast = row.contrasts[arm - 1]
    if not row.tested:
        return Change(difference(contrast), "", "", False)
    found = contrast.side not in (None, "no difference")
    own = contrast.verdict != contrast.side
    return Change(difference(contrast), p_value(contrast.p_holm), verdict(contrast), found, own)


def ratio(one: RateRatio) -> str:
    """``×0.99 [0.88, 1.11]``."""
    if one.ratio is None:
        return "N/A"
    ends = "[N/A]" if one.interval is None else "[{:.2f}, {:.2f}]".format(*one.interval)
    return f"×{one.ratio:.2f} {ends}"


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
    if contrast.verdict:
        return _EFFECTS.get(contrast.side or "", "") + contrast.verdict
    return f"too few {contrast.unit}s" if "verdict" in contrast.result.reasons else "N/A"


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
        having: dict[str, list[str]] = {}
        for arm, text in zip(arms if row.kind == "score" else arms[1:], _undefined(row)):
            having.setdefault(text, []).append(arm)
        every = len(arms) - (row.kind != "score")
        for text, names in having.items():
            if text:
                yield f"{row.metric.label}: {text}" + (f" ({', '.join(names)})" if len(names) < every else "")


def _undefined(row: MetricRow) -> Iterator[str]:
    """For each arm why its cell is N/A; empty where it is not. Rows that are no scores leave out the baseline."""
    if row.kind == "score":
        for one in row.estimates:
            yield next((f"{_LACKING[what]}, {reason}" for what, reason in one.reasons.items()), "")
    elif row.kind == "ratio":
        for ratio in row.ratios:
            yield next((f"{_LACKING[what]}, {reason}" for what, reason in ratio.reasons.items()), "")
    else:
        for contrast in row.contrasts:
            reasons = contrast.result.reasons
            why = next((reasons[key] for key in ("b.value", "difference", "interval", "p_value") if key in reasons), "")
            yield why and f"no verdict, {why}"
