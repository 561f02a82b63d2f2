"""``hallu score amber``: descriptions and yes/no answers against AMBER's annotations."""

from __future__ import annotations

import argparse
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from hallu_tasks.amber import answers
from hallu_tasks.amber.benchmark import DISCRIMINATIVE, GENERATIVE
from hallu_tasks.benchmark import Metric
from hallu_tasks.estimates import discrimination
from hallu_tasks.estimates.bootstrap import DEFAULT, Bootstrap, Estimated, Result
from hallu_tasks.estimates.layout import cell, estimated, label, reasons, table
from hallu_tasks.estimates.scorer import Scorer, checked, unread
from hallu_tasks.scoring import amber, paired, yesno
from hallu_tasks.scoring.units import Record

__all__ = ["SCORER", "answer_scores", "description_scores"]

DESCRIPTION = """\
What do descriptions invent and leave out, and are yes/no questions answered right? "No" is the positive class.

FILE is a JSON list of {"id": 1, "response": "A dog ..."}; JSONL is read too. Ids 1 to 1004 are images to describe, the
others questions; the annotations tell them apart, and a file may hold either or both. The data are those of AMBER's
repository: its folder data, or single files of it.
"""

EXAMPLES = """\
examples:
  hallu score amber --responses responses.json --data AMBER/data
  hallu score amber --responses responses.json --data AMBER/data --mode nltk --similarity spacy
                                     as the official script; needs NLTK's data and spaCy's vectors
  hallu score amber --responses answers.json --annotations annotations.json --queries query_all.json
                                     answers alone; the queries name the image of each question
  hallu score amber --responses answers.json --data AMBER/data --policy official
                                     only "Yes" and "No" are answers; words reads "No, it is red." too

Two questions in three have the answer no: always saying so is an F1 of 79.7, which stands beside every F1.
"""


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--responses", metavar="FILE", required=True, help="the responses, JSON list or JSONL")
    parser.add_argument("--data", metavar="FOLDER", help="AMBER's data folder, in place of the next four")
    parser.add_argument("--annotations", metavar="FILE", help="annotations.json")
    parser.add_argument("--relation", metavar="FILE", help="relation.json, for descriptions")
    parser.add_argument("--safe-words", metavar="FILE", help="safe_words.txt, for descriptions")
    parser.add_argument("--queries", metavar="FILE", help="query_all.json, for the intervals of answers")
    parser.add_argument(
        "--mode",
        choices=amber.MODES,
        default="reference",
        help="how nouns are found (default: reference, which needs no data)",
    )
    parser.add_argument(
        "--similarity",
        choices=amber.SIMILARITIES,
        default="none",
        help="whether a noun that means the same as a true word is right (default: none)",
    )
    parser.add_argument(
        "--policy", choices=amber.POLICIES, default="words", help="how an answer is read (default: words)"
    )


def description_scores(
    described: Mapping[int, str],
    scenes: Mapping[int, amber.Scene],
    vocabulary: amber.Vocabulary,
    mode: str = "reference",
    similarity: str = "none",
    bootstrap: Bootstrap = DEFAULT,
) -> Result:
    """Return `amber.aggregate_generative` with an `Estimated` for each score; `scenes` may hold more ids."""
    records = {
        number: amber.record_generative(text, scenes[number], vocabulary, mode, similarity)
        for number, text in described.items()
    }
    return {
        **amber.aggregate_generative(records.values()),
        **bootstrap.scores(GENERATIVE.metrics(records.values()), records),
    }


def answer_scores(
    answered: Mapping[int, str],
    questions: Mapping[int, amber.Question],
    images: Mapping[int, Hashable] | None,
    policy: str = "words",
    bootstrap: Bootstrap = DEFAULT,
    margins: Mapping[int, float] = MappingProxyType({}),
) -> Result:
    """Return `amber.aggregate_discriminative` with an `Estimated` for each score, also of groups that are asked for.

    `questions` may hold more ids. Without `images`, the image of each question, scores have no interval;
    ``images_count`` is then ``None``. With the `margins` of all answers there is ``auroc``.
    """
    records = {
        number: amber.record_discriminative(text, questions[number], policy) for number, text in answered.items()
    }
    result = amber.aggregate_discriminative(records.values())
    labels = {number: yesno.label(questions[number].truth) for number in records}
    shown = None if images is None else {number: images[number] for number in records}
    metrics = {one.name: one for one in DISCRIMINATIVE.metrics(records.values())}

    def scores(prefix: str = "") -> dict[str, Estimated]:
        own = [
            replace(metrics[name], statistic=amber.STATISTICS[prefix + name], outcome=None)
            for name in ("accuracy", "precision", "recall", "f1")
        ]
        if images is None:
            return {one.name: _without_images(one, records) for one in own}
        return {one.name: bootstrap.score(one, records, images) for one in own}

    return {
        **result,
        **scores(),
        **discrimination.auroc(labels, margins, shown, bootstrap),
        "groups": {
            group: {**values, **(scores(f"{group}.") if values["questions_count"] else {})}
            for group, values in result["groups"].items()
        },
        "images_count": None if images is None else len({images[number] for number in records}),
    }


