"""OPOPE: captions scored as answers to POPE's questions, without asking them.

Chen et al. 2024, "HALC: Object Hallucination Reduction via Adaptive Focal-Contrast Decoding". A caption
answers "Is there a cat in the image?" with yes when it mentions a cat, and with no otherwise. That an object
is not mentioned says little, so precision leads: the headline is F_beta with beta 0.2.

Mentions are those of `hallu_tasks.scoring.chair` under its `mode`, which every result carries: words, with
their plurals and synonyms, and not letters, which find a "cat" in "located". The questions are POPE's on COCO
images; those about objects outside the 80 COCO categories cannot be answered this way and are an error.

Six questions share an image, so intervals resample images: give `paired` the `record` of each question and
the question's image as `unit`.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Hashable, Iterable, Mapping
from typing import Any

from hallu_tasks.scoring import chair, vocabulary, yesno
from hallu_tasks.scoring.keyed import indexed, name_some, repeated
from hallu_tasks.scoring.ratios import Ratio, evaluate, total

__all__ = ["BETA", "STATISTICS", "aggregate", "asked", "record", "score", "score_by_strategy"]

BETA = 0.2
"""Recall counts this many times as much as precision."""

# F_beta = (1 + beta^2) TP / (yes answers + beta^2 yes labels); times 25, beta^2 = 1/25 becomes whole numbers.
_WEIGHTED = (*["predicted_yes"] * 25, "labelled_yes")

STATISTICS = {
    "accuracy": Ratio("correct", ("questions",), "there are no questions"),
    "precision": Ratio("true_positive", ("predicted_yes",), "no caption mentions an object that is asked for"),
    "recall": Ratio("true_positive", ("labelled_yes",), "no label is yes"),
    "f_beta": Ratio("true_positive", _WEIGHTED, "no object is mentioned and no label is yes", 2600),
    "yes_ratio": Ratio("predicted_yes", ("questions",), "there are no questions"),
}
"""The scores as ratios of summed records, for `paired`."""

_COUNTS = ("true_positive", "false_positive", "false_negative", "true_negative", "questions")
_COLUMNS = (*_COUNTS, "correct", "predicted_yes", "labelled_yes")

_QUESTION = re.compile(r"is there an? (.+) in the (?:image|imange) ?\??")

Captions = Mapping[Any, str] | Iterable[tuple[Any, str]]


def asked(question: str) -> str:
    """Return the COCO category that a POPE question asks for; a bare category is its own question.

    Raises `ValueError` for a question about anything else.
    """
    if not isinstance(question, str):
        raise TypeError(f"a question must be text, got {question!r} ({type(question).__name__})")
    text = " ".join(question.lower().split())
    matched = _QUESTION.fullmatch(text)
    name = matched[1] if matched else text
    if name not in vocabulary.coco().categories:
        raise ValueError(
            f"question {question!r} does not ask for a COCO category; allowed are POPE's questions on COCO images, "
            "such as 'Is there a dining table in the image?'"
        )
    return name


@functools.lru_cache(maxsize=1 << 12)
def _mentioned(caption: str, mode: str) -> frozenset[str]:
    return frozenset(chair.objects(caption, mode))


def record(caption: str, question: str, label: str, mode: str = "reference") -> dict[str, Any]:
    """Return what one caption adds to the scores as the answer to one question: counts of 0 or 1, and the mode."""
    if not isinstance(caption, str):
        raise TypeError(f"a caption must be text, got {caption!r} ({type(caption).__name__})")
    says_yes, is_yes = asked(question) in _mentioned(caption, mode), yesno.label(label) == "yes"
    return {
        "questions": 1,
        "correct": int(says_yes == is_yes),
        "true_positive": int(says_yes and is_yes),
        "false_positive": int(says_yes and not is_yes),
        "false_negative": int(is_yes and not says_yes),
        "true_negative": int(not says_yes and not is_yes),
        "predicted_yes": int(says_yes),
        "labelled_yes": int(is_yes),
        "mode": mode,
    }


def aggregate(records: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the scores of many `record` results; the order does not matter.

    Percentages ``accuracy``, ``precision``, ``recall``, ``f_beta`` and ``yes_ratio``; ``questions_count`` and
    the confusion counts ``true_positive_count``, ``false_positive_count``, ``false_negative_count``,
    ``true_negative_count``; ``beta``; ``mode``; ``reasons``.

    Raises `ValueError` when the records were made under different modes.
    """
    listed = list(records)
    modes = sorted({record["mode"] for record in listed})
    if len(modes) > 1:
        raise ValueError(f"records of different CHAIR modes cannot be added: {', '.join(modes)}")
    sums = total(listed, _COLUMNS)
    scores, reasons = evaluate(STATISTICS, sums)
    return {
        **scores,
        **{f"{column}_count": sums[column] for column in _COUNTS},
        "beta": BETA,
        "mode": modes[0] if modes else None,
        "reasons": reasons,
    }


