"""Read what published code writes: caption files, and MME's folder of results.

POPE's files are read in `hallu_tasks.pope.answers` and matched in `hallu_tasks.pope.matching`.
"""

from __future__ import annotations

import re
import reprlib
from collections import defaultdict
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from hallu_tasks.chair import truth_cache
from hallu_tasks.files import json_files, rows
from hallu_tasks.scoring import mme, yesno
from hallu_tasks.scoring.keyed import name_some

__all__ = ["Caption", "captions", "check_truth", "image_number", "mme_results", "truth"]

# Python reads no numbers of thousands of digits; ids have twelve at most.
_IMAGE_NAME = re.compile(r"(?:.*[/\\])?(?:COCO_[a-z]+\d{4}_)?(\d{1,20})(?:\.[A-Za-z]+)?")

CAPTIONS = 'give a JSON list or JSONL of {"image_id": 310196, "caption": "A dog ..."}'
TRUTH = "--truth takes instances_val2014.json, then captions_val2014.json"
MME_LINE = "image, question, Yes or No, prediction, with tabs between them"


class Caption(NamedTuple):
    """A caption and where it stands."""

    place: str
    text: str


def image_number(value: object) -> int | None:
    """The id of an image from a number, its digits, or a file name such as ``COCO_val2014_000000310196.jpg``.

    ``None`` for everything else.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    found = _IMAGE_NAME.fullmatch(value.strip()) if isinstance(value, str) else None
    return int(found[1]) if found else None


def captions(path: str, image_key: str = "image_id", caption_key: str = "caption") -> dict[int, Caption]:
    """Return the captions of a JSON list or JSONL file by image id.

    Raises `ValueError` that names file and line for a missing or damaged file, missing keys, a value that is
    no image id or no text, and an image with two captions.
    """
    result: dict[int, Caption] = {}
    for row in rows.read(path, CAPTIONS):
        given = row.get(image_key, "name the key of the image id with --image-key")
        image = image_number(given)
        if image is None:
            raise ValueError(
                f"{row.place}: {image_key} {reprlib.repr(given)} is no COCO image id; allowed: a number or a file "
                "name such as COCO_val2014_000000310196.jpg; another key is named with --image-key"
            )
        if image in result:
            raise ValueError(f"{row.place}: image id {image} occurs also in {result[image].place}; keep one caption")
        result[image] = Caption(row.place, row.words(caption_key, "name the key of the caption with --caption-key"))
    return result


def truth(instances: str, sentences: str, mode: str) -> dict[int, set[str]]:
    """Return `truth_cache.truth` of two annotation files; a `ValueError` also says which files they must be."""
    for path in (instances, sentences):
        json_files.require(path, TRUTH)
    try:
        return truth_cache.truth(instances, sentences, mode)
    except OSError as error:
        raise ValueError(f"{error.filename} cannot be read: {error.strerror}") from None
    except (TypeError, ValueError) as error:
        raise ValueError(f"{error}; {TRUTH}") from None


def check_truth(
    described: Mapping[int, Caption], objects: Mapping[int, Collection[str]], source: str, allow_empty: bool = False
) -> None:
    """Raise a `ValueError` that names captions of images outside the truth, and of images without any object.

    `source` is the file the truth came from. With `allow_empty`, images without any object pass.
    """
    outside = [f"{caption.place}: image id {image}" for image, caption in described.items() if image not in objects]
    if outside:
        raise ValueError(
            f"{len(outside)} of {len(described)} captions are of images that {source} does not hold "
            f"({_some(outside)}); give the annotations of the split that the images come from"
        )
    empty = [f"{caption.place}: image id {image}" for image, caption in described.items() if not objects[image]]
    if empty and not allow_empty:
        raise ValueError(
            f"{len(empty)} of {len(described)} captions are of images without any object in the truth "
            f"({_some(empty)}), where every mention counts as hallucinated; leave them out, or score them as the "
            "original does with --allow-empty-truth"
        )


def mme_results(folder: str) -> list[dict[str, Any]]:
    """Return the records that `mme.score` takes from a folder of ``<subtask>.txt`` files.

    A line is image, question, Yes or No and the prediction, separated by tabs; a prediction may hold tabs.
    Files that macOS adds to archives (``._name.txt``) are left out. Raises `ValueError` that names file and line
    for a missing folder, a file that is no subtask, a line with fewer fields, a label that is neither yes nor no,
    a question that is repeated, a third one about an image, and one without its partner.
    """
    place = Path(folder)
    if not place.is_dir():
        problem = "is a file" if place.exists() else "does not exist"
        raise ValueError(f"{folder} {problem}; --results takes the folder of MME's <subtask>.txt files")
    files = {file.stem: file for file in sorted(place.glob("*.txt")) if not file.name.startswith("._")}
    if not files:
        raise ValueError(f"{folder} holds no <subtask>.txt; allowed: {', '.join(mme.SUBTASKS)}")
    unknown = [file.name for name, file in files.items() if name not in mme.SUBTASKS]
    if unknown:
        raise ValueError(
            f"{folder} holds files that are no subtask of MME: {name_some(unknown)}; allowed, each with .txt: "
            f"{', '.join(mme.SUBTASKS)}; move other files elsewhere"
        )
    return [record for name in mme.SUBTASKS if name in files for record in _subtask(name, files[name])]


def _subtask(name: str, file: Path) -> list[dict[str, Any]]:
    records = []
    asked: defaultdict[str, dict[str, int]] = defaultdict(dict)
    lines = rows.text(str(file), f"a line is {MME_LINE}").split("\n")
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        fields = line.removesuffix("\r").split("\t", 3)
        if len(fields) < 4:
            raise ValueError(
                f"{file}, line {number} has {len(fields)} of 4 fields; a line is {MME_LINE}; write a line break "
                "inside a prediction as a space"
            )
        image, question, answer, prediction = fields
        try:
            yesno.label(answer)
        except ValueError as error:
            raise ValueError(f"{file}, line {number}: {error}; a line is {MME_LINE}") from None
        _require_new(question, image, asked[image], f"{file}, line {number}")
        asked[image][question] = number
        records.append(
            {"image": image, "category": name, "question": question, "answer": answer, "prediction": prediction}
        )
    if not records:
        raise ValueError(f"{file} is empty; a line is {MME_LINE}")
    try:
        mme.check_pairs(records)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from None
    return records


def _require_new(question: str, image: str, asked: Mapping[str, int], place: str) -> None:
    """Raise `ValueError` for a question after those `asked` about an image, with their lines, that is one too many."""
    if question in asked:
        raise ValueError(
            f"{place} repeats line {asked[question]}, {question!r} about {image!r}; keep one answer to each question"
        )
    if len(asked) == 2:
        first, second = asked.values()
        raise ValueError(
            f"{place} is a third question about {image!r}, after lines {first} and {second}; an image has two, so keep "
            "those of the benchmark"
        )


def _some(texts: list[str]) -> str:
    more = f" and {len(texts) - 5} more" if len(texts) > 5 else ""
    return "; ".join(texts[:5]) + more
