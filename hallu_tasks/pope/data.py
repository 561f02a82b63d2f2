"""POPE's data: three strategies on images of COCO, A-OKVQA and GQA.

A question file may lie anywhere below ``pope``: directly, or where the official repository has it. Questions with the
typo "imange" are asked as they were meant. Files of the older release (2,910 random questions) are refused: their
scores do not compare with those on 3,000.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hallu_tasks.data.documents import Documents, Hub, Local, Source
from hallu_tasks.data.folder import Folder, checksum
from hallu_tasks.pope import answers
from hallu_tasks.pope.answers import PopeQuestion

__all__ = ["COUNT", "FILES", "STRATEGIES", "documents", "shown"]

STRATEGIES = ("random", "popular", "adversarial")
COUNT = 3_000
"""Questions of a strategy."""

FILES = {
    "coco": "coco_pope_{}.json",
    "aokvqa": "aokvqa_pope_seem_{}.json",
    "gqa": "gqa_pope_seem_{}.json",
}
_IMAGES = {"coco": ("coco", "val2014"), "aokvqa": ("coco", "val2014"), "gqa": ("gqa", "images")}
_TITLES = {"coco": "COCO", "aokvqa": "A-OKVQA", "gqa": "GQA"}
_OBTAIN = {
    "coco": ("http://images.cocodataset.org/zips/val2014.zip (into coco)",),
    "aokvqa": ("http://images.cocodataset.org/zips/val2014.zip (into coco)",),
    "gqa": ("https://downloads.cs.stanford.edu/nlp/data/gqa/images.zip (into gqa)",),
}
_PLACES = {
    "coco": "../coco/val2014/COCO_val2014_000000000042.jpg ...",
    "aokvqa": "../coco/val2014/COCO_val2014_000000000042.jpg ...",
    "gqa": "../gqa/images/2354786.jpg ...",
}


def _source(name: str) -> Source:
    return Source(
        folder="pope",
        title=f"POPE on {_TITLES[name]} images",
        layout=(*(FILES[name].format(strategy) for strategy in STRATEGIES), _PLACES[name]),
        obtain=("https://github.com/RUCAIBox/POPE (its folder output)", *_OBTAIN[name]),
        licence="questions MIT; the images have their own terms (Flickr authors)",
    )


def _read(name: str, strategy: str, folder: Folder) -> Local:
    path = folder.anywhere(FILES[name].format(strategy))
    _require_own(path, name, strategy)
    questions = answers.questions(str(path), strategy)
    if len(questions) != COUNT:
        older = "; this is the older release" if len(questions) == 2_910 else ""
        raise ValueError(
            f"{path} holds {len(questions):,} questions instead of {COUNT:,}{older}; take the file of today's official "
            "repository"
        )
    return shown(name, strategy, questions, folder, {f"{path.name} sha256": checksum(path)})


def shown(
    name: str, strategy: str, questions: Mapping[int, PopeQuestion], folder: Folder, facts: Mapping[str, str]
) -> Local:
    """Questions by number with their images, and the facts about them behind their counts."""
    owner, place = _IMAGES[name]
    other = folder.beside(owner)
    images = other.images(other.folder(place), [question.file for question in questions.values()])
    rows = [
        {
            "question_id": number,
            "question": question.key[2],
            "answer": question.label,
            "category": strategy,
            "image_id": str(question.image),
            "image_file": f"../{owner}/{place}/{question.file}",
            "image": images[question.file],
        }
        for number, question in questions.items()
    ]
    yes = sum(question.label == "yes" for question in questions.values())
    counted = f"{len(rows):,} questions, {yes:,} of them yes, on {len(images)} images"
    return Local(rows, {"documents": counted, **facts})


def _require_own(path: Path, name: str, strategy: str) -> None:
    """Raise `ValueError` when the file beside it for another strategy has the same content."""
    others = (path.with_name(FILES[name].format(other)) for other in STRATEGIES if other != strategy)
    for other in others:
        if other.is_file() and checksum(other) == checksum(path):
            raise ValueError(f"{path} and {other.name} are the same file; fetch them again, one a strategy")


def _converted(strategy: str, dataset: Any) -> Any:
    """The Hub's rows of one strategy with the columns of `_read`."""
    chosen = dataset.filter(lambda category: category == strategy, input_columns=["category"])
    spelled = [text.replace("imange", "image") for text in chosen["question"]]
    numbers = [str(answers.image(name)) for name in chosen["image_source"]]
    kept = chosen.select_columns(["question_id", "answer", "category", "image"])
    return kept.add_column("question", spelled).add_column("image_id", numbers)


def _documents(name: str, strategy: str) -> Documents:
    convert = functools.partial(_converted, strategy)
    hub = Hub("lmms-lab-encoder/POPE", "test", COUNT, convert) if name == "coco" else None
    return Documents(_source(name), functools.partial(_read, name, strategy), hub)


documents = {(name, strategy): _documents(name, strategy) for name in FILES for strategy in STRATEGIES}
"""The documents of each image source and strategy."""

coco_random, coco_popular, coco_adversarial = (documents["coco", strategy] for strategy in STRATEGIES)
aokvqa_random, aokvqa_popular, aokvqa_adversarial = (documents["aokvqa", strategy] for strategy in STRATEGIES)
gqa_random, gqa_popular, gqa_adversarial = (documents["gqa", strategy] for strategy in STRATEGIES)
