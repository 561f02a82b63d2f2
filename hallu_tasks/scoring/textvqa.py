"""TextVQA: the VQA accuracy of short answers against ten human ones.

Singh et al. 2019, "Towards VQA Models That Can Read"; the accuracy is that of Antol et al. 2015, "VQA: Visual
Question Answering", the normaliser that of M4C (Hu et al. 2020). An answer is worth what it would earn
against nine of the ten people, min(matches / 3, 1), averaged over who is left out: 0, 30, 60, 90 or 100 for
0, 1, 2, 3 or more matches of ten.

The score guards utility: it shows that a method does not cost reading, and nothing about hallucination.
Prompts with and without OCR tokens are different tasks. Several questions share an image, so intervals
resample images: give `paired` the records and the questions' images as `unit`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hallu_tasks.scoring.keyed import indexed, require_same_keys
from hallu_tasks.scoring.ratios import Ratio, evaluate, total

__all__ = ["STATISTICS", "accuracy", "aggregate", "normalize", "record", "score"]

STATISTICS = {"accuracy": Ratio("tenths", ("questions",), "there are no questions", 10)}
"""The score as a ratio of summed records, for `paired`."""

_COLUMNS = ("questions", "tenths", "empty")
_PEOPLE = 10

_MARKS = ';/[]"{}()=+\\_->@<`,?!'
_PERIOD = re.compile(r"\.(?!\d)")
_ARTICLES = frozenset(["a", "an", "the"])
_NUMBERS = {
    "none": "0",
    **{
        word: str(number) for number, word in enumerate("zero one two three four five six seven eight nine ten".split())
    },
}

_CONTRACTED = """
    ain't aren't can't couldn't didn't doesn't don't hadn't hasn't haven't isn't mightn't mustn't needn't oughtn't
    shan't shouldn't wasn't weren't won't wouldn't
    could've might've must've not've should've they've we've what've where've who've would've you've
    he'd how'd it'd someone'd something'd there'd they'd where'd who'd you'd
    how'll it'll somebody'll someone'll something'll they'll what'll who'll why'll you'll
    there're they're what're why're you're
    he's how's somebody's someone's that's there's what's when's where's who's why's
    couldn't've hadn't've mightn't've shouldn't've wouldn't've
    he'd've it'd've she'd've somebody'd've someone'd've something'd've there'd've they'd've we'd've who'd've you'd've
    ma'am o'clock 'twas y'all y'all'll y'all'd've 'ow's'at
""".split()


def _without_one_apostrophe(word: str) -> list[str]:
    return [word[:at] + word[at + 1 :] for at, character in enumerate(word) if character == "'"]


_RESTORED = {
    **{short: word for word in _CONTRACTED for short in _without_one_apostrophe(word)},
    "somebody'd": "somebodyd",  # the one entry of the original table that goes the other way
}


def normalize(answer: str) -> str:
    """Return an answer as M4C's evaluation compares it.

    Lower case; commas and question marks go; "'s" becomes a word of its own; every other mark goes when it
    stands beside a blank anywhere in the answer, else becomes a blank; periods go unless a digit follows;
    none and zero to ten become digits; articles go; contractions that lost an apostrophe get it back.
    """
    if not isinstance(answer, str):
        raise TypeError(f"an answer must be text, got {answer!r} ({type(answer).__name__})")
    text = answer.lower().replace(",", "").replace("?", "").replace("'s", " 's").strip()
    text = text.replace("\n", " ").replace("\t", " ").strip()
    spaced = {ord(mark): "" if f"{mark} " in text or f" {mark}" in text else " " for mark in _MARKS}
    text = _PERIOD.sub("", text.translate(spaced))
    numbered = (_NUMBERS.get(word, word) for word in text.split())
    return " ".join(_RESTORED.get(word, word) for word in numbered if word not in _ARTICLES)


def accuracy(prediction: str, answers: Sequence[str]) -> float:
    """Return the VQA accuracy of one prediction against its ten answers: 0, 30, 60, 90 or 100.

    A prediction without any text is never right. Raises `ValueError` unless there are ten answers and
    `TypeError` for what is not text.
    """
    return 10.0 * _tenths(prediction, answers)


def _tenths(prediction: str, answers: Sequence[str]) -> int:
    if isinstance(answers, str) or not isinstance(answers, Sequence):
        raise TypeError(f"answers must be a list of {_PEOPLE} texts, got {answers!r}")
    if len(answers) != _PEOPLE:
        raise ValueError(
            f"a TextVQA question has {_PEOPLE} answers, got {len(answers)}; use the validation split, because the "
            "test split has none"
        )
    said = normalize(prediction)
    matches = [normalize(answer) for answer in answers].count(said) if prediction.strip() else 0
    # In thirds: who gave the answer leaves one match fewer.
    thirds = matches * min(matches - 1, 3) + (_PEOPLE - matches) * min(matches, 3)
    return thirds // 3


def record(prediction: str, answers: Sequence[str]) -> dict[str, int]:
    """Return what one answer adds to the score: ``tenths`` (0, 3, 6, 9 or 10), ``questions`` 1, ``empty`` 0 or 1."""
    return {"questions": 1, "tenths": _tenths(prediction, answers), "empty": int(not prediction.strip())}


def aggregate(records: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the score of many `record` results; the order does not matter.

    ``accuracy`` in percent, the mean over questions; ``questions_count``; ``empty_count``, the predictions
    without text; ``reasons``.
    """
    sums = total(list(records), _COLUMNS)
    scores, reasons = evaluate(STATISTICS, sums)
    return {**scores, "questions_count": sums["questions"], "empty_count": sums["empty"], "reasons": reasons}


def score(
    predictions: Mapping[Any, str] | Iterable[tuple[Any, str]] | Iterable[str],
    answers: Mapping[Any, Sequence[str]] | Iterable[tuple[Any, Sequence[str]]] | Iterable[Sequence[str]],
) -> dict[str, Any]:
    """Return the TextVQA score of `predictions` against the ten `answers` of each question, see `aggregate`.

    Both are mappings or (question id, value) pairs with the same keys; or both are plain sequences of equal
    length in the same order. Raises `ValueError` that names unmatched and repeated keys, and the question
    whose answers are not ten texts.
    """
    prediction_of, predictions_by_position = indexed(predictions, "predictions")
    answers_of, answers_by_position = indexed(answers, "answers")
    if predictions_by_position != answers_by_position and prediction_of and answers_of:
        raise ValueError("predictions and answers must both have keys or both be plain sequences")
    fix = "score only predictions for these questions, matched by question id"
    require_same_keys(prediction_of, answers_of, "predictions", "answers", fix)
    records = []
    for key, prediction in prediction_of.items():
        try:
            records.append(record(prediction, answers_of[key]))
        except (TypeError, ValueError) as error:
            raise type(error)(f"question {key!r}: {error}") from None
    return aggregate(records)
