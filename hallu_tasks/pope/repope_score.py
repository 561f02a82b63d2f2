"""``hallu score repope``: answers to POPE's questions, scored again under RePOPE's labels."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

from hallu_tasks.estimates.bootstrap import Bootstrap, Result
from hallu_tasks.estimates.layout import cell, label, table
from hallu_tasks.estimates.scorer import Scorer, unread
from hallu_tasks.pope import answers, by_strategy, matching, relabelled, score
from hallu_tasks.pope.answers import Key, PopeQuestion
from hallu_tasks.pope.relabelled import Relabelled
from hallu_tasks.scoring import yesno

__all__ = ["SCORER"]

DESCRIPTION = """\
Does a POPE score hold when the labels are right?

RePOPE (arXiv 2504.15707) made the labels of COCO POPE again by hand: some questions are left out as ambiguous, some
have the other label. Its questions are POPE's, so answers to POPE are scored again, and nothing is run. Both files are
needed: POPE's, which the model was asked from, and RePOPE's, from github.com/YanNeu/RePOPE (annotations/).
"""

EXAMPLES = """\
examples:
  hallu score repope --answers answers.jsonl --questions coco_pope_random.json --labels coco_repope_random.json
  hallu score repope --answers random.jsonl popular.jsonl adversarial.jsonl \\
      --questions coco_pope_random.json coco_pope_popular.json coco_pope_adversarial.json \\
      --labels coco_repope_random.json coco_repope_popular.json coco_repope_adversarial.json

Answer files are those of `hallu score pope`. `hallu compare` shows the same for runs of hallu_pope where
HALLU_DATA/repope holds the files.
"""


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--answers", metavar="FILE", nargs="+", required=True, help="the answers, one file a strategy")
    parser.add_argument(
        "--questions",
        metavar="FILE",
        nargs="+",
        required=True,
        help="POPE's question files, in the order of the answers",
    )
    parser.add_argument(
        "--labels", metavar="FILE", nargs="+", required=True, help="RePOPE's files, in the order of the answers"
    )
    parser.add_argument(
        "--policy", choices=yesno.POLICIES, default="official", help="how an answer is read (default: official)"
    )


def _score(given: argparse.Namespace, bootstrap: Bootstrap) -> Result:
    said: dict[Key, str] = {}
    asked: list[PopeQuestion] = []
    stay: dict[str, Relabelled] = {}
    notes: list[str] = []
    files = matching.pairs(given.answers, given.questions)
    others = matching.pairs(given.labels, given.questions, "label")
    for (strategy, answered, source), (_, corrected, _) in zip(files, others):
        questions = answers.questions(source, strategy)
        own = answers.answers(answered)
        said |= matching.matched(own, questions, answered, source)
        notes += matching.caution(own, answered, source)
        asked += questions.values()
        stay[strategy] = relabelled.beside(questions, answers.questions(corrected, strategy), source, corrected)
        if strategy in relabelled.COUNTS and len(questions) == 3_000:
            relabelled.complete(corrected, strategy, stay[strategy].questions)
    kept = [question for one in stay.values() for question in one.questions.values()]
    before = score.scores(said, asked, given.policy, bootstrap)
    after = score.scores({question.key: said[question.key] for question in kept}, kept, given.policy, bootstrap)
    warnings, told = unread(after["pooled"], given.policy)
    named = {"answers": given.answers, "questions": given.questions, "labels": given.labels}
    return {
        "files": named,
        "warnings": warnings,
        "notes": [*told, *notes],
        **after,
        "strategies": {name: {**after["strategies"][name], **_counts([one])} for name, one in stay.items()},
        "pooled": {**after["pooled"], **_counts(stay.values())},
        "pope": before,
    }


def _counts(stay: Any) -> dict[str, int]:
    listed = list(stay)
    return {
        "left_out_count": sum(one.left_out for one in listed),
        "turned_count": sum(one.turned for one in listed),
    }


def _lines(result: Result) -> list[str]:
    title = f"RePOPE in percent; policy {result['policy']}"
    counts = ("questions", "left_out", "turned", "unparsed", "by_default")
    return [*by_strategy.lines(result, title, "f1", counts), "", *_before(result)]


def _before(result: Mapping[str, Any]) -> Sequence[str]:
    """The same answers under POPE's labels, with all of its questions."""
    columns = dict(result["pope"]["strategies"])
    if len(columns) > 1:
        columns["all pooled"] = result["pope"]["pooled"]
    rows = [["", *columns]]
    for name in ("accuracy", "f1"):
        scores = [column[name] for column in columns.values()]
        rows.append([label(scores[0]), *map(cell, scores)])
    return ["the same answers under POPE's own labels, all questions", *table(rows)]


SCORER = Scorer(
    name="repope",
    title="RePOPE",
    summary="POPE's answers under RePOPE's labels",
    description=DESCRIPTION,
    example="hallu score repope --answers answers.jsonl --questions coco_pope_random.json --labels "
    "coco_repope_random.json",
    examples=EXAMPLES,
    arguments=_arguments,
    score=_score,
    lines=_lines,
)