def score(captions: Captions, questions: Iterable[Mapping[str, Any]], mode: str = "reference") -> dict[str, Any]:
    """Return the OPOPE scores of captions by image, see `aggregate`.

    `questions` are POPE's of one strategy: mappings with ``image``, ``text`` and ``label``. `captions` maps
    the questions' images to captions, or yields (image, caption) pairs, and may hold more images. Raises
    `ValueError` that names images without a caption or with several, and questions that are incomplete,
    unknown or occur twice.
    """
    chair.check(mode)
    return {**aggregate(_records(_by_image(captions), questions, mode)), "mode": mode}


def score_by_strategy(
    captions: Captions, questions: Mapping[str, Iterable[Mapping[str, Any]]], mode: str = "reference"
) -> dict[str, Any]:
    """Return the scores of each strategy and of all questions together.

    `questions` maps strategies to their questions, as in `score`. Keys of the result: ``strategies``
    (strategy to scores), ``pooled`` (scores of all questions), ``f_beta_mean_of_strategies`` and
    ``f_beta_pooled``, ``beta``, ``mode`` and ``reasons``.
    """
    chair.check(mode)
    caption_of = _by_image(captions)
    records = {name: _records(caption_of, questions[name], mode) for name in sorted(questions)}
    strategies = {name: {**aggregate(listed), "mode": mode} for name, listed in records.items()}
    pooled = aggregate(entry for listed in records.values() for entry in listed)
    values = {name: result["f_beta"] for name, result in strategies.items()}
    undefined = [name for name, value in values.items() if value is None]
    reasons = {"f_beta_pooled": pooled["reasons"]["f_beta"]} if pooled["f_beta"] is None else {}
    if undefined or not values:
        why = f"no F_beta for {', '.join(undefined)}" if undefined else "there are no questions"
        reasons["f_beta_mean_of_strategies"] = why
    return {
        "strategies": strategies,
        "pooled": {**pooled, "mode": mode},
        "f_beta_mean_of_strategies": None if undefined or not values else sum(values.values()) / len(values),
        "f_beta_pooled": pooled["f_beta"],
        "beta": BETA,
        "mode": mode,
        "reasons": reasons,
    }


def _by_image(captions: Captions) -> dict[Hashable, str]:
    caption_of, by_position = indexed(captions, "captions")
    if by_position and caption_of:
        raise ValueError("captions must have images: give a mapping or (image, caption) pairs")
    return caption_of


def _records(
    caption_of: Mapping[Hashable, str], questions: Iterable[Mapping[str, Any]], mode: str
) -> list[dict[str, Any]]:
    listed = list(questions)
    for position, question in enumerate(listed):
        if absent := [key for key in ("image", "text", "label") if key not in question]:
            raise ValueError(f"question {position} has no {', '.join(absent)}: {dict(question)!r}")
    silent = [image for image in dict.fromkeys(question["image"] for question in listed) if image not in caption_of]
    if silent:
        raise ValueError(
            f"images without a caption: {name_some(silent)}; caption every image of the questions, under the name "
            "that the questions use"
        )
    twice = repeated((question["image"], asked(question["text"])) for question in listed)
    if twice:
        raise ValueError(
            f"questions that occur twice (image, category): {name_some(twice)}; give each question once, and several "
            "strategies to opope.score_by_strategy"
        )
    records = []
    for question in listed:
        try:
            records.append(record(caption_of[question["image"]], question["text"], question["label"], mode))
        except (TypeError, ValueError) as error:
            raise type(error)(f"image {question['image']!r}, {question['text']!r}: {error}") from None
    return records
