"""What the shams of the compared methods say, and how to run those that are missing: as text, Markdown and page."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Sequence
from html import escape
from typing import NamedTuple

from hallu_tasks.compare.comparison import Block, RunComparison
from hallu_tasks.report import cells
from registry import terminal

__all__ = ["ALL_THERE", "BESIDE", "MISSING", "Table", "html", "markdown", "tables", "text"]

BESIDE = "Beside their shams: arm - sham, paired on the same images; Holm p is over these too."
MISSING = "Missing shams. Nothing was run; these commands run them:"
ALL_THERE = "No sham is missing."


class Table(NamedTuple):
    """One task: its title, the metrics' labels, and for each pair its name with a cell a metric."""

    title: str
    metrics: tuple[str, ...]
    rows: tuple[tuple[str, tuple[cells.Change, ...]], ...]


def tables(comparison: RunComparison) -> list[Table]:
    """A table a task of the comparison, with a row for each arm and sham of it; none without shams among the arms."""
    if comparison.controls is None or not comparison.controls.beside:
        return []
    found = []
    for task in [block.task for block in comparison.blocks]:
        pairs: list[tuple[int, int, str, Block, int]] = []
        for one in comparison.controls.beside:
            block = next(block for block in one.blocks if block.task == task)
            for place, arm in enumerate(one.arms, 1):
                name = f"{comparison.arms[arm]} - {comparison.arms[one.sham]}"
                pairs.append((arm, one.sham, name, block, place))
        pairs.sort(key=lambda pair: pair[:2])
        rows = [(name, tuple(cells.change(row, place) for row in block.rows)) for *_, name, block, place in pairs]
        first = pairs[0][3]
        found.append(Table(cells.title(first), tuple(cells.label(row.metric) for row in first.rows), tuple(rows)))
    return found


def text(comparison: RunComparison, width: int | None = None) -> Iterator[str]:
    """Lines behind the comparison's own."""
    for number, one in enumerate(tables(comparison)):
        rows = [(name, *map(_cell, changes)) for name, changes in one.rows]
        yield from ("", *([] if number else [BESIDE, ""]), one.title)
        yield from terminal.table(["", *one.metrics], rows, width).splitlines()
    yield from _missing(comparison)


def markdown(comparison: RunComparison) -> Iterator[str]:
    """Lines behind the comparison's own."""
    for number, one in enumerate(tables(comparison)):
        yield from ("", *([] if number else [f"**{BESIDE}**", ""]), one.title, "")
        yield f"|  | {' | '.join(one.metrics)} |"
        yield "|" + "---|" * (len(one.metrics) + 1)
        yield from (f"| {name} | {' | '.join(map(_cell, changes))} |" for name, changes in one.rows)
    lines = list(_missing(comparison))
    if comparison.controls and comparison.controls.missing:
        lines = [*lines[:2], "", "```", *lines[2:], "```"]
    yield from lines


def html(comparison: RunComparison, table: Callable[[str, Sequence[str], Sequence[str]], str]) -> Iterator[str]:
    """A section of the page; `table` makes one of a caption, heads, and rows in HTML."""
    if comparison.controls is None:
        return
    yield '<section aria-labelledby="shams"><h2 id="shams">More than a placebo?</h2>'
    found = tables(comparison)
    if found:
        yield f"<p>{escape(BESIDE)}</p>"
    for one in found:
        rows = [
            f'<tr><th scope="row">{escape(name)}</th>'
            + "".join(f"<td>{escape(_cell(change))}</td>" for change in changes)
            + "</tr>"
            for name, changes in one.rows
        ]
        yield table(one.title, ("arm - sham", *map(escape, one.metrics)), rows)
    lines = [line for line in _missing(comparison) if line]
    yield f"<p>{escape(lines[0])}</p>"
    if lines[1:]:
        yield f"<pre>{escape(chr(10).join(lines[1:]))}</pre>"
    yield "</section>"


def _cell(change: cells.Change) -> str:
    """``+1.7 [0.6, 2.7], p 0.001, ▼ worse``."""
    p_holm = f"p {change.p_holm}" if change.p_holm else ""
    return ", ".join(filter(None, (change.size, p_holm, change.verdict if change.found else "")))


def _missing(comparison: RunComparison) -> Iterator[str]:
    """An empty line, what is said of missing shams, and for each whose it is and its command."""
    if comparison.controls is None:
        return
    yield from ("", MISSING if comparison.controls.missing else ALL_THERE)
    for one in comparison.controls.missing:
        yield f"# {one.sham}, of {', '.join(comparison.arms[arm] for arm in one.arms)}"
        yield one.command
    if comparison.controls.missing:
        folders = [*(run.given for run in comparison.runs), *(one.output for one in comparison.controls.missing)]
        yield "# then"
        yield shlex.join(["hallu", "compare", *dict.fromkeys(folders), "--controls"])
