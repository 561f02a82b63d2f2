"""What a benchmark says for ``hallu score``: its arguments, its help, how its files are scored and the result told."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hallu_tasks.estimates.bootstrap import Bootstrap, Result
from hallu_tasks.scoring import yesno

__all__ = ["Scorer", "checked", "unread"]


@dataclass(frozen=True)
class Scorer:
    """One ``hallu score NAME``; `title` is the benchmark's name on the screen.

    `example` is its line in the command's own help. `arguments` adds what it takes beside ``--resamples``, ``--seed``
    and ``--json``. `score` returns the result with ``files`` (paths by what they are), ``notes`` and maybe
    ``warnings``, and raises `ValueError` as the readers do, and when a mode's data are missing. `lines` are the result
    as text: a headline, then what stands below the files.
    """

    name: str
    title: str
    summary: str
    description: str
    example: str
    examples: str
    arguments: Callable[[argparse.ArgumentParser], None]
    score: Callable[[argparse.Namespace, Bootstrap], Result]
    lines: Callable[[Result], list[str]]


def checked(check: Callable[..., None], *rules: str) -> None:
    """Call a scorer's check of the data that a rule needs; `ValueError` with the command that installs them."""
    try:
        check(*rules)
    except RuntimeError as error:
        raise ValueError(str(error)) from None


def unread(counts: Mapping[str, Any], policy: str) -> tuple[list[str], list[str]]:
    """Warnings and notes on answers that are neither yes nor no to the policy."""
    every = counts["questions_count"]
    found = [
        yesno.caution({"answers": (counts.get("by_default_count", 0), every)}, policy, default=True),
        yesno.caution({"answers": (counts["unparsed_count"], every)}, policy, default=False),
    ]
    said = [one for one in found if one]
    return [text for loud, text in said if loud], [text for loud, text in said if not loud]
