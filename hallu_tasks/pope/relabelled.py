"""RePOPE's labels beside POPE's: which questions stay, and which have the other label.

Neuhaus and Hein 2025, "RePOPE: Impact of Annotation Errors on the POPE Benchmark", relabelled COCO POPE by hand: wrong
labels are turned, ambiguous questions left out. Ids, images and texts are POPE's, so answers can be scored again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hallu_tasks.pope.answers import PopeQuestion

__all__ = ["COUNTS", "FILE", "Relabelled", "beside", "complete"]

FILE = "coco_repope_{}.json"
"""A strategy's file."""

COUNTS = {"random": 2_774, "popular": 2_727, "adversarial": 2_684}
"""Questions of a strategy, of POPE's 3,000."""


@dataclass(frozen=True)
class Relabelled:
    """RePOPE's questions by id, and how many of POPE's it leaves out and gives the other label."""

    questions: Mapping[int, PopeQuestion]
    left_out: int
    turned: int


def complete(path: str, strategy: str, questions: Mapping[int, PopeQuestion]) -> None:
    """Raise `ValueError` for a file of other than RePOPE's number of questions."""
    if len(questions) != COUNTS[strategy]:
        own = "; this is POPE's own file" if len(questions) == 3_000 else ""
        raise ValueError(
            f"{path} holds {len(questions):,} questions instead of {COUNTS[strategy]:,}{own}; take annotations/"
            f"{FILE.format(strategy)} of github.com/YanNeu/RePOPE"
        )


def beside(
    pope: Mapping[int, PopeQuestion], repope: Mapping[int, PopeQuestion], source: str, relabelled: str
) -> Relabelled:
    """Match RePOPE's questions to POPE's by id, image and text; the order of the lines says nothing.

    `source` and `relabelled` are the two files, for errors. Raises `ValueError` that counts and names questions of
    RePOPE that POPE does not ask, or asks otherwise under the same id, and for files with the same labels.
    """
    strange = [question for number, question in repope.items() if number not in pope]
    other = [
        question
        for number, question in repope.items()
        if number in pope and (question.image, question.key[2]) != (pope[number].image, pope[number].key[2])
    ]
    problems = []
    if strange:
        problems.append(f"{len(strange)} of its questions are not in it ({_named(strange[0])})")
    if other:
        own = pope[other[0].key[1]]
        problems.append(
            f"{len(other)} ask something else under the same id ({_named(other[0])}, but {own.place} asks "
            f"{own.key[2]!r} about {own.image!r})"
        )
    if problems:
        raise ValueError(
            f"{relabelled} ({len(repope):,} questions) does not relabel {source} ({len(pope):,}): "
            f"{'; '.join(problems)}. Give the files of one strategy side by side, POPE's with today's 3,000 questions"
        )
    turned = sum(question.label != pope[number].label for number, question in repope.items())
    if not turned:
        raise ValueError(
            f"{relabelled} has the labels of {source}; give RePOPE's file, which turns some, e.g. "
            f"{FILE.format('random')}"
        )
    return Relabelled(repope, len(pope) - len(repope), turned)


def _named(question: PopeQuestion) -> str:
    return f"{question.place}, question_id {question.key[1]}: {question.key[2]!r} about {question.image!r}"
