"""MME: two yes/no questions an image, scored per question and per image.

Fu et al. 2023, "MME: A Comprehensive Evaluation Benchmark for Multimodal Large Language Models". A subtask's
score is its accuracy over questions plus its accuracy over images with both answers right, each 0-100, so 0
to 200 points. Perception sums ten subtasks (at most 2000), cognition four (800), hallucination is existence,
count, position and color (800). Answers are read by the ``prefix`` policy, which is the benchmark's rule.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hallu_tasks.scoring import yesno
from hallu_tasks.scoring.keyed import name_some
from hallu_tasks.scoring.ratios import Ratio, evaluate, total

__all__ = ["SUBTASKS", "TOTALS", "check_pairs", "pairs", "score", "statistic", "whole_pairs"]

HALLUCINATION = ("existence", "count", "position", "color")
PERCEPTION = (*HALLUCINATION, "posters", "celebrity", "scene", "landmark", "artwork", "OCR")
COGNITION = ("commonsense_reasoning", "numerical_calculation", "text_translation", "code_reasoning")

SUBTASKS = PERCEPTION + COGNITION
"""The 14 subtasks, in the benchmark's order."""

TOTALS = {"perception": PERCEPTION, "cognition": COGNITION, "hallucination": HALLUCINATION}
"""The sums that are reported, and the subtasks they need."""

POLICY = "prefix"

_COLUMNS = ("questions", "correct", "unparsed", "images", "images_correct")
_EMPTY = "no question of this subtask was scored"


def _ratios(subtask: str) -> dict[str, Ratio]:
    return {
        "accuracy": Ratio(f"{subtask}.correct", (f"{subtask}.questions",), _EMPTY),
        "accuracy_plus": Ratio(f"{subtask}.images_correct", (f"{subtask}.images",), _EMPTY),
    }


def _key(question: Mapping[str, Any], position: int) -> tuple[str, Any]:
    absent = [name for name in ("category", "image") if name not in question]
    if absent:
        raise ValueError(f"MME record {position} has no {' and no '.join(absent)}: {dict(question)!r}")
    if question["category"] not in SUBTASKS:
        raise ValueError(f"unknown MME subtask {question['category']!r}; allowed: {', '.join(SUBTASKS)}")
    return question["category"], question["image"]


def _grouped(questions: Iterable[Mapping[str, Any]]) -> dict[tuple[str, Any], list[Mapping[str, Any]]]:
    grouped: dict[tuple[str, Any], list[Mapping[str, Any]]] = {}
    for position, question in enumerate(questions):
        grouped.setdefault(_key(question, position), []).append(question)
    alone = [(*key, *_text(group[0])) for key, group in grouped.items() if len(group) == 1]
    if alone:
        raise ValueError(
            f"MME questions without their partner (subtask, image): {name_some(alone)}; an image has two "
            "questions and is scored on both, so do not cut the question list between them"
        )
    crowded = [(*key, len(group)) for key, group in grouped.items() if len(group) > 2]
    if crowded:
        raise ValueError(
            f"MME images with more than two questions (subtask, image, questions): {name_some(crowded)}; keep the two "
            "of the benchmark"
        )
    twice = [(*key, *_text(a)) for key, (a, b) in grouped.items() if _text(a) and _text(a) == _text(b)]
    if twice:
        raise ValueError(
            f"MME questions that occur twice (subtask, image, question): {name_some(twice)}; keep one answer to each"
        )
    return grouped


def _text(question: Mapping[str, Any]) -> tuple[str, ...]:
    return (question["question"],) if "question" in question else ()


def check_pairs(questions: Iterable[Mapping[str, Any]]) -> None:
    """Raise a `ValueError` that names questions without their partner; call it before generation.

    `questions` are mappings with ``image`` and ``category``, and ``question`` if known.
    """
    _grouped(questions)


def whole_pairs(records: Iterable[Mapping[str, Any]]) -> tuple[list[Mapping[str, Any]], list[Mapping[str, Any]]]:
    """Split records into those of complete pairs and single questions, as a limited run leaves them behind."""
    listed = list(records)
    number = Counter((record["category"], record["image"]) for record in listed)
    alone = [record for record in listed if number[record["category"], record["image"]] == 1]
    return [record for record in listed if number[record["category"], record["image"]] != 1], alone


