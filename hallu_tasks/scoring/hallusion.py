"""HallusionBench: yes/no questions about figures and edited figures, scored offline.

Guan et al. 2024, "HallusionBench: An Advanced Diagnostic Suite for Entangled Language Hallucination and Visual
Illusion in Large Vision-Language Models". aAcc is the accuracy over questions, fAcc over figures with all
their questions right, qAcc over question groups, which are one question asked about every version of a
figure. Hard questions are about edited figures (``visual_input`` 2), easy ones are the others.

The original asks GPT-4 whether an answer agrees with the reference. Here an answer is read as yes or no by a
`policy` of `hallu_tasks.scoring.yesno`, which every result carries; one that cannot be read is wrong and is
counted as ``unparsed``, also where the original accepts "I do not know", for a question without its figure.

The 1,129 questions of the file and the 951 that have an image are different tasks. So the `split` has no
default and every result carries it:

=========  ====================================
all        1,129 questions
image      the 951 questions with an image
non_image  the 178 questions without an image
=========  ====================================

Questions of one set share figures, and its groups run across them, so intervals resample sets: give `paired`
what `sets` returns.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from hallu_tasks.scoring import yesno
from hallu_tasks.scoring.keyed import name_some, repeated
from hallu_tasks.scoring.ratios import Ratio, evaluate, total

__all__ = ["SPLITS", "STATISTICS", "aggregate", "record", "score", "sets"]

SPLITS = {"all": 1129, "image": 951, "non_image": 178}
"""The splits and their numbers of questions."""

STATISTICS = {
    "aAcc": Ratio("correct", ("questions",), "there are no questions"),
    "fAcc": Ratio("figures_correct", ("figures",), "no question has a figure"),
    "qAcc": Ratio("groups_correct", ("groups",), "there are no questions"),
    "easy_aAcc": Ratio("easy_correct", ("easy",), "no question is easy"),
    "hard_aAcc": Ratio("hard_correct", ("hard",), "no question is hard"),
}
"""The scores as ratios of the summed columns of `sets`, for `paired`."""

_COUNTS = ("questions", "figures", "groups", "easy", "hard", "unparsed", "by_default")
_COLUMNS = (*_COUNTS, "correct", "figures_correct", "groups_correct", "easy_correct", "hard_correct")

_SET = ("category", "subcategory", "set_id")
_KEY = (*_SET, "figure_id", "question_id")
_ALLOWED = {"category": ("VD", "VS"), "visual_input": ("0", "1", "2"), "gt_answer": ("0", "1")}


def record(question: Mapping[str, Any], split: str, policy: str = "words") -> dict[str, Any]:
    """Return what one question adds to the scores.

    `question` is an entry of ``HallusionBench.json`` with the model's text as ``prediction``. The result
    holds its place (``category``, ``subcategory``, ``set_id``, ``figure_id``, ``question_id``,
    ``visual_input``), ``correct``, ``unparsed`` and ``by_default`` (0 or 1), ``split`` and ``policy``.

    Raises `ValueError` that names the question for a missing or unknown field, and for one that is not in
    the split.
    """
    _check(split, policy)
    absent = [name for name in (*_KEY, "visual_input", "gt_answer", "prediction") if name not in question]
    if absent:
        raise ValueError(f"HallusionBench question has no {', '.join(absent)}: {dict(question)!r}")
    place = {name: str(question[name]) for name in (*_KEY, "visual_input")}
    named = f"HallusionBench question {tuple(place[name] for name in _KEY)!r}"
    for name, allowed in _ALLOWED.items():
        if str(question[name]) not in allowed:
            raise ValueError(f"{named}: unknown {name} {question[name]!r}; allowed: {', '.join(allowed)}")
    if (split == "image" and place["visual_input"] == "0") or (split == "non_image" and place["visual_input"] != "0"):
        has = "no image" if split == "image" else "an image"
        raise ValueError(f"{named} has {has} and is not in split {split!r}; leave it out, or score split 'all'")
    try:
        predicted = yesno.parse(question["prediction"], policy)
    except TypeError as error:
        raise TypeError(f"{named}: {error}") from None
    truth = "yes" if str(question["gt_answer"]) == "1" else "no"
    return {
        **place,
        "correct": int(predicted == truth),
        "unparsed": int(predicted is None),
        "by_default": int(yesno.by_default(question["prediction"], policy)),
        "split": split,
        "policy": policy,
    }


def sets(records: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str, str], dict[str, Any]]:
    """Return the counts of each set under (category, subcategory, set id), the unit `paired` resamples.

    The columns are ``questions``, ``figures``, ``groups``, ``easy`` and ``hard``, each with those that are
    right (``correct``, ``figures_correct``, ...), ``unparsed`` and ``by_default``; with ``split`` and ``policy``.
    Questions without an image belong to no figure. Raises `ValueError` that names questions that occur twice.
    """
    listed = list(records)
    if twice := repeated(_place(record, *_KEY) for record in listed):
        raise ValueError(
            f"HallusionBench questions that occur twice ({', '.join(_KEY)}): {name_some(twice)}; keep one of each"
        )
    grouped: dict[tuple[str, str, str], list[Mapping[str, Any]]] = {}
    for entry in listed:
        grouped.setdefault((entry["category"], entry["subcategory"], entry["set_id"]), []).append(entry)
    return {key: _counts(group) for key, group in grouped.items()}


def _place(entry: Mapping[str, Any], *names: str) -> tuple[str, ...]:
    return tuple(entry[name] for name in names)


def _counts(entries: list[Mapping[str, Any]]) -> dict[str, Any]:
    figures: dict[str, bool] = {}
    groups: dict[str, bool] = {}
    for entry in entries:
        right = entry["correct"] == 1
        groups[entry["question_id"]] = groups.get(entry["question_id"], True) and right
        if entry["visual_input"] != "0":
            figures[entry["figure_id"]] = figures.get(entry["figure_id"], True) and right
    hard = [entry["correct"] for entry in entries if entry["visual_input"] == "2"]
    easy = [entry["correct"] for entry in entries if entry["visual_input"] != "2"]
    return {
        "questions": len(entries),
        "correct": sum(entry["correct"] for entry in entries),
        "unparsed": sum(entry["unparsed"] for entry in entries),
        "by_default": sum(entry["by_default"] for entry in entries),
        "figures": len(figures),
        "figures_correct": sum(figures.values()),
        "groups": len(groups),
        "groups_correct": sum(groups.values()),
        "easy": len(easy),
        "easy_correct": sum(easy),
        "hard": len(hard),
        "hard_correct": sum(hard),
        "split": entries[0]["split"],
        "policy": entries[0]["policy"],
    }


def aggregate(records: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the scores of many `record` results; the order does not matter.

    Percentages ``aAcc``, ``fAcc``, ``qAcc``, ``easy_aAcc`` and ``hard_aAcc``; ``questions_count``,
    ``figures_count``, ``groups_count``, ``easy_count``, ``hard_count``, ``unparsed_count``, ``by_default_count``;
    ``split`` and ``split_questions_count``, how many questions the whole split has; ``policy``; ``reasons``.

    Raises `ValueError` when the records are of different splits or policies, or are the questions with an
    image under the name of all.
    """
    listed = list(records)
    split, policy = (_one_rule(listed, name) for name in ("split", "policy"))
    if split == "all" and len(listed) == SPLITS["image"] and all(entry["visual_input"] != "0" for entry in listed):
        raise ValueError(f"these are the {SPLITS['image']} questions with an image; score them as split 'image'")
    sums = total(list(sets(listed).values()), _COLUMNS)
    scores, reasons = evaluate(STATISTICS, sums)
    return {
        **scores,
        **{f"{column}_count": sums[column] for column in _COUNTS},
        "split": split,
        "split_questions_count": None if split is None else SPLITS[split],
        "policy": policy,
        "reasons": reasons,
    }


def score(questions: Iterable[Mapping[str, Any]], split: str, policy: str = "words") -> dict[str, Any]:
    """Return the HallusionBench scores of questions with their predictions, see `record` and `aggregate`."""
    _check(split, policy)
    result = aggregate([record(question, split, policy) for question in questions])
    return {**result, "split": split, "split_questions_count": SPLITS[split], "policy": policy}


def _check(split: str, policy: str) -> None:
    if split not in SPLITS:
        raise ValueError(f"unknown HallusionBench split {split!r}; allowed: {', '.join(SPLITS)}")
    yesno.check(policy)


def _one_rule(records: Iterable[Mapping[str, Any]], name: str) -> str | None:
    rules = sorted({record[name] for record in records})
    if len(rules) > 1:
        raise ValueError(f"HallusionBench records of different {name} cannot be added: {', '.join(rules)}")
    return rules[0] if rules else None
