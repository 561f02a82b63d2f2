"""Method by model family: what works, what works within a stated limit, what is refused and why."""

from __future__ import annotations

from collections.abc import Iterable

from registry.cards.card import Card
from registry.model_families import family
from registry.model_families.family import Cell

MARKS = {"works": "yes", "limited": "within limits", "refused": "no"}


def table(methods: Iterable[Card]) -> dict[str, dict[str, Cell]]:
    """Cell of every family and method; the families that are refused as a whole come last."""
    cards = list(methods)
    found = {name: {card.name: row.cell(card) for card in cards} for name, row in family.load().items()}
    none = {name: {card.name: Cell("refused", row.reason) for card in cards} for name, row in family.refused().items()}
    return {**found, **none}


def text(methods: Iterable[Card]) -> tuple[list[tuple[str, ...]], list[str]]:
    """Rows of the table, its head first, and the notes that its numbers point to."""
    cards, notes = list(methods), list[str]()
    cells = table(cards)
    rows: list[tuple[str, ...]] = [("FAMILY", *(card.name for card in cards))]
    for name, by_method in cells.items():
        rows.append((name, *(_marked(one, notes) for one in by_method.values())))
    return rows, notes


def markdown(methods: Iterable[Card]) -> str:
    """The table as Markdown, with its notes and the families' limits."""
    rows, notes = text(methods)
    head, *body = rows
    lines = [("family", *(f"`{name}`" for name in head[1:])), ("---",) * len(head)]
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
