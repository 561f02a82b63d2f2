"""RePOPE's data: POPE's questions on COCO images with labels made again, a file a strategy.

The files may lie anywhere below ``repope``. Where ``pope`` holds POPE's own, each question is checked against them.
"""

from __future__ import annotations

import functools
from collections.abc import Hashable, Mapping

from hallu_tasks.data.documents import Documents, Local, Source
from hallu_tasks.data.folder import Folder, benchmark, checksum, root
from hallu_tasks.pope import answers, relabelled
from hallu_tasks.pope.answers import PopeQuestion
from hallu_tasks.pope.data import FILES, STRATEGIES, shown

__all__ = ["SOURCE", "documents", "labels"]

SOURCE = Source(
    folder="repope",
    title="RePOPE",
    layout=(
        *(relabelled.FILE.format(strategy) for strategy in STRATEGIES),
        "../coco/val2014/COCO_val2014_000000000042.jpg ...",
    ),
    obtain=(
        "https://github.com/YanNeu/RePOPE (its folder annotations)",
        "http://images.cocodataset.org/zips/val2014.zip (into coco)",
    ),
    licence="none stated for the labels, so fetch them yourself; the images have their own terms (Flickr authors)",
)


def labels(strategy: str) -> dict[tuple[Hashable, str], str] | None:
    """RePOPE's labels by image and text as `answers.plain` has it, ``None`` where ``HALLU_DATA`` has no ``repope``.

    Raises `ValueError` for files that are not right.
    """
    data = root()
    place = benchmark(data, SOURCE.folder) if data else None
    if place is None:
        return None
    _, _, questions = _questions(strategy, Folder(place))
    return {(question.image, answers.plain(question.key[2])): question.label for question in questions.values()}


def _questions(strategy: str, folder: Folder) -> tuple[str, str, dict[int, PopeQuestion]]:
    """The path of a strategy's file, its digest, and its questions by id."""
    path = folder.anywhere(relabelled.FILE.format(strategy))
    for other in STRATEGIES:
        beside = path.with_name(relabelled.FILE.format(other))
        if other != strategy and beside.is_file() and checksum(beside) == checksum(path):
            raise ValueError(f"{path} and {beside.name} are the same file; fetch them again, one a strategy")
    questions = answers.questions(str(path), strategy)
    relabelled.complete(str(path), strategy, questions)
    return str(path), checksum(path), questions


def _read(strategy: str, folder: Folder) -> Local:
    path, digest, questions = _questions(strategy, folder)
    facts = {
        f"{relabelled.FILE.format(strategy)} sha256": digest,
        **_beside_pope(strategy, folder, path, questions),
    }
    return shown("coco", strategy, questions, folder, facts)


def _beside_pope(strategy: str, folder: Folder, path: str, questions: Mapping[int, PopeQuestion]) -> dict[str, str]:
    place = benchmark(folder.path.parent, "pope")
    found = sorted(place.rglob(FILES["coco"].format(strategy))) if place else []
    if not found:
        return {}
    result = relabelled.beside(answers.questions(str(found[0]), strategy), questions, str(found[0]), path)
    return {"beside POPE": f"{result.left_out} questions left out, {result.turned} with the other label"}


documents = {strategy: Documents(SOURCE, functools.partial(_read, strategy)) for strategy in STRATEGIES}
"""The documents of each strategy."""

random, popular, adversarial = documents.values()
