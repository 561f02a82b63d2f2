"""``hallu score opope``: captions as answers to POPE's questions."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from typing import Any

from hallu_tasks.benchmark import Metric
from hallu_tasks.chair.answers import captions as read_captions
from hallu_tasks.chair.score import caption_arguments
from hallu_tasks.estimates.bootstrap import DEFAULT, Bootstrap, Result
from hallu_tasks.estimates.scorer import Scorer, checked
from hallu_tasks.pope import answers, by_strategy, matching
from hallu_tasks.pope.answers import PopeQuestion
from hallu_tasks.scoring import chair, opope
from hallu_tasks.scoring.keyed import name_some, repeated

__all__ = ["METRICS", "SCORER", "scores"]

DESCRIPTION = """\
Captions as answers to POPE's questions: an object that a caption names is a yes, any other a no.

A caption file is that of hallu score chair, the question files are POPE's on COCO images. Objects are found as CHAIR
finds them. That an object is not named says little, so F_0.2 leads, in which precision counts most.
"""

EXAMPLES = """\
examples:
  hallu score opope --captions captions.jsonl --questions coco_pope_random.json
  hallu score opope --captions captions.jsonl \\
      --questions coco_pope_random.json coco_pope_popular.json coco_pope_adversarial.json
                                     each strategy, their mean F_0.2, and all questions pooled

Every image of the questions needs a caption. Name the mode beside the number.
"""

METRICS = (
    Metric("accuracy", "accuracy", opope.STATISTICS["accuracy"], "higher", outcome="correct"),
    Metric("precision", "precision", opope.STATISTICS["precision"], "higher"),
    Metric("recall", "recall", opope.STATISTICS["recall"], "higher"),
    Metric("f_beta", f"F_{opope.BETA}", opope.STATISTICS["f_beta"], "higher"),
    Metric("yes_ratio", "yes ratio", opope.STATISTICS["yes_ratio"], None),
)


def _arguments(parser: argparse.ArgumentParser) -> None:
    caption_arguments(parser)
    parser.add_argument("--questions", metavar="FILE", nargs="+", required=True, help="POPE's question files on COCO")


def scores(
    captions: Mapping[Any, str],
    asked: Iterable[PopeQuestion],
    mode: str = "reference",
    bootstrap: Bootstrap = DEFAULT,
) -> Result:
    """Return `opope.score_by_strategy` with an `Estimated` for each score, and ``images_count``.

    `captions` maps the images of all questions in `asked` to captions, and may hold more.
    """
    questions = {question.key: question for question in asked}
    strategies: dict[str, list[dict[str, Any]]] = {}
    for (strategy, _, text), question in questions.items():
        row = {"image": question.image, "text": text, "label": question.label}
        strategies.setdefault(strategy, []).append(row)
    result = opope.score_by_strategy(captions, strategies, mode)
    records = {
        key: opope.record(captions[question.image], key[2], question.label, mode) for key, question in questions.items()
    }
    images = {key: question.image for key, question in questions.items()}
    return {**result, **by_strategy.scores(result, METRICS, "f_beta", records, images, bootstrap)}


def _score(given: argparse.Namespace, bootstrap: Bootstrap) -> Result:
    checked(chair.check, given.mode)
    captions = read_captions(given.captions, given.image_key, given.caption_key)
    if twice := repeated(given.questions):
        raise ValueError(f"files given twice: {name_some(twice)}; give each once")
    asked = [
        question
        for strategy, source in zip(matching.strategies(given.questions), given.questions)
        for question in answers.questions(source, strategy).values()
    ]
    for question in asked:
        try:
            opope.asked(question.key[2])
        except ValueError as error:
            raise ValueError(f"{question.place}: {error}") from None
    if silent := [question for question in asked if question.image not in captions]:
        raise ValueError(
            f"{len(silent)} of {len(asked)} questions are about images that {given.captions} does not describe (first "
            f"{silent[0].place}: image {silent[0].image!r}); caption every image of the questions"
        )
    texts = {image: caption.text for image, caption in captions.items()}
    files = {"captions": [given.captions], "questions": given.questions}
    return {"files": files, "notes": [], **scores(texts, asked, given.mode, bootstrap)}


def _lines(result: Result) -> list[str]:
    return by_strategy.lines(result, f"OPOPE in percent; mode {result['mode']}", "f_beta", ("questions",))


SCORER = Scorer(
    name="opope",
    title="OPOPE",
    summary="captions as answers to POPE's questions",
    description=DESCRIPTION,
    example="hallu score opope --captions captions.jsonl --questions coco_pope_random.json",
    examples=EXAMPLES,
    arguments=_arguments,
    score=_score,
    lines=_lines,
)
