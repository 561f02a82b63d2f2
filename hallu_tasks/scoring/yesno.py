"""Read a free-text answer as yes or no.

Published numbers differ because the rules do, so the rule is a parameter (`policy`) that every result
carries:

==========  ===============================================================================================
official    POPE's script: the text before the first ``.``, without commas, split on single spaces, is no
            when it holds ``No``, ``not`` or ``no``; everything else is yes, the empty answer included
opera       OPERA's script: without ``.`` and ``,``, split on single spaces, no when it holds ``No``,
            ``not``, ``no``, ``NO`` or a word that ends in ``n't``; everything else is yes
prefix      MME's script: the first four characters, lower-cased, hold ``yes`` or ``no``, else unparsed; an
            answer that is exactly yes or no falls under the same rule
words       the word yes or the word no occurs, in any case, but not both, else unparsed
strict      exactly yes or no after lower-casing and stripping, else unparsed (lmms-eval's ``pope`` task)
==========  ===============================================================================================

Sources: Li et al. 2023 (POPE), Huang et al. 2024 (OPERA), Fu et al. 2023 (MME), their evaluation scripts.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Literal

__all__ = ["POLICIES", "check", "label", "parse"]

YesNo = Literal["yes", "no"]


def _official(answer: str) -> YesNo | None:
    words = answer.split(".", 1)[0].replace(",", "").split(" ")
    return "no" if not {"No", "not", "no"}.isdisjoint(words) else "yes"


def _opera(answer: str) -> YesNo | None:
    words = answer.replace(".", "").replace(",", "").split(" ")
    negative = any(word in {"No", "not", "no", "NO"} or word.endswith("n't") for word in words)
    return "no" if negative else "yes"


def _prefix(answer: str) -> YesNo | None:
    start = answer.lower()[:4]
    if "yes" in start:
        return "yes"
    return "no" if "no" in start else None


_WORD = re.compile(r"(?<![^\W_])(yes|no)(?![^\W_])")


def _words(answer: str) -> YesNo | None:
    found = set(_WORD.findall(answer.lower()))
    if found == {"yes"}:
        return "yes"
    return "no" if found == {"no"} else None


def _strict(answer: str) -> YesNo | None:
    text = answer.lower().strip()
    if text == "yes":
        return "yes"
    return "no" if text == "no" else None


_PARSERS: dict[str, Callable[[str], YesNo | None]] = {
    "official": _official,
    "opera": _opera,
    "prefix": _prefix,
    "words": _words,
    "strict": _strict,
}

POLICIES = tuple(_PARSERS)
"""The names `parse` accepts."""


def check(policy: str) -> None:
    """Raise `ValueError` with the allowed names when `policy` is not one of them."""
    if policy not in _PARSERS:
        raise ValueError(f"unknown yes/no policy {policy!r}; allowed: {', '.join(POLICIES)}")


def parse(answer: str, policy: str = "official") -> YesNo | None:
    """Return ``"yes"``, ``"no"``, or ``None`` when the policy cannot read the answer.

    Defined for every string. Raises `ValueError` for an unknown policy, `TypeError` for an answer that is
    not text.
    """
    check(policy)
    if not isinstance(answer, str):
        raise TypeError(f"an answer must be text, got {answer!r} ({type(answer).__name__})")
    return _PARSERS[policy](answer)


def label(value: object) -> YesNo:
    """Return a ground-truth label as ``"yes"`` or ``"no"``; `ValueError` for anything else.

    Case and surrounding blanks do not matter: the official files write ``yes`` (POPE) and ``Yes`` (MME).
    """
    text = value.strip().lower() if isinstance(value, str) else None
    if text == "yes":
        return "yes"
    if text == "no":
        return "no"
    raise ValueError(f"unknown label {value!r}; allowed: yes, no")
