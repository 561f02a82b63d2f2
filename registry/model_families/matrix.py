"""Method by model family: what works, what works within a stated limit, what is refused and why."""

from __future__ import annotations

import string
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


def text(methods: Iterable[Card]) -> tuple[list[tuple[str, ...]], list[tuple[str, ...]], list[str]]:
    """Rows of the table, its head first; what its columns stand for; the notes that its numbers point to.

    A column is named by its method; several that fare alike on every family share one, named by a letter. Controls
    have columns of their own, behind the methods'.
    """
    cards, notes = sorted(methods, key=lambda card: card.control), list[str]()
    cells = table(cards)
    columns: dict[tuple[bool, tuple[Cell, ...]], list[str]] = {}
    for card in cards:
        columns.setdefault((card.control, tuple(row[card.name] for row in cells.values())), []).append(card.name)
    letters = iter(string.ascii_uppercase)
    heads = [names[0] if len(names) == 1 else next(letters) for names in columns.values()]
    rows: list[tuple[str, ...]] = [("FAMILY", *heads)]
    for place, name in enumerate(cells):
        rows.append((name, *(_marked(column[place], notes) for _, column in columns)))
    return rows, [(head, *names) for head, names in zip(heads, columns.values())], notes


def markdown(methods: Iterable[Card]) -> str:
    """The table as Markdown, with its notes and the families' limits."""
    (_, *body), columns, notes = text(methods)
    lines = [("family", *(" ".join(f"`{name}`" for name in names) for _, *names in columns))]
    lines += [("---",) * len(lines[0]), *((f"`{name}`", *marks) for name, *marks in body)]
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
