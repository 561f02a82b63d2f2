"""``hallu score dash_b``: answers as DASH-B's own script writes them."""

from __future__ import annotations

import argparse
from collections import Counter

from hallu_tasks.dash_b import data
from hallu_tasks.dash_b.benchmark import DASH_B
from hallu_tasks.estimates.bootstrap import Bootstrap, Result
from hallu_tasks.estimates.layout import cell, estimated, label, reasons, table
from hallu_tasks.estimates.scorer import Scorer, unread
from hallu_tasks.files import rows
from hallu_tasks.scoring import dash_b, yesno
from hallu_tasks.scoring.keyed import name_some

__all__ = ["SCORER"]

DESCRIPTION = """\
Does the model see objects that are not there, on images found for it?

FILE is a JSON list or JSONL of {"img_id": "2327067188.png", "object_name": "backpack", "gt": "no", "response": "yes"},
as DASH-B's own script writes it. Every image of the two official lists must be answered.
"""

EXAMPLES = """\
examples:
  hallu score dash_b --answers model_answers.json --images dash_benchmark_neg.json dash_benchmark_pos.json
"""

ANSWERS = 'give a JSON list or JSONL of {"img_id": ..., "object_name": ..., "gt": "yes" or "no", "response": ...}'


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--answers", metavar="FILE", required=True, help="the answers")
    parser.add_argument(
        "--images",
        metavar=("NEGATIVE", "POSITIVE"),
        nargs=2,
        required=True,
        help="dash_benchmark_neg.json and dash_benchmark_pos.json",
    )
    parser.add_argument(
        "--policy", choices=yesno.POLICIES, default="contains", help="how an answer is read (default: contains)"
    )


def _score(given: argparse.Namespace, bootstrap: Bootstrap) -> Result:
    asked = {}
    for path, right in zip(given.images, data.FILES):
        for one in data.listed(path, right):
            asked[right, one.thing, one.name] = one
    said: dict[tuple[str, str, str], str] = {}
    for row in rows.read(given.answers, ANSWERS):
        try:
            right = yesno.label(row.get("gt", ANSWERS))
        except ValueError as error:
            raise ValueError(f"{row.place}: {error}") from None
        key = right, row.words("object_name", ANSWERS), row.words("img_id", ANSWERS)
        if key not in asked:
            raise ValueError(f"{row.place}: {_named(key)} is not in {' or '.join(given.images)}; {ANSWERS}")
        if key in said:
            raise ValueError(f"{row.place}: {_named(key)} is answered twice; keep one answer")
        said[key] = row.words("response", ANSWERS)
    if silent := [_named(key) for key in asked if key not in said]:
        raise ValueError(
            f"{given.answers} answers {len(said):,} of {len(asked):,} questions (not {name_some(silent, 3)}); a part "
            "of the images is another benchmark"
        )
    records = {key: dash_b.record(said[key], key[0], given.policy) for key in asked}
    result = dash_b.aggregate(records.values())
    warnings, notes = unread(result, given.policy)
    size = Counter(key[0] for key in asked)
    if set(size.values()) != {data.COUNT}:
        notes = [
            *notes,
            f"{size['no']:,} images without and {size['yes']:,} with their object; DASH-B has {data.COUNT:,}",
        ]
    return {
        "files": {"answers": [given.answers], "images": given.images},
        "warnings": warnings,
        "notes": notes,
        **result,
        **bootstrap.scores(DASH_B.metrics(records.values()), records),
    }


def _named(key: tuple[str, str, str]) -> str:
    return f"{key[2]} of {key[1]!r} ({key[0]})"


def _lines(result: Result) -> list[str]:
    found = estimated(result)
    return [
        f"DASH-B in percent; policy {result['policy']}; {result['questions_count']} questions",
        *table([[label(score), cell(score)] for score in found]),
        *reasons("", found),
    ]


SCORER = Scorer(
    name="dash_b",
    title=DASH_B.title,
    summary="yes/no answers about objects that are not there",
    description=DESCRIPTION,
    example="hallu score dash_b --answers answers.json --images dash_benchmark_neg.json dash_benchmark_pos.json",
    examples=EXAMPLES,
    arguments=_arguments,
    score=_score,
    lines=_lines,
)
