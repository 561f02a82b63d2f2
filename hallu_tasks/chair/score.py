"""``hallu score chair``: captions against COCO's annotations."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping

from hallu_tasks.chair import answers
from hallu_tasks.chair.benchmark import CHAIR
from hallu_tasks.estimates.bootstrap import DEFAULT, Bootstrap, Result
from hallu_tasks.estimates.layout import cell, estimated, label, reasons, table
from hallu_tasks.estimates.scorer import Scorer, checked
from hallu_tasks.scoring import chair

__all__ = ["SCORER", "caption_arguments", "scores"]

DESCRIPTION = """\
Which objects do the captions name, and how many of them are not in the image?

A line of FILE is {"image_id": 310196, "caption": "A dog ..."}; a JSON list of such objects is read too, and
"COCO_val2014_000000310196.jpg" stands for the number. The truth comes from COCO's annotation files; what was read from
them is kept in $HALLU_CACHE (default ~/.cache/hallu), so the second time is quick.
"""

EXAMPLES = """\
examples:
  hallu score chair --captions captions.jsonl --truth instances_val2014.json captions_val2014.json
  hallu score chair --captions llava.jsonl --image-key image --caption-key text --truth ...
                                     other names for the two keys
  hallu score chair --captions captions.jsonl --mode nltk --truth ...
                                     as OPERA counts; reference is the original's rule
  hallu score chair --captions captions.jsonl --truth ... --json
                                     unrounded, for programs

Name the mode beside the number, and compare lengths first: shorter captions hallucinate less.
"""


def caption_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments for a file of captions, and how objects are found in it."""
    parser.add_argument("--captions", metavar="FILE", required=True, help="the captions, JSON list or JSONL")
    parser.add_argument("--image-key", metavar="KEY", default="image_id", help="key of the image (default: image_id)")
    parser.add_argument("--caption-key", metavar="KEY", default="caption", help="key of the caption (default: caption)")
    parser.add_argument(
        "--mode", choices=chair.MODES, default="reference", help="how plurals are read (default: reference)"
    )


def _arguments(parser: argparse.ArgumentParser) -> None:
    caption_arguments(parser)
    parser.add_argument(
        "--truth",
        metavar=("INSTANCES", "CAPTIONS"),
        nargs=2,
        required=True,
        help="instances_val2014.json and captions_val2014.json",
    )
    parser.add_argument(
        "--allow-empty-truth",
        action="store_true",
        help="score captions of images without any object: every mention is hallucinated",
    )


def scores(
    captions: Mapping[int, str],
    truth: Mapping[int, Iterable[str]],
    mode: str = "reference",
    bootstrap: Bootstrap = DEFAULT,
) -> Result:
    """Return `chair.aggregate` with an `Estimated` for each score, and ``images_count``."""
    records = {image: chair.record(text, frozenset(truth[image]), mode) for image, text in captions.items()}
    return {
        **chair.aggregate(records.values()),
        **bootstrap.scores(CHAIR.metrics(records.values()), records),
        "images_count": len(records),
    }


def _score(given: argparse.Namespace, bootstrap: Bootstrap) -> Result:
    checked(chair.check, given.mode)
    captions = answers.captions(given.captions, given.image_key, given.caption_key)
    instances, sentences = given.truth
    truth = answers.truth(instances, sentences, given.mode)
    answers.check_truth(captions, truth, instances, given.allow_empty_truth)
    texts = {image: caption.text for image, caption in captions.items()}
    files = {"captions": [given.captions], "truth": given.truth}
    empty = sum(not truth[image] for image in captions)
    notes = [f"{empty} captions are of images without any object; all their mentions are hallucinated"] if empty else []
    return {"files": files, "notes": notes, **scores(texts, truth, given.mode, bootstrap)}


def _lines(result: Result) -> list[str]:
    found = estimated(result)
    return [
        f"CHAIR in percent, mean length in tokens; mode {result['mode']}; {result['captions_count']} captions",
        *table([[label(score), cell(score)] for score in found]),
        "",
        f"{result['hallucinated_count']} of {result['mentions_count']} mentions are hallucinated; "
        f"{result['captions_without_objects_count']} captions name no object",
        *reasons("", found),
    ]


SCORER = Scorer(
    name="chair",
    title=CHAIR.title,
    summary="captions against COCO's annotations",
    description=DESCRIPTION,
    example="hallu score chair --captions captions.jsonl --truth instances_val2014.json captions_val2014.json",
    examples=EXAMPLES,
    arguments=_arguments,
    score=_score,
    lines=_lines,
)
