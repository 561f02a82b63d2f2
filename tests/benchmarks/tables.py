"""The rows as aligned text, Markdown or JSON."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence

from pairs import Bound, Row

COLUMNS = ("measurement", "where", "control", "arm", "arm/control", "quartiles", "repeats", "bound", "result")


def text(header: Mapping[str, str], rows: Sequence[Row], notes: Sequence[str]) -> str:
    cells = [COLUMNS, *map(_cells, rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(COLUMNS))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in cells]
    lines.insert(1, "-" * max(map(len, lines)))
    return "\n".join([*(f"{key}: {value}" for key, value in header.items()), "", *lines, "", *_notes(rows, notes)])


def markdown(header: Mapping[str, str], rows: Sequence[Row], notes: Sequence[str]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in [COLUMNS, *map(_cells, rows)]]
    lines.insert(1, "|" + "---|" * len(COLUMNS))
    listed = [f"* {line}" for line in _notes(rows, notes)]
    return "\n".join([*(f"* {key}: {value}" for key, value in header.items()), "", *lines, "", *listed])


def as_json(header: Mapping[str, str], rows: Sequence[Row], notes: Sequence[str]) -> str:
    found = [{**dataclasses.asdict(row), "result": row.result} for row in rows]
    return json.dumps({"machine": header, "rows": found, "notes": notes}, indent=2)


def _notes(rows: Sequence[Row], notes: Sequence[str]) -> list[str]:
    return [*notes, *(f"{row.measurement}, {row.where}: {row.note}" for row in rows if row.note)]


def _cells(row: Row) -> tuple[str, ...]:
    if row.value is None or row.quartiles is None or row.control is None or row.arm is None:
        return (row.measurement, row.where, "", "", "", "", "", "", row.result)
    digits = 3 if row.unit == "s" else 1
    value = f"{row.value:+.{digits}f} {row.unit}" if row.difference else f"{row.value:.3f}"
    places = digits if row.difference else 3
    return (
        row.measurement,
        row.where,
        f"{row.control:.{digits}f} {row.unit}",
        f"{row.arm:.{digits}f} {row.unit}",
        value,
        " to ".join(f"{quartile:.{places}f}" for quartile in row.quartiles),
        str(row.repeats),
        _bound(row.bound, f" {row.unit}" if row.difference else ""),
        row.result,
    )


def _bound(bound: Bound | None, unit: str) -> str:
    return "" if bound is None else f"{'>=' if bound.at_least else '<='} {bound.limit:.2f}{unit}"
