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
contains    RePOPE's and DASH-B's scripts: "yes" occurs anywhere, in any case, else "no" occurs, also inside of
            words such as "not" and "another", else unparsed
==========  ===============================================================================================

official and opera have a rule for no alone. What they read as yes for want of it is not always a yes: "perhaps", a
blank answer and "NO" are yes to official. `by_default` tells such answers, and every scorer counts them.

Sources: Li et al. 2023 (POPE), Huang et al. 2024 (OPERA), Fu et al. 2023 (MME), Augustin et al. 2025 (DASH-B), their
evaluation scripts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Literal

__all__ = ["MOST_UNREAD", "POLICIES", "YesNo", "by_default", "caution", "check", "label", "parse"]

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


def _contains(answer: str) -> YesNo | None:
    text = answer.lower()
    if "yes" in text:
        return "yes"
    return "no" if "no" in text else None


_PARSERS: dict[str, Callable[[str], YesNo | None]] = {
    "official": _official,
    "opera": _opera,
    "prefix": _prefix,
    "words": _words,
    "strict": _strict,
    "contains": _contains,
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


_DEFAULT_YES = ("official", "opera")

MOST_UNREAD = 5.0
"""Percent of the answers: where a policy decides more by its default, or cannot read more, results warn of it, because
scores can then differ by as many points for no reason but the policy."""


def by_default(answer: str, policy: str = "official") -> bool:
    """Whether the policy reads the answer as yes only because it finds no "no": the word yes does not occur.

    Never so for policies that leave such answers unparsed. Raises as `parse`.
    """
    read = parse(answer, policy)
    return policy in _DEFAULT_YES and read == "yes" and "yes" not in _WORD.findall(answer.lower())


def caution(unread: Mapping[str, tuple[int, int]], policy: str, *, default: bool) -> tuple[bool, str] | None:
    """What is said of answers that a policy decided by its default or could not read, ``None`` where there are none.

    `unread` maps what names the answers, such as "answers of llava_base", to how many these are, and of how many; with
    `default` they were decided by default. The first value says whether some are more than `MOST_UNREAD`.
    """
    found = {what: (count, every) for what, (count, every) in unread.items() if count}
    if not found:
        return None
    counted = [f"{count} of {every} {what} ({100 * count / every:.3g} %)" for what, (count, every) in found.items()]
    told = f"neither say yes nor are a no to policy {policy}, which decides them by default: yes"
    if not default:
        told = f"cannot be read under policy {policy} and are wrong"
    many = any(100 * count > MOST_UNREAD * every for count, every in found.values())
    return many, f"{', '.join(counted)} {told}"


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
