"""A comparison as text and as Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hallu_tasks.compare.comparison import Block, MetricRow, RunComparison
from hallu_tasks.compare.published import NONE, WARNING, Harness
from hallu_tasks.report import cells, shams
from registry import terminal

__all__ = ["as_markdown", "as_text"]

MOST_COLUMNS = 3
"""More arms than this do not fit side by side, and get a line each."""


def as_text(comparison: RunComparison, width: int | None = None) -> str:
    """Aligned columns, a block a task, the speed of the runs last but for published numbers.

    Where a `width` is given that they do not fit, every metric is a paragraph with a line an arm.
    """
    form = _text_by_arm if len(comparison.arms) > MOST_COLUMNS else _text_by_metric
    lines = [*form(comparison), *_published_text(comparison.published)]
    if width is not None and max(map(len, lines)) > width:
        lines = [*_text_narrow(comparison, width), *_published_narrow(comparison.published, width)]
    return "\n".join([*lines, *shams.text(comparison, width)])


def as_markdown(comparison: RunComparison) -> str:
    """One table with a line a task, or a table a task with a line an arm; then what the columns mean."""
    form = _markdown_by_arm if len(comparison.arms) > MOST_COLUMNS else _markdown_by_metric
    reasons = [reason for block in comparison.blocks for reason in cells.reasons(block, comparison.arms)]
    published = _published_markdown(comparison.published)
    warned = [line for text in comparison.warnings for line in (f"**Warning: {text}**", "")]
    beside = shams.markdown(comparison)
    return "\n".join([*warned, *form(comparison), *cells.legend(comparison), *reasons, *beside, *published])


def _warned(comparison: RunComparison) -> list[str]:
    return [f"Warning: {text}" for text in comparison.warnings]


def _text_by_metric(comparison: RunComparison) -> list[str]:
    head, speed = _head(comparison), _speed(comparison)
    rows = [_cells(row, len(comparison.arms)) for block in comparison.blocks for row in block.rows]
    widths = [max(len(line[column]) for line in (head, speed, *rows)) for column in range(len(head))]
    lines = [*cells.arm_lines(comparison), "", *_warned(comparison), *cells.legend(comparison), ""]
    lines.append(_aligned(head, widths))
    for block in comparison.blocks:
        lines += [cells.title(block), *(_aligned(_cells(row, len(comparison.arms)), widths) for row in block.rows)]
        lines += [f"  {reason}" for reason in cells.reasons(block, comparison.arms)]
        lines.append("")
    return [*lines, _aligned(speed, widths)]


def _markdown_by_metric(comparison: RunComparison) -> list[str]:
    head = _head(comparison)
    lines = [_piped(head), _rule(head)]
    for block in comparison.blocks:
        lines.append(_piped([f"**{cells.title(block)}**", *[""] * (len(head) - 1)]))
        lines += [_piped(_cells(row, len(comparison.arms))) for row in block.rows]
    return [*lines, _piped(_speed(comparison)), ""]


def _text_by_arm(comparison: RunComparison) -> list[str]:
    lines = [*cells.arm_lines(comparison), "", *_warned(comparison), *cells.legend(comparison), ""]
    for block in comparison.blocks:
        rows = [_metric_head(block)]
        for number, arm in enumerate(comparison.arms):
            rows.append([arm, *(cells.value(row, number) for row in block.rows)])
            if number:
                rows.append(["", *(_change_cell(row, number) for row in block.rows)])
        lines += [cells.title(block), *_table(rows)]
        lines += [f"  {reason}" for reason in cells.reasons(block, comparison.arms)]
        lines.append("")
    speeds = ([arm, speed] for arm, speed in zip(comparison.arms, _speed(comparison)[1:]))
    return [*lines, "tokens/s", *_table(list(speeds))]


def _text_narrow(comparison: RunComparison, width: int) -> Iterator[str]:
    for line in (*cells.arm_lines(comparison), "", *_warned(comparison), *cells.legend(comparison), ""):
        indent = len(line) - len(line.lstrip())
        yield from terminal.folded(line, width, " " * (indent + 2)) or [""]
    size = max(map(len, comparison.arms))
    for block in comparison.blocks:
        yield from terminal.folded(cells.title(block), width)
        for row in block.rows:
            yield f"  {cells.label(row.metric)}"
            for number, arm in enumerate(comparison.arms):
                shown = [cells.value(row, number)]
                if number:
                    change = cells.change(row, number)
                    shown += [change.size, f"p {change.p_holm}" if change.p_holm else "", change.verdict]
                if any(shown):
                    kept = [cell for cell in shown if cell]
                    yield from terminal.row([f"    {arm.ljust(size)}", *kept], width, " " * 8)
        for reason in cells.reasons(block, comparison.arms):
            yield from terminal.folded(f"  {reason}", width, "    ")
        yield ""
    yield "tokens/s"
    for arm, speed in zip(comparison.arms, _speed(comparison)[1:]):
        yield from terminal.row([f"    {arm.ljust(size)}", speed], width, " " * 8)


def _published_narrow(harnesses: Sequence[Harness] | None, width: int) -> Iterator[str]:
    if harnesses is None:
        return
    yield ""
    yield from terminal.folded(WARNING if harnesses else NONE, width)
    for harness in harnesses:
        rows = [[row.label, *harness.cells(row)] for row in harness.rows]
        yield ""
        yield from terminal.folded(harness.title, width)
        yield from terminal.table(["", *harness.scores], rows, width).splitlines()


def _markdown_by_arm(comparison: RunComparison) -> list[str]:
    lines = []
    speeds = _speed(comparison)[1:]
    for block in comparison.blocks:
        head = [*_metric_head(block), "tokens/s"]
        lines += [f"**{cells.title(block)}**", "", _piped(head), _rule(head)]
        for number, arm in enumerate(comparison.arms):
            line = [cells.value(row, number) for row in block.rows]
            if number:
                changes = (_change_cell(row, number) for row in block.rows)
                line = ["<br>".join(filter(None, pair)) for pair in zip(line, changes)]
            lines.append(_piped([f"`{arm}`", *line, speeds[number]]))
        lines.append("")
    return lines


def _metric_head(block: Block) -> list[str]:
    return ["", *(cells.label(row.metric) for row in block.rows)]


def _change_cell(row: MetricRow, arm: int) -> str:
    """``+1.7 [0.6, 2.7], p 0.001, ▼ worse``: the difference and its Holm p; a verdict where a difference is
    found, and always where the row has one of its own."""
    change = cells.change(row, arm)
    p_holm = f"p {change.p_holm}" if change.p_holm else ""
    told = change.verdict if change.found or change.own else ""
    return ", ".join(filter(None, (change.size, p_holm, told)))


def _head(comparison: RunComparison) -> list[str]:
    _, *others = comparison.arms
    titles = [f"difference {arm}" for arm in others] if len(others) > 1 else ["difference"] * len(others)
    return ["", *comparison.arms, *(cell for title in titles for cell in (title, "Holm p", "verdict"))]


def _cells(row: MetricRow, arms_count: int) -> list[str]:
    arms = range(arms_count)
    return [
        cells.label(row.metric),
        *(cells.value(row, arm) for arm in arms),
        *(cell for arm in arms[1:] for cell in cells.change(row, arm)[:3]),
    ]


def _speed(comparison: RunComparison) -> list[str]:
    speeds = [cells.speed(run.tokens_per_second) for run in comparison.runs]
    return ["tokens/s", *speeds, *[""] * (3 * (len(speeds) - 1))]


def _published_text(harnesses: Sequence[Harness] | None) -> Iterator[str]:
    if harnesses is None:
        return
    yield from ("", WARNING if harnesses else NONE)
    for harness in harnesses:
        rows = [["", *harness.scores], *([row.label, *harness.cells(row)] for row in harness.rows)]
        yield from ("", harness.title, *(f"  {line}" for line in _table(rows)))


def _published_markdown(harnesses: Sequence[Harness] | None) -> Iterator[str]:
    if harnesses is None:
        return
    yield from ("", f"**{WARNING if harnesses else NONE}**")
    for harness in harnesses:
        head = ["", *harness.scores]
        yield from ("", harness.title, "", _piped(head), _rule(head))
        yield from (_piped([row.label, *harness.cells(row)]) for row in harness.rows)


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows)]
    return [_aligned(line, widths) for line in rows]


def _aligned(line: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip()


def _piped(line: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in line) + " |"


def _rule(head: Sequence[str]) -> str:
    return "|" + "---|" * len(head)