def pairs(records: Iterable[Mapping[str, Any]]) -> dict[tuple[str, Any], dict[str, int]]:
    """Return the counts of each image under (subtask, image), the unit `paired` resamples.

    The columns are ``<subtask>.questions``, ``.correct``, ``.unparsed``, ``.images`` and ``.images_correct``
    for all 14 subtasks, zero for those the image does not belong to. `records` as in `score`.
    """
    blank = {f"{subtask}.{column}": 0 for subtask in SUBTASKS for column in _COLUMNS}
    return {
        key: blank | {f"{key[0]}.{column}": count for column, count in _counts(key, group).items()}
        for key, group in _grouped(records).items()
    }


def _counts(key: tuple[str, Any], group: list[Mapping[str, Any]]) -> dict[str, int]:
    correct = unparsed = 0
    for question in group:
        absent = [name for name in ("answer", "prediction") if name not in question]
        if absent:
            raise ValueError(f"MME record of {key!r} has no {' and no '.join(absent)}")
        try:
            truth = yesno.label(question["answer"])
            predicted = yesno.parse(question["prediction"], POLICY)
        except (TypeError, ValueError) as error:
            raise type(error)(f"MME record of {key!r}: {error}") from None
        correct += predicted == truth
        unparsed += predicted is None
    return {
        "questions": 2,
        "correct": correct,
        "unparsed": unparsed,
        "images": 1,
        "images_correct": int(correct == 2),
    }


def score(records: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the MME scores; the order of the records does not matter.

    A record is a mapping with ``image``, ``category`` (the subtask), ``answer`` (the ground truth, yes or
    no), ``prediction`` (the model's text), and ``question`` if known.

    Keys of the result: ``subtasks``, for all 14 a mapping with ``score`` (points, at most 200),
    ``accuracy`` and ``accuracy_plus`` (percent), ``questions_count``, ``images_count``, ``unparsed_count``
    and ``reasons``; ``perception``, ``cognition`` and ``hallucination`` (points), ``None`` with a reason
    unless all their subtasks are present, so that a partial sum never passes for a full one;
    ``subtasks_present``; ``questions_count``, ``images_count``, ``unparsed_count``; ``policy``; ``reasons``.

    Raises `ValueError` that names unknown subtasks, unknown labels, missing keys, and every question whose
    partner is missing.
    """
    sums = total(list(pairs(records).values()), tuple(f"{s}.{column}" for s in SUBTASKS for column in _COLUMNS))
    subtasks = {subtask: _subtask(subtask, sums) for subtask in SUBTASKS}
    present = [subtask for subtask in SUBTASKS if subtasks[subtask]["images_count"]]
    totals: dict[str, float | None] = {}
    reasons: dict[str, str] = {}
    for name, needed in TOTALS.items():
        missing = [subtask for subtask in needed if subtask not in present]
        if missing:
            totals[name] = None
            reasons[name] = f"subtasks without questions: {', '.join(missing)}"
        else:
            totals[name] = sum(subtasks[subtask]["score"] for subtask in needed)
    return {
        "subtasks": subtasks,
        **totals,
        "subtasks_present": present,
        **{
            f"{column}_count": sum(sums[f"{subtask}.{column}"] for subtask in SUBTASKS)
            for column in ("questions", "images", "unparsed")
        },
        "policy": POLICY,
        "reasons": reasons,
    }


def _subtask(subtask: str, sums: Mapping[str, int]) -> dict[str, Any]:
    scores, reasons = evaluate(_ratios(subtask), sums)
    accuracy, accuracy_plus = scores["accuracy"], scores["accuracy_plus"]
    if accuracy is None or accuracy_plus is None:
        points = None
        reasons["score"] = _EMPTY
    else:
        points = accuracy + accuracy_plus
    return {
        "score": points,
        **scores,
        **{f"{column}_count": sums[f"{subtask}.{column}"] for column in ("questions", "images", "unparsed")},
        "reasons": reasons,
    }


def statistic(name: str) -> Callable[[Mapping[str, NDArray[np.float64]]], NDArray[np.float64]]:
    """Return the points of a total or a subtask as a function of summed `pairs` columns, for `paired`."""
    if name not in TOTALS and name not in SUBTASKS:
        raise ValueError(f"unknown MME score {name!r}; allowed: {', '.join((*TOTALS, *SUBTASKS))}")
    ratios = [ratio for subtask in TOTALS.get(name, (name,)) for ratio in _ratios(subtask).values()]

    def points(sums: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
        summed: NDArray[np.float64] = np.sum([ratio(sums) for ratio in ratios], axis=0)
        return summed

    return points
