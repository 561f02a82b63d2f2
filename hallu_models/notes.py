"""Where an error arose, beside what it says: notes as Python shows them from 3.11 on."""

from __future__ import annotations

from typing import Any


def noted(error: Any, note: str) -> None:
    """Give an exception a note."""
    # add_note is younger than the oldest Python here.
    error.__notes__ = [*notes(error), note]


def notes(error: BaseException) -> list[str]:
    """The notes of an exception."""
    return list(getattr(error, "__notes__", ()))
