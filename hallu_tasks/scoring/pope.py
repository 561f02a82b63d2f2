"""POPE: yes/no questions about the presence of objects; "yes" is the positive class.

Li et al. 2023, "Evaluating Object Hallucination in Large Vision-Language Models". An answer that the policy
cannot read counts as wrong in accuracy and as "no" in precision, recall, F1 and yes ratio, and is reported
as ``unparsed_count``. One that the policy reads as yes for want of a no alone is reported as ``by_default_count``:
3,000 answers "perhaps" have an F1 of 66.7 under POPE's own policy. See `hallu_tasks.scoring.yesno` for the policies.

Six questions share an image, so intervals resample images: give `paired` the `record` of each question and
the question's image as `unit`.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import Any

from hallu_tasks.scoring import yesno
from hallu_tasks.scoring.keyed import indexed, name_some, require_same_keys
from hallu_tasks.scoring.ratios import Ratio, evaluate, total

__all__ = ["STATISTICS", "aggregate", "question_key", "record", "score", "score_by_strategy"]

STATISTICS = {
    "accuracy": Ratio("correct", ("questions",), "there are no questions"),
    "precision": Ratio("true_positive", ("predicted_yes",), "no answer is yes"),
    "recall": Ratio("true_positive", ("labelled_yes",), "no label is yes"),
    "f1": Ratio("true_positive", ("predicted_yes", "labelled_yes"), "no answer and no label is yes", 200),
    "yes_ratio": Ratio("predicted_yes", ("questions",), "there are no questions"),
}
"""The scores as ratios of summed records, for `paired`."""

_COLUMNS = (
    "questions",
    "correct",
    "true_positive",
    "false_positive",
    "false_negative",
    "true_negative",
    "predicted_yes",
    "labelled_yes",
    "unparsed",
    "by_default",
)
_COUNTS = ("true_positive", "false_positive", "false_negative", "true_negative", "unparsed", "by_default", "questions")

Answers = Mapping[Any, str] | Iterable[tuple[Any, str]] | Iterable[str]


def question_key(strategy: str, question_id: int | str, text: str) -> tuple[str, int, str]:
    """Return the key under which a question and its answer match: strategy, question id and text.

    Question ids restart in every file and differ between the releases of the benchmark, so the text is part
    of the key; the "imange" typo of older files is undone.
    """
    return strategy, int(question_id), " ".join(text.replace("imange", "image").split())


def record(answer: str, label: str, policy: str = "official") -> dict[str, Any]:
    """Return what one answer adds to the scores: counts of 0 or 1 that `aggregate` sums, and the policy.

    ``true_negative`` needs a parsed "no"; an unparsed answer to a "no" question is only ``unparsed``.
    """
    predicted = yesno.parse(answer, policy)
    truth = yesno.label(label)
    says_yes, is_yes = predicted == "yes", truth == "yes"
    return {
        "questions": 1,
        "correct": int(predicted == truth),
        "true_positive": int(says_yes and is_yes),
        "false_positive": int(says_yes and not is_yes),
        "false_negative": int(is_yes and not says_yes),
        "true_negative": int(predicted == "no" and not is_yes),
        "predicted_yes": int(says_yes),
        "labelled_yes": int(is_yes),
        "unparsed": int(predicted is None),
        "by_default": int(yesno.by_default(answer, policy)),
        "policy": policy,
    }


def aggregate(records: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the scores of many `record` results; the order does not matter.

    Percentages ``accuracy``, ``precision``, ``recall``, ``f1`` (2 true positives / (answered yes + labelled
    yes)) and ``yes_ratio`` (of the answers, not of the labels); ``questions_count``, ``unparsed_count``,
    ``by_default_count`` (answers that `yesno.by_default` names) and the confusion counts ``true_positive_count``,
    ``false_positive_count``, ``false_negative_count``, ``true_negative_count``; ``policy``; ``reasons``.

    Raises `ValueError` when the records were made under different policies.
    """
    listed = list(records)
    policies = sorted({record["policy"] for record in listed})
    if len(policies) > 1:
        raise ValueError(f"records of different yes/no policies cannot be added: {', '.join(policies)}")
    sums = total(listed, _COLUMNS)
    scores, reasons = evaluate(STATISTICS, sums)
    return {
        **scores,
        **{f"{column}_count": sums[column] for column in _COUNTS},
        "policy": policies[0] if policies else None,
        "reasons": reasons,
    }


def score(answers: Answers, labels: Answers, policy: str = "official") -> dict[str, Any]:
    """Return the POPE scores of `answers` against `labels` ("yes" or "no"), see `aggregate`.

    Both are mappings or (key, value) pairs with the same keys, best those of `question_key`; or both are
    plain sequences of equal length in the same order. Raises `ValueError` that names unmatched keys,
    repeated keys, unknown labels and an unknown policy.
    """
    yesno.check(policy)
    return {**aggregate(_records(answers, labels, policy).values()), "policy": policy}


def score_by_strategy(answers: Answers, labels: Answers, policy: str = "official") -> dict[str, Any]:
    """Return the scores of each strategy and of all questions together.

    The keys of `answers` and `labels` are tuples that begin with the strategy, as `question_key` makes them.
    Keys of the result: ``strategies`` (strategy to scores), ``pooled`` (scores of all questions),
    ``f1_mean_of_strategies`` and ``f1_pooled`` (the two headline numbers, which differ), ``policy`` and
    ``reasons``.
    """
    yesno.check(policy)
    grouped: dict[str, list[dict[str, Any]]] = {}
    for key, entry in _records(answers, labels, policy).items():
        if not isinstance(key, tuple) or not key or not isinstance(key[0], str):
            raise ValueError(f"key {key!r} does not begin with a strategy; make keys with pope.question_key")
        grouped.setdefault(key[0], []).append(entry)
    strategies = {name: aggregate(grouped[name]) for name in sorted(grouped)}
    pooled = aggregate(entry for entries in grouped.values() for entry in entries)
    values = {name: result["f1"] for name, result in strategies.items()}
    undefined = [name for name, value in values.items() if value is None]
    reasons = {"f1_pooled": pooled["reasons"]["f1"]} if pooled["f1"] is None else {}
    if undefined or not values:
        reasons["f1_mean_of_strategies"] = (
            f"no F1 for {', '.join(undefined)}" if undefined else "there are no questions"
        )
    return {
        "strategies": strategies,
        "pooled": {**pooled, "policy": policy},
        "f1_mean_of_strategies": None if undefined or not values else sum(values.values()) / len(values),
        "f1_pooled": pooled["f1"],
        "policy": policy,
        "reasons": reasons,
    }


def _records(answers: Answers, labels: Answers, policy: str) -> dict[Hashable, dict[str, Any]]:
    answer_of, answers_by_position = indexed(answers, "answers")
    label_of, labels_by_position = indexed(labels, "labels")
    if answers_by_position != labels_by_position and answer_of and label_of:
        raise ValueError("answers and labels must both have keys or both be plain sequences")
    fix = "score only answers to these questions, matched by pope.question_key and never by position"
    require_same_keys(answer_of, label_of, "answers", "labels", fix)
    wrong = [(key, value) for key, value in label_of.items() if not _is_label(value)]
    if wrong:
        raise ValueError(f"labels that are neither yes nor no: {name_some(wrong)}")
    return {key: record(answer, label_of[key], policy) for key, answer in answer_of.items()}


def _is_label(value: object) -> bool:
    try:
        yesno.label(value)
    except ValueError:
        return False
    return True
