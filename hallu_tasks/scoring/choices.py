"""Multiple choice: the letter of an answer, and questions that count together.

CRPE asks each question four times with the options moved on by one, MMVP asks one question about two images; a set is
right when all its answers are. Public code reads the letter in different ways, so the rule is a parameter (`policy`)
that every result carries:

==========  ===============================================================================================
exact       CRPE's script: the answer is a letter and nothing else
first       InternVL's MMVP script: the first character is a letter ("A dog" is A), else the text of an option occurs,
            as it is written; of several the first option's
search      lmms-eval's ``mmvp``: in any case, in this order: a letter at the start before a point or a blank, after
            "answer is", after "option", at the end of any word ("panda" is A), at the start; with or without ( )
==========  ===============================================================================================

An answer in which the policy finds no letter is wrong, and is reported as ``unparsed_count``. VLMEvalKit reads CRPE
much like first (the text of the right option in any case), and MMVP by a letter that stands alone, or an option's text.

Sources: Wang et al. 2024, "The All-Seeing Project V2" (CRPE); Tong et al. 2024, "Eyes Wide Shut?" (MMVP).
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hallu_tasks.scoring.keyed import name_some
from hallu_tasks.scoring.ratios import Ratio, evaluate, total

__all__ = ["ACCURACY", "CRPE", "MMVP", "POLICIES", "Sets", "check", "parse"]

ACCURACY = Ratio("correct", ("questions",), "there are no questions")

_SETS = Ratio("sets_correct", ("sets",), "no set of questions is whole")
_COLUMNS = ("questions", "correct", "unparsed", "sets", "sets_correct")


def _exact(answer: str, options: Mapping[str, str]) -> str | None:
    return answer if answer in options else None


def _first(answer: str, options: Mapping[str, str]) -> str | None:
    if answer[:1] in options:
        return answer[:1]
    return next((letter for letter, text in options.items() if text in answer), None)


def _search(answer: str, options: Mapping[str, str]) -> str | None:
    letter = rf"\(?([{''.join(options)}])\)?"
    for pattern in (rf"^{letter}[.\s]", rf"answer\s+is\s+{letter}", rf"option\s+{letter}", rf"{letter}(?:\s|$)"):
        if found := re.search(pattern, answer, re.IGNORECASE):
            return found[1].upper()
    start = answer[:1].upper()
    return start if start in options else None


_PARSERS: dict[str, Callable[[str, Mapping[str, str]], str | None]] = {
    "exact": _exact,
    "first": _first,
    "search": _search,
}

POLICIES = tuple(_PARSERS)
"""The names `parse` accepts."""


def check(policy: str) -> None:
    """Raise `ValueError` with the allowed names when `policy` is not one of them."""
    if policy not in _PARSERS:
        raise ValueError(f"unknown multiple-choice policy {policy!r}; allowed: {', '.join(POLICIES)}")


def parse(answer: str, options: Sequence[str], policy: str) -> str | None:
    """Return the letter of the option that is chosen, A for the first, or ``None`` where the policy finds none.

    Blanks around the answer do not matter. Raises `ValueError` for an unknown policy, `TypeError` for an answer that is
    not text.
    """
    check(policy)
    if not isinstance(answer, str):
        raise TypeError(f"an answer must be text, got {answer!r} ({type(answer).__name__})")
    return _PARSERS[policy](answer.strip(), dict(zip(string.ascii_uppercase, options)))


@dataclass(frozen=True)
class Sets:
    """Questions that count together: `size` records with the same value under `key`, and the name of their `score`."""

    key: str
    size: int
    score: str

    @property
    def statistics(self) -> dict[str, Ratio]:
        """The scores as ratios of the summed columns of `sums`, for `paired`."""
        return {self.score: _SETS, "accuracy": ACCURACY}

    def record(self, answer: str, label: str, options: Sequence[str], place: int, policy: str) -> dict[str, Any]:
        """Return what one answer adds to the scores; `place` is the number of its set, `label` the right letter."""
        said = parse(answer, options, policy)
        return {self.key: place, "correct": int(said == label), "unparsed": int(said is None), "policy": policy}

    def whole(self, records: Iterable[Mapping[str, Any]]) -> tuple[list[Mapping[str, Any]], list[Mapping[str, Any]]]:
        """Split records into those of whole sets and the rest, as a limited run leaves it behind."""
        kept: list[Mapping[str, Any]] = []
        rest: list[Mapping[str, Any]] = []
        for group in self._grouped(records).values():
            (kept if len(group) >= self.size else rest).extend(group)
        return kept, rest

    def sums(self, records: Iterable[Mapping[str, Any]]) -> dict[Hashable, dict[str, int]]:
        """Return the counts of each set, by its number: questions, those right or unparsed, sets, and sets all right.

        Raises `ValueError` that names sets with more or fewer records than they have questions.
        """
        grouped = self._grouped(records)
        if odd := [(place, len(group)) for place, group in grouped.items() if len(group) != self.size]:
            raise ValueError(
                f"sets that do not have {self.size} answers ({self.key}, answers): {name_some(odd)}; questions of a "
                "set are scored together, so give one answer to each"
            )
        return {place: self._counts(group) for place, group in grouped.items()}

    def aggregate(self, records: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
        """Return the scores of many `record` results; the order does not matter.

        Percentages `score` (sets all right) and ``accuracy`` (single answers); ``questions_count``, ``sets_count``,
        ``unparsed_count``; ``policy``; ``reasons``. Raises `ValueError` as `sums`, and for different policies.
        """
        listed = list(records)
        policies = sorted({record["policy"] for record in listed})
        if len(policies) > 1:
            raise ValueError(f"records of different multiple-choice policies cannot be added: {', '.join(policies)}")
        counted = total(list(self.sums(listed).values()), _COLUMNS)
        scores, reasons = evaluate(self.statistics, counted)
        return {
            **scores,
            **{f"{column}_count": counted[column] for column in ("questions", "sets", "unparsed")},
            "policy": policies[0] if policies else None,
            "reasons": reasons,
        }

    def _grouped(self, records: Iterable[Mapping[str, Any]]) -> dict[Hashable, list[Mapping[str, Any]]]:
        grouped: dict[Hashable, list[Mapping[str, Any]]] = {}
        for record in records:
            grouped.setdefault(record[self.key], []).append(record)
        return grouped

    def _counts(self, group: list[Mapping[str, Any]]) -> dict[str, int]:
        right = sum(record["correct"] for record in group)
        return {
            "questions": self.size,
            "correct": right,
            "unparsed": sum(record["unparsed"] for record in group),
            "sets": 1,
            "sets_correct": int(right == self.size),
        }


CRPE = Sets("circle", 4, "circular_accuracy")
"""A question with its options in four orders."""

MMVP = Sets("pair", 2, "pair_accuracy")
"""A question about two images."""
