"""The controls that a method is to be compared with, and the settings that they take from it."""

from __future__ import annotations

from collections.abc import Mapping

from registry.model_families import family
from registry.plugins import lazy

__all__ = ["is_control", "of", "settings"]


def is_control(method: str | None) -> bool:
    """Whether a method is a control itself; False for the plain model and for methods that are not installed."""
    return method in lazy.interventions() and lazy.listed(str(method)).control


def of(method: str | None, family_id: str | None = None) -> tuple[str, ...]:
    """The shams of a method or a composition, the nearest first, of those that run on the family.

    None for the plain model, for a control, and for methods that are not installed.
    """
    parts = [part.strip() for part in (method or "").split("+")]
    cards = [lazy.listed(part) for part in parts if part in lazy.interventions()]
    row = family.load().get(family_id or "")
    found = dict.fromkeys(sham for card in cards for sham in card.shams)
    return tuple(sham for sham in found if row is None or row.cell(lazy.card(sham)).status != "refused")


def settings(sham: str, given: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """Of arguments by method, those that a sham takes: of the method that it is like, where both have the parameter."""
    card = lazy.card(sham)
    own = given.get(card.like or "", {})
    return {name: value for name, value in own.items() if card.parameter(name) is not None}
