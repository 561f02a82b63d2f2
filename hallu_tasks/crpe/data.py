"""CRPE's existence subset: ``crpe_exist.jsonl``, where every question stands four times, its options moved on by one.

The file may lie anywhere below ``crpe``. Its images are COCO's, as ``coco/val2017/...``; they lie in the data folder's
``coco``, or below ``crpe``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from hallu_tasks.choices.question import Question
from hallu_tasks.data.documents import Documents, Local, Source
from hallu_tasks.data.folder import Folder, checksum
from hallu_tasks.files import rows
from hallu_tasks.scoring.choices import CRPE

__all__ = ["FILE", "META", "exist", "questions"]

FILE = "crpe_exist.jsonl"
META = "crpe_exist_meta.jsonl"
"""The questions once each; where it is there, their number has to fit."""

_LETTERS = "ABCD"
_RELATION = ("subject", "predicate", "object")
_FIX = "take the official file"
_OPTION = re.compile(rf"^([{_LETTERS}])\.[ \t]*(.*?)[ \t\r]*$", re.MULTILINE)

SOURCE = Source(
    folder="crpe",
    title="CRPE (existence)",
    layout=(FILE, "../coco/val2017/000000000139.jpg ..."),
    obtain=(
        "https://huggingface.co/datasets/OpenGVLab/CRPE",
        "http://images.cocodataset.org/zips/val2017.zip (into coco)",
    ),
    licence="annotations Apache-2.0; the images have their own terms (Flickr authors)",
)


def questions(path: str) -> list[Question]:
    """Return the questions of a file in its order, four a set; `ValueError` for one that is not laid out so."""
    entries = rows.read(path, _FIX, "fetch it again")
    found = [_question(entry, number // CRPE.size) for number, entry in enumerate(entries)]
    if len({one.number for one in found}) < len(found):
        raise ValueError(f"{path} has a question_id twice; {_FIX}")
    if len(found) % CRPE.size:
        raise ValueError(
            f"{path} holds {len(found):,} questions, not a multiple of {CRPE.size}; it was cut off, so {_FIX}"
        )
    for start in range(0, len(found), CRPE.size):
        circle = found[start : start + CRPE.size]
        if len({_asked(one) for one in circle}) > 1 or len({one.answer for one in circle}) < CRPE.size:
            raise ValueError(
                f"{entries[start].place}: this question and the next {CRPE.size - 1} are not one question with its "
                f"options in {CRPE.size} orders (one image, the same options, every letter right once); {_FIX}"
            )
    return found


def _asked(one: Question) -> tuple[str, tuple[str, ...], str]:
    """What all orders of the options have in common: the image, the options, and the right one of them."""
    return one.image, tuple(sorted(one.options)), one.options[_LETTERS.index(one.answer)]


def _question(entry: rows.Row, place: int) -> Question:
    if entry.get("category", _FIX) in _RELATION:
        raise ValueError(f"{entry.place} is about relations (category {entry.get('category', _FIX)}); take {FILE}")
    text, right = entry.words("text", _FIX), entry.words("correct_option", _FIX)
    options = dict(_OPTION.findall(text))
    if "".join(options) != _LETTERS:
        raise ValueError(f"{entry.place} has the options {', '.join(options) or 'none'} instead of A, B, C, D; {_FIX}")
    if right not in options:
        raise ValueError(f"{entry.place}: correct_option is {right!r}; allowed: A, B, C, D; {_FIX}")
    number = str(entry.get("question_id", _FIX))
    return Question(number, text, tuple(options.values()), right, entry.words("image", _FIX), place)


def _read(folder: Folder) -> Local:
    path = folder.anywhere(FILE)
    asked = questions(str(path))
    circles = len(asked) // CRPE.size
    _require_all(path.with_name(META), circles)
    images = dict(_images(folder, asked))
    counted = f"{len(asked):,} questions ({circles:,} in {CRPE.size} orders each) on {len(images):,} images"
    found = [{**one.row(CRPE.key), "image": images[one.image]} for one in asked]
    return Local(found, {"documents": counted, f"{FILE} sha256": checksum(path)})


def _require_all(meta: Path, circles: int) -> None:
    if meta.is_file() and (listed := len(rows.read(str(meta), _FIX, "fetch it again"))) != circles:
        raise ValueError(f"{meta} lists {listed:,} questions, {FILE} has {circles:,}; take both of one release")


def _images(folder: Folder, asked: list[Question]) -> Iterator[tuple[str, Path]]:
    """The path of every image, by the name that the file gives it."""
    by_parent: dict[PurePosixPath, list[str]] = {}
    for one in asked:
        by_parent.setdefault(PurePosixPath(one.image).parent, []).append(one.image)
    for parent, names in by_parent.items():
        owner, place = folder, str(parent)
        if parent.parts[:1] == ("coco",) and not (folder.path / parent).is_dir():
            owner, place = folder.beside("coco"), str(parent.relative_to("coco"))
        found = owner.images(owner.folder(place), (PurePosixPath(name).name for name in names))
        yield from ((name, found[PurePosixPath(name).name]) for name in names)


exist = Documents(SOURCE, _read)
