"""The cells and tables of scores that were read from files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hallu_tasks.estimates.bootstrap import Estimated, Result

__all__ = ["cell", "estimated", "label", "reasons", "table"]

_ARROWS = {"higher": " ↑", "lower": " ↓", None: ""}


def estimated(result: Result) -> list[Estimated]:
    """The scores of a result, in its order."""
    return [value for value in result.values() if isinstance(value, Estimated)]


def label(score: Estimated) -> str:
    """``F1 ↑``."""
    return f"{score.metric.label}{_ARROWS[score.metric.direction]}"


def cell(score: Estimated) -> str:
    """``80.4 [78.1, 82.6]``, N/A where undefined."""
    value, interval = score.estimate.value, score.estimate.interval
    if value is None:
        return "N/A"
    return f"{value:.1f} " + ("[N/A]" if interval is None else f"[{interval[0]:.1f}, {interval[1]:.1f}]")


def reasons(prefix: str, scores: Sequence[Estimated]) -> Iterator[str]:
    """Why values or intervals are N/A."""
    for score in scores:
        for what, reason in list(score.estimate.reasons.items())[:1]:
            problem = "N/A" if what == "value" else "no interval"
            yield f"{prefix}{score.metric.label}: {problem}, {reason}"


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Aligned columns, two blanks apart."""
    widths = [max(map(len, column)) for column in zip(*rows)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(cells, widths)).rstrip() for cells in rows]
