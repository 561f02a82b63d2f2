"""Read AMBER's data files, and the file of responses that its scripts expect."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from hallu_tasks.estimates.discrimination import MARGIN
from hallu_tasks.files import json_files, rows
from hallu_tasks.scoring import amber
from hallu_tasks.scoring.keyed import name_some

__all__ = [
    "Data",
    "Response",
    "annotated",
    "divided",
    "images",
    "located",
    "responses",
    "vocabulary",
]

RESPONSES = 'give a JSON list or JSONL of {"id": 1, "response": "A dog ..."}'
ANNOTATIONS = "--annotations takes AMBER's annotations.json"
VOCABULARY = "--relation and --safe-words take AMBER's relation.json and safe_words.txt"
QUERIES = "--queries takes AMBER's query/query_all.json"

_Read = TypeVar("_Read")


class Response(NamedTuple):
    """A response and where it stands; its margin, where it has one."""

    place: str
    text: str
    margin: float | None = None


@dataclass(frozen=True)
class Data:
    """The paths of AMBER's data files; ``None`` for one that was not given."""

    annotations: str
    relation: str | None
    safe_words: str | None
    queries: str | None


def located(
    folder: str | None, annotations: str | None, relation: str | None, safe_words: str | None, queries: str | None
) -> Data:
    """Return the data files: those of AMBER's data folder, where it is given, and in their place those given singly.

    Raises `ValueError` when neither names the annotations, and for a folder that is not AMBER's.
    """
    if folder is not None:
        place = Path(folder)
        if not (place / "annotations.json").is_file():
            inner = place / "data"
            fix = f"; give --data {inner}" if (inner / "annotations.json").is_file() else ""
            problem = "holds no annotations.json" if place.is_dir() else "is no folder"
            raise ValueError(f"{folder} {problem}; --data takes the folder data of AMBER's repository{fix}")
        annotations = annotations or str(place / "annotations.json")
        relation, safe_words = relation or str(place / "relation.json"), safe_words or str(place / "safe_words.txt")
        queries = queries or str(place / "query" / "query_all.json")
    if annotations is None:
        raise ValueError("AMBER's data are not named; give --data FOLDER, or --annotations FILE")
    return Data(annotations, relation, safe_words, queries)


def responses(path: str) -> dict[int, Response]:
    """Return the responses of a JSON list or JSONL file by id.

    Raises `ValueError` that names file and line for a missing or damaged file, missing keys, an id that is no
    number, a response that is no text, and an id that occurs twice.
    """
    result: dict[int, Response] = {}
    for row in rows.read(path, RESPONSES):
        number = _number(row)
        if number in result:
            raise ValueError(f"{row.place}: id {number} occurs also in {result[number].place}; keep one response")
        result[number] = Response(row.place, row.words("response", RESPONSES), row.number("margin", MARGIN))
    return result


def _number(row: rows.Row) -> int:
    value = row.get("id", RESPONSES)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    # Python reads no numbers of thousands of digits.
    if isinstance(value, str) and re.fullmatch(r"\s*\d{1,20}\s*", value):
        return int(value)
    raise ValueError(f"{row.place}: id must be a whole number, got {reprlib.repr(value)}; {RESPONSES}")


def annotated(path: str) -> amber.Annotations:
    """Return `amber.read_annotations`; a `ValueError` also says which file it must be."""
    return _read(amber.read_annotations, path, wanted=ANNOTATIONS)


def vocabulary(data: Data) -> amber.Vocabulary:
    """Return `amber.read_vocabulary`; `ValueError` also where one of the two files was not given."""
    if data.relation is None or data.safe_words is None:
        raise ValueError(
            "descriptions are scored by the words of relation.json and safe_words.txt; give --relation and "
            "--safe-words, or --data with the folder that holds them"
        )
    return _read(amber.read_vocabulary, data.relation, data.safe_words, wanted=VOCABULARY)


def images(path: str, asked: Iterable[int]) -> dict[int, str]:
    """Return the images of the questions `asked`; `ValueError` that names questions the file does not hold."""
    found = _read(amber.read_images, path, wanted=QUERIES)
    absent = [number for number in asked if number not in found]
    if absent:
        raise ValueError(f"{path} does not hold the ids {name_some(absent)}; {QUERIES}, of the annotations' release")
    return {number: found[number] for number in asked}


def _read(read: Callable[..., _Read], *paths: str, wanted: str) -> _Read:
    for path in paths:
        json_files.require(path, wanted)
    try:
        return read(*paths)
    except OSError as error:
        raise ValueError(f"{error.filename} cannot be read: {error.strerror}") from None
    except (TypeError, ValueError) as error:
        raise ValueError(f"{error}; {wanted}") from None


def divided(
    given: Mapping[int, Response], annotated: amber.Annotations, source: str
) -> tuple[dict[int, str], dict[int, str]]:
    """Return the descriptions and the answers by id; `source` is the file of the annotations.

    Raises `ValueError` that names responses to ids the annotations do not hold.
    """
    halves: tuple[Mapping[int, Any], Mapping[int, Any]] = (annotated.scenes, annotated.questions)
    strange = [number for number in given if not any(number in half for half in halves)]
    if strange:
        first = given[strange[0]]
        raise ValueError(
            f"{len(strange)} of {len(given)} responses are to ids that {source} does not hold: {name_some(strange)} "
            f"(first in {first.place}); give the annotations of the release that was asked, or leave them out"
        )
    described, answered = ({number: one.text for number, one in given.items() if number in half} for half in halves)
    return described, answered
