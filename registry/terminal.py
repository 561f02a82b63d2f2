"""Text as wide as the terminal. Where output goes into a file or a pipe there is no width, and nothing is folded."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Iterable, Sequence

__all__ = ["folded", "row", "table", "width"]

NARROWEST = 40
"""Columns below which nothing is laid out further."""


def width() -> int | None:
    """Columns of the terminal that standard output is, ``COLUMNS`` where it is set; ``None`` where it is none."""
    if not sys.stdout.isatty():
        return None
    return max(NARROWEST, shutil.get_terminal_size().columns)


def folded(text: str, width: int | None, hang: str = "  ") -> list[str]:
    """The line in lines of at most `width`, the further ones behind `hang`; a longer word, as a path, stays whole."""
    if width is None or len(text) <= width:
        return [text]
    return textwrap.wrap(text, width, subsequent_indent=hang, break_long_words=False, break_on_hyphens=False)


def row(cells: Sequence[str], width: int | None, hang: str) -> list[str]:
    """Cells with two spaces between them; one that does not fit begins a line behind `hang`."""
    lines = [""]
    for cell in cells:
        joined = f"{lines[-1]}  {cell}" if lines[-1].strip() else f"{lines[-1]}{cell}"
        if width is not None and len(joined.rstrip()) > width and lines[-1].strip():
            lines.append(f"{hang}{cell}")
        else:
            lines[-1] = joined
    return [line.rstrip() for line in lines]


def table(head: Sequence[str], rows: Iterable[Sequence[str]], width: int | None = None) -> str:
    """Aligned columns, the last one left ragged.

    Where they are wider than `width`, the last column is folded; where that would leave less than a third of the width
    to it, every row is a paragraph: its first cell, then a line for each other cell with the column's head.
    """
    lines = [list(head), *map(list, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    aligned = ["  ".join(cell.ljust(size) for cell, size in zip(line, widths)).rstrip() for line in lines]
    if width is None or max(map(len, aligned)) <= width:
        return "\n".join(aligned)
    before = sum(widths[:-1]) + 2 * (len(widths) - 1)
    if width - before >= width // 3:
        return "\n".join(part for line in aligned for part in folded(line, width, " " * before))
    paragraphs = [
        "\n".join([first, *(part for title, cell in zip(head[1:], rest) for part in _named(title, cell, width))])
        for first, *rest in lines[1:]
    ]
    return "\n".join(paragraphs)


def _named(title: str, cell: str, width: int) -> list[str]:
    return folded(f"  {title.lower()}: {cell}", width, "    ") if cell else []
