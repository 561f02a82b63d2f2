"""DASH-B's data: images that show an object or not, listed in two files, and the question about each.

The files may lie anywhere below ``dash_b``; the images lie in ``neg`` and ``pos``, in the folders that the files name.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from hallu_tasks.data.documents import Documents, Local, Source
from hallu_tasks.data.folder import Folder, checksum
from hallu_tasks.files import json_files

__all__ = ["COUNT", "FILES", "Asked", "complete", "every", "listed"]

FILES = {"no": "dash_benchmark_neg.json", "yes": "dash_benchmark_pos.json"}
"""By the right answer."""

COUNT = 1_341
"""Images of each file."""

_FOLDERS = {"no": "neg", "yes": "pos"}
_FIX = 'take the official file: {"coco": {"backpack": ["2327067188.png", ...], ...}, ...}'

SOURCE = Source(
    folder="dash_b",
    title="DASH-B",
    layout=(*FILES.values(), "neg/coco/backpack/2327067188.png ...", "pos/coco/backpack/88.jpg ..."),
    obtain=("https://github.com/YanNeu/DASH-B (its folder images; neg.zip and pos.zip are linked in its README)",),
    licence="none stated; the images were found on the web and have their own terms",
)


class Asked(NamedTuple):
    """One image: the right answer, the object, and the image's path below ``neg`` or ``pos``."""

    label: str
    thing: str
    path: str

    @property
    def name(self) -> str:
        """The image's file name, by which answer files call it."""
        return self.path.rpartition("/")[2]

    @property
    def question(self) -> str:
        """The benchmark's question."""
        return f"Can you see a {self.thing} in this image? Please answer only with yes or no."


def listed(path: str, label: str) -> list[Asked]:
    """Return the images of a file in its order; `ValueError` for one that is not laid out as the official ones."""
    content = json_files.load(path)
    found = [Asked(label, thing, f"{source}/{thing}/{name}") for source, thing, name in _entries(path, content)]
    keys = {(one.thing, one.name) for one in found}
    if len(keys) < len(found):
        raise ValueError(f"{path} lists an image of an object twice; {_FIX}")
    return found


def complete(path: str, images: list[Asked]) -> None:
    """Raise `ValueError` for another number of images than the benchmark's."""
    if len(images) != COUNT:
        raise ValueError(f"{path} lists {len(images):,} images instead of {COUNT:,}; take the official file")


def _entries(path: str, content: Any) -> Iterator[tuple[str, str, str]]:
    for source, things in _object(path, content).items():
        for thing, names in _object(path, things).items():
            if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
                raise ValueError(f"{path}: {source}, {thing} is not a list of file names; {_FIX}")
            yield from ((source, thing, name) for name in names)


def _object(path: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{path} holds a {type(value).__name__} in the place of an object; {_FIX}")
    return value


def _read(folder: Folder) -> Local:
    sides: list[list[dict[str, Any]]] = []
    facts = {}
    for label, file in FILES.items():
        path = folder.anywhere(file)
        images = listed(str(path), label)
        complete(str(path), images)
        place = folder.folder(_FOLDERS[label], f"images/{_FOLDERS[label]}")
        found = folder.images(place, (one.path for one in images))
        sides.append([_row(one, found[one.path]) for one in images])
        facts[f"{file} sha256"] = checksum(path)
    # In turn, so that the first documents of a limited run are of both sides.
    rows = [row for pair in zip(*sides, strict=True) for row in pair]
    things = len({row["object"] for row in rows})
    return Local(rows, {"documents": f"{len(rows):,} images, half of them with the object; {things} objects", **facts})


def _row(one: Asked, image: Path) -> dict[str, Any]:
    return {
        "question": one.question,
        "answer": one.label,
        "object": one.thing,
        "image_id": f"{_FOLDERS[one.label]}/{one.path}",
        "image": image,
    }


every = Documents(SOURCE, _read)
