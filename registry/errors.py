"""The errors a user can meet here, and the search for near matches they share."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class BadArgument(ValueError):
    """An argument of a method that is unknown, malformed or outside its range."""


class BadName(ValueError):
    """A name that cannot be a method's name."""


class NameCollision(ValueError):
    """Two parties that claim one name."""


class CardError(ValueError):
    """A malformed data file of this package; the message names the file and the key."""


class LoadError(ImportError):
    """A registered name whose code cannot be imported."""


class UnknownName(ValueError):
    """A name nobody registered.

    ``name`` is what was asked for, ``matches`` the near ones, best first.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str], listing: str) -> None:
        self.name = name
        self.matches = near(name, known)
        super().__init__(f"unknown {kind} {name!r}{did_you_mean(self.matches)}; `{listing}` lists all of them")


def near(name: str, known: Iterable[str]) -> list[str]:
    """Up to three of ``known`` that resemble ``name``, best first, without regard to case."""
    by_lower = {candidate.lower(): candidate for candidate in known}
    return [by_lower[match] for match in difflib.get_close_matches(name.lower(), by_lower, n=3, cutoff=0.6)]


def did_you_mean(matches: list[str]) -> str:
    """``" (did you mean a or b?)"``, empty without matches."""
    return f" (did you mean {' or '.join(matches)}?)" if matches else ""
