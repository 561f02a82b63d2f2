"""``hallu score pope``: yes/no answers against POPE's question files."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from hallu_tasks.estimates import discrimination
from hallu_tasks.estimates.bootstrap import DEFAULT, Bootstrap, Result
from hallu_tasks.estimates.scorer import Scorer, unread
from hallu_tasks.pope import answers, by_strategy, matching
from hallu_tasks.pope.answers import PopeAnswer, PopeQuestion
from hallu_tasks.pope.benchmark import POPE
from hallu_tasks.scoring import pope, yesno

__all__ = ["SCORER", "scores"]

DESCRIPTION = """\
Are yes/no questions about objects answered right? "Yes" is the positive class.

A line of an answer file is {"question_id": 1, "text": "Yes"}, best with the question under "prompt", or
{"question": "Is there ...?", "answer": "Yes"}, best with "question_id". The lines may be in any order: answers are
matched by id and text. Without an id, a file must ask no text twice or keep the order of the questions.
"""

EXAMPLES = """\
examples:
  hallu score pope --answers answers.jsonl --questions coco_pope_random.json
  hallu score pope --answers random.jsonl popular.jsonl adversarial.jsonl \\
      --questions coco_pope_random.json coco_pope_popular.json coco_pope_adversarial.json
                                     each strategy, their mean F1, and all questions pooled
  hallu score pope --answers answers.jsonl --questions coco_pope_random.json --policy words
                                     the word yes or no anywhere; official reads "NO" and blank answers as yes

The questions must be those that the model was asked: random exists with 2,910 and with 3,000 questions.
"""


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--answers", metavar="FILE", nargs="+", required=True, help="the answers, one file a strategy")
    parser.add_argument(
        "--questions", metavar="FILE", nargs="+", required=True, help="the question files, in the order of the answers"
    )
    parser.add_argument(
        "--policy", choices=yesno.POLICIES, default="official", help="how an answer is read (default: official)"
    )


def scores(
    said: Mapping[tuple[str, int, str], str],
    asked: Iterable[PopeQuestion],
    policy: str = "official",
    bootstrap: Bootstrap = DEFAULT,
    margins: Mapping[tuple[str, int, str], float] = MappingProxyType({}),
) -> Result:
    """Return `pope.score_by_strategy` with an `Estimated` for each score, and ``images_count``.

    `said` maps the keys of all questions in `asked` to answers, `margins` to their margins, where they are known.
    """
    questions = {question.key: question for question in asked}
    labels = {key: question.label for key, question in questions.items()}
    result = pope.score_by_strategy(said, labels, policy)
    records = {key: pope.record(said[key], label, policy) for key, label in labels.items()}
    images = {key: question.image for key, question in questions.items()}
    metrics = [one for one in POPE.metrics(records.values()) if one.name in pope.STATISTICS]
    found = {**result, **by_strategy.scores(result, metrics, "f1", records, images, bootstrap)}
    for name, column in (*found["strategies"].items(), ("", found["pooled"])):
        own = {key: yesno.label(label) for key, label in labels.items() if name in ("", key[0])}
        shown = {key: images[key] for key in own}
        column |= discrimination.auroc(own, {key: margins[key] for key in own if key in margins}, shown, bootstrap)
    return found


def _score(given: argparse.Namespace, bootstrap: Bootstrap) -> Result:
    said: dict[Any, str] = {}
    asked: list[PopeQuestion] = []
    notes: list[str] = []
    margins: dict[Any, float] = {}
    for strategy, answered, source in matching.pairs(given.answers, given.questions):
        questions = answers.questions(source, strategy)
        own = answers.answers(answered)
        found = matching.answers_to(own, questions, answered, source)
        said |= {key: answer.text for key, answer in found.items()}
        margins |= discrimination.whole({key: answer.margin for key, answer in found.items()}, answered)
        notes += [*matching.caution(own, answered, source), *_blank(own, answered, given.policy)]
        asked += questions.values()
    files = {"answers": given.answers, "questions": given.questions}
    if 0 < len(margins) < len(said):
        raise ValueError("some answer files have margins and others have none; give all of them with margins, or none")
    result = scores(said, asked, given.policy, bootstrap, margins)
    warnings, told = unread(result["pooled"], given.policy)
    return {"files": files, "warnings": warnings, "notes": [*told, *notes], **result}


def _blank(given: Sequence[PopeAnswer], answered: str, policy: str) -> list[str]:
    blank = sum(not answer.text.strip() for answer in given)
    if not blank:
        return []
    read = yesno.parse("", policy)
    what = "cannot read them" if read is None else f"reads them as {read}"
    return [f"{blank} of {len(given)} answers of {answered} are blank; policy {policy} {what}"]


def _lines(result: Result) -> list[str]:
    title = f"POPE in percent; policy {result['policy']}"
    return by_strategy.lines(result, title, "f1", ("questions", "unparsed", "by_default"))


SCORER = Scorer(
    name="pope",
    title=POPE.title,
    summary="yes/no answers against POPE's question files",
    description=DESCRIPTION + discrimination.HELP,
    example="hallu score pope --answers answers.jsonl --questions coco_pope_random.json",
    examples=EXAMPLES,
    arguments=_arguments,
    score=_score,
    lines=_lines,
)
