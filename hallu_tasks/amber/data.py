"""AMBER's data: the official repository's ``data`` folder, and its images."""

from __future__ import annotations

import functools
from collections import Counter
from typing import Any

from hallu_tasks.data.documents import Documents, Local, Source
from hallu_tasks.data.folder import Folder, checksum
from hallu_tasks.files import json_files
from hallu_tasks.scoring import amber

__all__ = ["COUNTS", "discriminative", "documents", "generative", "vocabulary"]

COUNTS = {
    "generative": 1_004,
    "discriminative-hallucination": 4_924,
    "discriminative-attribute-state": 4_764,
    "discriminative-attribute-number": 2_072,
    "discriminative-attribute-action": 792,
    "discriminative-relation": 975,
    "relation": 689,
}
"""Records of each type in ``annotations.json``."""

_IMAGES = ("image", "images", "data/image", "data/images")

SOURCE = Source(
    folder="amber",
    title="AMBER",
    layout=(
        "data/annotations.json",
        "data/relation.json",
        "data/safe_words.txt",
        "data/query/query_all.json",
        "image/AMBER_1.jpg ...",
    ),
    obtain=("https://github.com/junyangwang0410/AMBER (the images are linked there)",),
    licence="Apache-2.0; the images have their own terms",
)


def _read(kind: str, folder: Folder) -> Local:
    path = folder.file("data/annotations.json")
    annotations, asked = _annotations(str(path), checksum(path)), folder.file("data/query/query_all.json")
    queries = _queries(str(asked), checksum(asked))
    wanted = annotations.scenes if kind == "generative" else annotations.questions
    if absent := [number for number in wanted if number not in queries]:
        raise ValueError(
            f"{asked} has no query for id {absent[0]} and {len(absent) - 1} more; give files of one release"
        )
    files = {number: queries[number]["image"] for number in wanted}
    images = folder.images(folder.folder(*_IMAGES), files.values())
    rows: list[dict[str, Any]] = []
    for number in wanted:
        row = {
            "id": number,
            "query": queries[number]["query"],
            "image_id": files[number],
            "image": images[files[number]],
        }
        if kind == "generative":
            scene = annotations.scenes[number]
            rows.append({**row, "truth": list(scene.truth), "hallu": list(scene.hallu)})
        else:
            question = annotations.questions[number]
            rows.append({**row, "type": question.type, "truth": question.truth})
    if kind == "generative":
        _load_vocabulary(folder)
    facts = {
        "documents": f"{len(rows):,} images"
        if kind == "generative"
        else f"{len(rows):,} questions on {len(images):,} images",
        "annotations sha256": checksum(path),
        "queries sha256": checksum(asked),
    }
    return Local(rows, facts)


@functools.lru_cache(maxsize=2)
def _annotations(path: str, _checksum: str) -> amber.Annotations:
    found = amber.read_annotations(path)
    types = Counter(question.type for question in found.questions.values())
    counts = {"generative": len(found.scenes), **{name: types[name] for name in amber.TYPES}}
    if wrong := [
        f"{counts[name]:,} {name} instead of {count:,}" for name, count in COUNTS.items() if counts[name] != count
    ]:
        raise ValueError(f"{path} holds {', '.join(wrong)}; take the file of the official repository")
    return found


@functools.lru_cache(maxsize=2)
def _queries(path: str, _checksum: str) -> dict[int, dict[str, str]]:
    images = amber.read_images(path)
    entries = json_files.load(path)
    if bare := [entry["id"] for entry in entries if not isinstance(entry.get("query"), str)]:
        raise ValueError(f"{path}: id {bare[0]} has no query; take the file of the official repository")
    return {entry["id"]: {"image": images[entry["id"]], "query": entry["query"]} for entry in entries}


_vocabularies: list[amber.Vocabulary] = []


def _load_vocabulary(folder: Folder) -> None:
    _vocabularies[:] = [amber.read_vocabulary(folder.file("data/relation.json"), folder.file("data/safe_words.txt"))]


def vocabulary() -> amber.Vocabulary:
    """The vocabulary of the images that were read; scoring happens in threads, where nothing is loaded."""
    if not _vocabularies:
        raise ValueError("AMBER's vocabulary is read with its images: load the task's documents first")
    return _vocabularies[0]


generative = Documents(SOURCE, functools.partial(_read, "generative"))
discriminative = Documents(SOURCE, functools.partial(_read, "discriminative"))

documents = {"generative": generative, "discriminative": discriminative}
"""The documents of the two halves."""
