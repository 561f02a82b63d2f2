"""The cards of the built-in methods: one YAML file a method, the file's name is the method's name."""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path

from registry.cards.card import FIDELITIES, Card, Fidelity, Paper, Published, third_party
from registry.cards.parameter import SOURCES, Parameter
from registry.errors import CardError

__all__ = [
    "FIDELITIES",
    "SOURCES",
    "Card",
    "Fidelity",
    "Paper",
    "Parameter",
    "Published",
    "beside",
    "folder",
    "load",
    "names",
    "read",
    "third_party",
]


def folder() -> Path:
    """Where the built-in cards are."""
    return Path(__file__).parent


@functools.cache
def names() -> tuple[str, ...]:
    """Names of the built-in methods, sorted. Reads file names only."""
    return tuple(sorted(path.stem for path in folder().glob("*.yaml")))


@functools.cache
def load(name: str) -> Card:
    """The card of a built-in method. Raises ``CardError`` if it is malformed or missing."""
    return read(folder() / f"{name}.yaml")


def read(path: Path, *, own: bool = True) -> Card:
    """The card in a file. Raises ``CardError`` with the file and the key, also for shams that are no controls."""
    from registry.cards import card_file

    card = card_file.read(path, own=own)
    for number, sham in enumerate(card.shams):
        if sham not in names() or not load(sham).control:
            cards = (card_file.read(folder() / f"{name}.yaml") for name in names())
            controls = ", ".join(one.name for one in cards if one.control)
            raise CardError(f"{path}: shams[{number}]: {sham!r} is not one of the controls: {controls}")
    if card.like is not None and card.like not in names():
        raise CardError(f"{path}: like: {card.like!r} is not one of {', '.join(names())}")
    return card


@functools.cache
def beside(module: str, name: str) -> Card | None:
    """The card of another distribution's method: ``NAME.yaml`` beside the module, in its package; None without one.

    Imports nothing of it. Raises ``CardError`` if the card is malformed.
    """
    top, *rest = module.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        place = Path(folder, *rest)
        for file in (place / f"{name}.yaml", *([place.parent / f"{name}.yaml"] if rest else [])):
            if file.is_file():
                return read(file, own=False)
    return None
