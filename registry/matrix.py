"""Method by model family: what works, what works within a stated limit, what is refused and why."""

from __future__ import annotations

from collections.abc import Sequence

from registry import family, lazy
from registry.family import Cell, Family

WORKS = Cell("works", "")
MARKS = {"works": "yes", "limited": "within limits", "refused": "no"}


def table(methods: Sequence[str]) -> dict[str, dict[str, Cell]]:
    """Cell of every family and method; the families that are refused as a whole come last."""
    found = {name: {method: cell(row, method) for method in methods} for name, row in family.load().items()}
    refused = {name: dict.fromkeys(methods, Cell("refused", row.reason)) for name, row in family.refused().items()}
    return {**found, **refused}


def cell(row: Family, method: str) -> Cell:
    """Whether the method works on a family; it does where the family's entry says nothing of what it needs."""
    found = [row.cells[need] for need in (*lazy.listed(method).needs, "any") if need in row.cells]
    return next((one for one in found if one.status == "refused"), found[0] if found else WORKS)


def text(methods: Sequence[str]) -> tuple[list[tuple[str, ...]], list[str]]:
    """Rows of the table, its head first, and the notes that its numbers point to."""
    cells, notes = table(methods), list[str]()
    rows: list[tuple[str, ...]] = [("FAMILY", *methods)]
    for name, by_method in cells.items():
        rows.append((name, *(_marked(one, notes) for one in by_method.values())))
    return rows, notes


def markdown(methods: Sequence[str]) -> str:
    """The README's table."""
    rows, notes = text(methods)
    head, *body = rows
    lines = [("family", *(f"`{method}`" for method in methods)), ("---",) * len(head)]
    lines += [(f"`{name}`", *marks) for name, *marks in body]
    table_lines = [f"| {' | '.join(line)} |" for line in lines]
    limits = [f"* `{row.id}`: {limit}" for row in family.load().values() for limit in row.limits]
    numbered = [f"{number}. {note}" for number, note in enumerate(notes, 1)]
    return "\n".join([*table_lines, "", *numbered, "", *limits])


def _marked(one: Cell, notes: list[str]) -> str:
    if not one.reason:
        return MARKS[one.status]
    if one.reason not in notes:
        notes.append(one.reason)
    return f"{MARKS[one.status]} ({notes.index(one.reason) + 1})"
