"""``hallu score mme``: MME's folder of results."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hallu_tasks.estimates import discrimination
from hallu_tasks.estimates.bootstrap import DEFAULT, Bootstrap, Estimated, Result
from hallu_tasks.estimates.layout import cell, label, reasons, table
from hallu_tasks.estimates.scorer import Scorer, unread
from hallu_tasks.mme import answers
from hallu_tasks.mme.benchmark import MME, image
from hallu_tasks.mme.data import COUNTS
from hallu_tasks.scoring import mme, yesno

__all__ = ["SCORER", "scores"]

DESCRIPTION = """\
Are both yes/no questions about an image answered right?

FOLDER holds <subtask>.txt files; a line is image, question, Yes or No, prediction, with tabs between them.
"""

EXAMPLES = """\
examples:
  hallu score mme --results results/
  hallu score mme --results results/ --json

A subtask gives at most 200 points. A total is shown when all its subtasks are there; where one has not as many
questions as the benchmark, a note says so, and the total says of how many questions it is.
"""

TOTALS = ("hallucination", "perception", "cognition")
"""The totals in the order of the text, the one this package is about first."""


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--results", metavar="FOLDER", required=True, help="folder of <subtask>.txt files")
    parser.add_argument(
        "--margins",
        metavar="FILE",
        help='for AUROC: JSON list or JSONL of {"category": ..., "image": ..., "question": ..., "margin": 1.25}, '
        "log p(yes) - log p(no) at the first token of each answer",
    )


def scores(records: Iterable[Mapping[str, Any]], bootstrap: Bootstrap = DEFAULT) -> Result:
    """Return `mme.score` with an `Estimated` for the points of each subtask and total that is there.

    Where the records have a ``margin``, there is ``auroc`` over all of them.
    """
    listed = list(records)
    result = mme.score(listed)
    keys = [(one["category"], one["image"], one.get("question")) for one in listed]
    labels = {key: yesno.label(one["answer"]) for key, one in zip(keys, listed)}
    margins = {key: one["margin"] for key, one in zip(keys, listed) if "margin" in one}
    result |= discrimination.auroc(labels, margins, {key: image(key[0], key[1]) for key in keys}, bootstrap)
    for metric in MME.metrics(listed):
        pairs = mme.pairs(record for record in listed if record["category"] in metric.subtasks)
        score = bootstrap.score(metric, pairs, {key: image(*key) for key in pairs})
        if metric.name in mme.TOTALS:
            result[metric.name] = score
        else:
            result["subtasks"][metric.name]["score"] = score
    return result


def _score(given: argparse.Namespace, bootstrap: Bootstrap) -> Result:
    records = answers.results(given.results)
    files = {"results": [given.results]}
    if given.margins is not None:
        records = answers.with_margins(records, given.margins)
        files["margins"] = [given.margins]
    result = scores(records, bootstrap)
    for name, subtask in result["subtasks"].items():
        subtask["questions_official_count"] = COUNTS[name]
    odd = [
        f"{name}: {result['subtasks'][name]['questions_count']} of {COUNTS[name]}"
        for name in result["subtasks_present"]
        if result["subtasks"][name]["questions_count"] != COUNTS[name]
    ]
    notes = (
        [f"published numbers are over all questions; {len(odd)} subtasks have others, first {odd[0]}"] if odd else []
    )
    warnings, told = unread(result, result["policy"])
    return {"files": files, "warnings": warnings, "notes": [*told, *notes], **result}


def _lines(result: Result) -> list[str]:
    rows = [["", "points ↑", "accuracy", "accuracy+", "questions", "unparsed"]]
    for name in result["subtasks_present"]:
        subtask = result["subtasks"][name]
        numbers = [f"{subtask[key]:.1f}" for key in ("accuracy", "accuracy_plus")]
        counts = [_questions([subtask]), str(subtask["unparsed_count"])]
        rows.append([name, cell(subtask["score"]), *numbers, *counts])
    totals = [[f"{name} (of {200 * len(mme.TOTALS[name])})", _total(result, name)] for name in TOTALS]
    found = [result["subtasks"][name]["score"] for name in result["subtasks_present"]]
    return [
        f"MME in points, accuracy in percent; policy {result['policy']}; {result['questions_count']} questions on "
        f"{result['images_count']} images",
        *table(rows),
        "",
        *table(totals),
        *(["", f"{label(result['auroc'])} of all questions  {cell(result['auroc'])}"] if "auroc" in result else []),
        *reasons("", found),
    ]


def _total(result: Result, name: str) -> str:
    if not isinstance(result[name], Estimated):
        return f"N/A, {result['reasons'][name]}"
    questions = _questions([result["subtasks"][one] for one in mme.TOTALS[name]])
    return cell(result[name]) + ("" if questions.isdecimal() else f" over {questions} questions")


def _questions(subtasks: Sequence[Mapping[str, Any]]) -> str:
    """How many questions were scored, and of how many unless each subtask is whole."""
    found, official = ([one[f"questions_{what}count"] for one in subtasks] for what in ("", "official_"))
    return str(sum(found)) if found == official else f"{sum(found)} of {sum(official)}"


SCORER = Scorer(
    name="mme",
    title=MME.title,
    summary="MME's folder of results",
    description=DESCRIPTION,
    example="hallu score mme --results results/",
    examples=EXAMPLES,
    arguments=_arguments,
    score=_score,
    lines=_lines,
)
