"""Cards as text: for the terminal, and as the README's table."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator

from registry.card import Card, Published
from registry.parameter import SOURCES, show

WIDTH = 100

_FIDELITY = {
    "paper": "every step is stated in the paper or the authors' code",
    "reconstructed": "the idea is published; the choices marked [?] are ours",
    "port": "known only through another project's implementation",
    "third-party": "installed by another distribution",
}


def describe(card: Card, *, verbose: bool = False) -> str:
    """A card for the terminal; ``verbose`` adds steps, presets, deviations, notes and published numbers."""
    return "\n".join(_lines(card, verbose))


def markdown(cards: Iterable[Card]) -> str:
    """The table of methods: method, one-line claim, paper, fidelity, cost."""
    rows = ["| method | what it does | paper | fidelity | cost |", "|---|---|---|---|---|"]
    for card in cards:
        paper = f"[{card.paper.venue}]({card.paper.url})" if card.paper else ""
        cells = (f"`{card.name}`", card.summary, paper, card.fidelity, card.cost)
        rows.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(rows)


def _lines(card: Card, verbose: bool) -> Iterator[str]:
    yield card.title
    yield from _wrapped(card.summary)
    yield ""
    yield from _pair("name", card.name)
    if card.paper:
        yield from _pair("paper", f"{card.paper.title} ({card.paper.venue})")
        yield from _pair("", card.paper.url)
        if card.paper.code:
            yield from _pair("", card.paper.code)
    yield from _pair("fidelity", f"{card.fidelity}: {_FIDELITY[card.fidelity]}")
    yield from _pair("cost", card.cost)
    if card.identity:
        yield from _pair("off at", _settings(card.identity.items()))
    if card.parameters:
        yield from ("", "Parameters")
        for parameter in card.parameters:
            yield f"  {parameter.name} = {show(parameter.default) or '(empty)'}  {parameter.provenance}"
            yield from _wrapped(parameter.text, "      ")
            yield from _wrapped(f"Allowed: {parameter.allowed}.", "      ")
    if verbose:
        yield from _details(card)


def _details(card: Card) -> Iterator[str]:
    if card.mechanism:
        yield from ("", "How it works")
        for number, step in enumerate(card.mechanism, 1):
            yield from _wrapped(step, f"  {number}. ", "     ")
    if card.presets:
        yield from ("", "Published settings by model family")
        for family, preset in card.presets.items():
            yield f"  {family}: {_settings(preset.items())}"
    for title, texts in (
        ("Where this differs from the paper", card.deviations),
        ("Good to know", card.notes),
    ):
        if texts:
            yield from ("", title)
            for text in texts:
                yield from _wrapped(text, "  - ", "    ")
    if card.published:
        yield from ("", "Published numbers (percent; compare only inside one source)")
        for row in card.published:
            yield from _wrapped(_published(row), "  - ", "    ")
    if card.parameters:
        yield ""
        yield from _wrapped("; ".join(f"[{tag}] {meaning}" for tag, meaning in SOURCES.items()) + ".")


def _published(row: Published) -> str:
    text = f"{row.source}, {row.model}, {row.setting}: {_settings(row.numbers.items())}"
    return f"{text}; plain model: {_settings(row.baseline.items())}" if row.baseline else text


def _settings(pairs: Iterable[tuple[str, object]]) -> str:
    return " ".join(f"{name}={show(value)}" for name, value in pairs)


def _pair(name: str, text: str) -> list[str]:
    return _wrapped(text, f"  {name:<9} ", " " * 12)


def _wrapped(text: str, first: str = "", rest: str | None = None) -> list[str]:
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=first,
        subsequent_indent=first if rest is None else rest,
        break_long_words=False,
        break_on_hyphens=False,
    )
