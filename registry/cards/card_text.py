"""Cards as text: for the terminal, and as a table in Markdown."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator

from registry.cards.card import Card, Published
from registry.cards.parameter import SOURCES, show

WIDTH = 100

_Paragraph = tuple[str, str, str | None]
"""A text, what stands before its first line, and before the others (None: the same)."""

_FIDELITY = {
    "paper": "every step is stated in the paper or the authors' code",
    "reconstructed": "the idea is published; the choices marked [?] are ours",
    "port": "known only through another project's implementation",
    "ours": "a control of this package; no paper states it",
    "third-party": "installed by another distribution",
}


def describe(card: Card, *, verbose: bool = False, width: int = WIDTH, origin: str = "") -> str:
    """A card in ``width`` columns; ``verbose`` adds steps, presets, deviations, notes and published numbers.

    origin: the distribution that it is from, where that is another's.
    """
    found = (line for text, first, rest in _lines(card, verbose, origin) for line in _wrapped(text, first, rest, width))
    return "\n".join(found)


def apart(cards: Iterable[Card]) -> tuple[list[Card], list[Card]]:
    """The methods, and the controls."""
    listed = list(cards)
    return [card for card in listed if not card.control], [card for card in listed if card.control]


def markdown(cards: Iterable[Card]) -> str:
    """The table of methods: method, one-line claim, paper, fidelity, cost; behind it that of the controls."""
    tables = [_table(head, part) for head, part in zip(("method", "control"), apart(cards)) if part]
    return "\n\n".join(tables)


def _table(head: str, cards: Iterable[Card]) -> str:
    rows = [f"| {head} | what it does | paper | fidelity | cost |", "|---|---|---|---|---|"]
    for card in cards:
        paper = f"[{card.paper.venue}]({card.paper.url})" if card.paper else ""
        cells = (f"`{card.name}`", card.summary, paper, card.fidelity, card.cost)
        rows.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(rows)


def _lines(card: Card, verbose: bool, origin: str) -> Iterator[_Paragraph]:
    yield card.title, "", None
    yield card.summary, "", None
    yield "", "", None
    yield _pair("name", card.name)
    if origin:
        yield _pair("from", origin)
    if card.paper:
        yield _pair("paper", f"{card.paper.title} ({card.paper.venue})")
        yield _pair("", card.paper.url)
        if card.paper.code:
            yield _pair("", card.paper.code)
    fidelity = _FIDELITY[card.fidelity]
    yield _pair(
        "fidelity", f"{card.fidelity}: {fidelity.replace('are ours', 'are its author’s') if origin else fidelity}"
    )
    if card.uses:
        yield _pair("uses", ", ".join(card.uses))
    yield _pair("cost", card.cost)
    if card.control:
        yield _pair("control", f"a sham of {card.like}" if card.like else "a sham: to be compared with, not to be used")
    if card.shams:
        yield _pair("shams", f"{', '.join(card.shams)}: what else could look like its effect")
    if card.identity:
        yield _pair("off at", _settings(card.identity.items()))
    if card.parameters:
        yield from _headed("Parameters")
        for parameter in card.parameters:
            yield f"{parameter.name} = {show(parameter.default) or '(empty)'}  {parameter.provenance}", "  ", "    "
            yield parameter.text, "      ", None
            yield f"Allowed: {parameter.allowed}.", "      ", None
    if verbose:
        yield from _details(card)


def _details(card: Card) -> Iterator[_Paragraph]:
    if card.mechanism:
        yield from _headed("How it works")
        for number, step in enumerate(card.mechanism, 1):
            yield step, f"  {number}. ", "     "
    if card.presets:
        yield from _headed("Published settings by model family")
        for family, preset in card.presets.items():
            yield f"{family}: {_settings(preset.items())}", "  ", "    "
    for title, texts in (
        ("Where this differs from the paper", card.deviations),
        ("Good to know", card.notes),
    ):
        if texts:
            yield from _headed(title)
            for text in texts:
                yield text, "  - ", "    "
    if card.published:
        yield from _headed("Published numbers (percent; compare only inside one source)")
        for row in card.published:
            yield _published(row), "  - ", "    "
    if card.parameters:
        yield "", "", None
        yield "; ".join(f"[{tag}] {meaning}" for tag, meaning in SOURCES.items()) + ".", "", None


def _published(row: Published) -> str:
    text = f"{row.source}, {row.model}, {row.setting}: {_settings(row.numbers.items())}"
    return f"{text}; plain model: {_settings(row.baseline.items())}" if row.baseline else text


def _settings(pairs: Iterable[tuple[str, object]]) -> str:
    return " ".join(f"{name}={show(value)}" for name, value in pairs)


def _headed(title: str) -> Iterator[_Paragraph]:
    yield from (("", "", None), (title, "", None))


def _pair(name: str, text: str) -> _Paragraph:
    return text, f"  {name:<9} ", " " * 12


def _wrapped(text: str, first: str, rest: str | None, width: int) -> list[str]:
    return textwrap.wrap(
        text,
        width,
        initial_indent=first,
        subsequent_indent=first if rest is None else rest,
        break_long_words=False,
        break_on_hyphens=False,
    ) or [""]