def _without_images(metric: Metric, records: Mapping[Any, Record]) -> Estimated:
    """The value alone: questions about one image are not independent, and which they are is not known."""
    estimate = paired.estimate(records, statistic=metric.statistic, resamples=1)
    told = estimate.reasons
    if estimate.value is not None:
        told = {"interval": "the images of the questions are not known"}
    return Estimated(metric, replace(estimate, interval=None, reasons=told))


def _score(given: argparse.Namespace, bootstrap: Bootstrap) -> Result:
    data = answers.located(given.data, given.annotations, given.relation, given.safe_words, given.queries)
    responses = answers.responses(given.responses)
    annotated = answers.annotated(data.annotations)
    described, answered = answers.divided(responses, annotated, data.annotations)
    files = {"responses": [given.responses], "annotations": [data.annotations]}
    notes: list[str] = []
    warnings: list[str] = []
    halves: dict[str, Result | None] = {"generative": None, "discriminative": None}
    if described:
        checked(amber.check, given.mode, given.similarity)
        vocabulary = answers.vocabulary(data)
        files["vocabulary"] = [str(data.relation), str(data.safe_words)]
        halves["generative"] = {
            **description_scores(described, annotated.scenes, vocabulary, given.mode, given.similarity, bootstrap),
            "images_annotated_count": len(annotated.scenes),
        }
        notes += _unfinished(len(described), len(annotated.scenes), "images are described")
    if answered:
        images = None if data.queries is None else answers.images(data.queries, answered)
        if data.queries is None:
            notes.append("no intervals for the answers; --queries names the image of each question")
        else:
            files["queries"] = [data.queries]
        own = {number: responses[number].margin for number in answered}
        margins = discrimination.whole(own, given.responses)
        scored = answer_scores(answered, annotated.questions, images, given.policy, bootstrap, margins)
        halves["discriminative"] = {
            **scored,
            "questions_annotated_count": len(annotated.questions),
        }
        notes += _unfinished(len(answered), len(annotated.questions), "questions are answered")
        warnings, told = unread(scored, given.policy)
        notes += told
    return {"files": files, "warnings": warnings, "notes": notes, **halves}


def _unfinished(found: int, every: int, what: str) -> list[str]:
    return [f"{found} of {every} {what}; published numbers are over all of them"] if found < every else []


def _lines(result: Result) -> list[str]:
    halves = [("generative", _descriptions), ("discriminative", _answers)]
    parts = [form(result[half]) for half, form in halves if result[half] is not None]
    below = [line for part in parts for line in ("", *part)]
    return ["AMBER in percent, mean length in tokens", *below[1:]]


def _descriptions(result: Result) -> list[str]:
    found = estimated(result)
    return [
        f"generative; mode {result['mode']}, similarity {result['similarity']}; {result['responses_count']} of "
        f"{result['images_annotated_count']} images described",
        *table([[label(score), cell(score)] for score in found]),
        f"{result['hallucinated_count']} of {result['nouns_count']} nouns are hallucinated; "
        f"{result['responses_without_nouns_count']} responses have none, {result['responses_empty_count']} are blank",
        *reasons("", found),
    ]


def _answers(result: Result) -> list[str]:
    columns: dict[str, Mapping[str, Any]] = {"all": result}
    columns |= {name: group for name, group in result["groups"].items() if group["questions_count"]}
    on_images = "" if result["images_count"] is None else f" on {result['images_count']} images"
    rows = [["", label(result["accuracy"]), 'always "no"', label(result["f1"]), 'always "no"']]
    further = [["", label(result["precision"]), label(result["recall"]), "questions", "unparsed"]]
    for name, column in columns.items():
        cells = [(cell(column[one]), _plain_number(column[f"always_no_{one}"])) for one in ("accuracy", "f1")]
        rows.append([name, *(text for pair in cells for text in pair)])
        counts = [str(column[f"{what}_count"]) for what in ("questions", "unparsed")]
        further.append([name, cell(column["precision"]), cell(column["recall"]), *counts])
    return [
        f'discriminative, "no" is positive; policy {result["policy"]}; {result["questions_count"]} of '
        f"{result['questions_annotated_count']} questions answered{on_images}",
        *table(rows),
        "",
        *table(further),
        *(["", *table([[label(result["auroc"]), cell(result["auroc"])]])] if "auroc" in result else []),
        *_why(columns, bool(on_images)),
    ]


def _why(columns: Mapping[str, Mapping[str, Any]], with_images: bool) -> Iterator[str]:
    """Why scores are N/A. That no image is known is noted once, above."""
    for name, column in columns.items():
        found = estimated(dict(column))
        own = found if with_images else [score for score in found if score.estimate.value is None]
        yield from reasons(f"{name}, ", own)


def _plain_number(value: float | None) -> str:
    return "N/A" if value is None else f"{value:.1f}"


SCORER = Scorer(
    name="amber",
    title="AMBER",
    summary="descriptions and yes/no answers against AMBER's annotations",
    description=DESCRIPTION + discrimination.HELP,
    example="hallu score amber --responses responses.json --data AMBER/data",
    examples=EXAMPLES,
    arguments=_arguments,
    score=_score,
    lines=_lines,
)
