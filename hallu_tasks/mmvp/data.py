"""MMVP's data: ``Questions.csv`` with two questions a pair, and an image for each, in ``MMVP Images``."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping

from hallu_tasks.choices.question import Question
from hallu_tasks.data.documents import Documents, Local, Source
from hallu_tasks.data.folder import Folder, checksum
from hallu_tasks.files import rows
from hallu_tasks.scoring.choices import MMVP

__all__ = ["COUNT", "FILE", "every", "questions"]

FILE = "Questions.csv"
IMAGES = "MMVP Images"
COUNT = 300
"""Questions, each about one image."""

_COLUMNS = ("Question", "Options", "Correct Answer")
_NUMBER = ("Index", "lndex")
"""The official file spells the column with a small L."""
_LETTERS = {"(a)": "A", "(b)": "B"}
_FIX = "take the official file"
_ASKED = "Answer with the option's letter from the given choices directly."
_OPTIONS = re.compile(r"\s*\(a\)\s*(.+?)\s*\(b\)\s*(.+?)\s*", re.IGNORECASE | re.DOTALL)

SOURCE = Source(
    folder="mmvp",
    title="MMVP",
    layout=(FILE, f"{IMAGES}/1.jpg ... {IMAGES}/{COUNT}.jpg"),
    obtain=("https://huggingface.co/datasets/MMVP/MMVP",),
    licence="MIT (its repository); the images have their own terms",
)


def questions(path: str) -> list[Question]:
    """Return the questions of a file in its order, two a pair; `ValueError` for one that is not laid out so."""
    reader = csv.DictReader(io.StringIO(rows.text(path, _FIX), newline=""))
    columns = reader.fieldnames or ()
    number = next((name for name in _NUMBER if name in columns), None)
    if number is None or not set(_COLUMNS) <= set(columns):
        wanted = ", ".join((_NUMBER[0], *_COLUMNS))
        raise ValueError(f"{path} has the columns {', '.join(columns) or 'none'} instead of {wanted}; {_FIX}")
    found = []
    for place, row in enumerate(reader):
        where = f"{path}, question {place + 1}"
        if row[number] != str(place + 1):
            raise ValueError(f"{where} has the number {row[number]!r}; its images are called by it, so {_FIX}")
        found.append(_question(where, place, row))
    if not found or len(found) % MMVP.size:
        raise ValueError(f"{path} holds {len(found)} questions, which are not pairs; it was cut off, so {_FIX}")
    return found


def _question(where: str, place: int, row: Mapping[str, str | None]) -> Question:
    text, listed, right = (row[name] or "" for name in _COLUMNS)
    options = _OPTIONS.fullmatch(listed)
    if options is None:
        raise ValueError(f"{where} has the options {listed!r} instead of (a) ... (b) ...; {_FIX}")
    letter = _LETTERS.get(right.strip().lower())
    if letter is None:
        raise ValueError(f"{where}: the correct answer is {right!r}; allowed: {', '.join(_LETTERS)}; {_FIX}")
    first, second = options.groups()
    asked = f"{text}\nA. {first}\nB. {second}\n{_ASKED}"
    return Question(str(place + 1), asked, (first, second), letter, f"{place + 1}.jpg", place // MMVP.size)


def _read(folder: Folder) -> Local:
    path = folder.file(FILE)
    asked = questions(str(path))
    if len(asked) != COUNT:
        raise ValueError(f"{path} holds {len(asked)} questions instead of {COUNT}; {_FIX}")
    images = folder.images(folder.folder(IMAGES), (one.image for one in asked))
    found = [{**one.row(MMVP.key), "image": images[one.image]} for one in asked]
    counted = f"{len(asked)} questions on as many images, in {len(asked) // MMVP.size} pairs"
    return Local(found, {"documents": counted, f"{FILE} sha256": checksum(path)})


every = Documents(SOURCE, _read)
