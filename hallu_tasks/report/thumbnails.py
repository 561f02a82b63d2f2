"""Small pictures of the images in question, for a page that has everything in one file."""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Hashable
from pathlib import Path
from typing import Any

from PIL import Image, UnidentifiedImageError

from hallu_tasks.files.image_names import image_number

__all__ = ["LONGEST", "Thumbnails"]

LONGEST = 160
"""Pixels of the longer side."""

_ENDINGS = (".jpg", ".jpeg", ".png", ".webp")


class Thumbnails:
    """Finds images by the ids in the records: those of the demo tasks, and those in a folder at any depth.

    Without a folder, images are looked for where ``HALLU_DATA`` has those of the task. A file is found by its path
    below the folder, its name, or its number (``COCO_val2014_000000310196.jpg`` is 310196). A name or number that
    several files have finds none of them; where a benchmark's names begin anew in every subtask, as MME's do,
    `subtask` is a folder around the file.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._indices: dict[Path, _Index] = {}
        self._made: dict[Hashable, str | None] = {}

    def get(self, task: str, image: Any, subtask: str = "") -> str | None:
        """The picture as a ``data:`` address, ``None`` when there is none or it cannot be read."""
        demo = task.startswith("hallu_demo")
        folder = None if demo else self._folder or _own_folder(task, subtask)
        key = (demo, folder, subtask, image)
        if key not in self._made:
            self._made[key] = _encoded(_scene(image) if demo else self._file(folder, image, subtask))
        return self._made[key]

    def _file(self, folder: Path | None, image: Any, subtask: str) -> Path | None:
        if folder is None:
            return None
        if folder not in self._indices:
            self._indices[folder] = _indexed(folder)
        index = self._indices[folder]
        if subtask:
            return index.get((subtask, str(image)))
        return index.get(str(image)) or index.get(image_number(image))


_Index = dict[str | int | tuple[str, str] | None, Path | None]


def _scene(image: Any) -> io.BytesIO | None:
    from hallu_tasks.demo.task import scenes

    scene = scenes().get(image)
    return None if scene is None else io.BytesIO(scene["image"]["bytes"])


def _own_folder(task: str, subtask: str) -> Path | None:
    """Where ``HALLU_DATA`` has the images of a task, ``None`` where it has none or does not know the task."""
    from hallu_tasks.benchmarks.table import TASKS
    from hallu_tasks.data.folder import root

    try:
        data = root()
    except ValueError:
        return None
    if data is None or task not in TASKS:
        return None
    shown = next(path for path in TASKS[task].source.paths if path.split(" ")[0].endswith(_ENDINGS))
    # "coco/val2014/COCO_val2014_000000000042.jpg ..."; subtasks are folders of the first one.
    folder = data.joinpath(*shown.split("/")[: 1 if subtask else 2])
    return folder if folder.is_dir() else None


def _indexed(folder: Path) -> _Index:
    found: _Index = {}
    for place, _, names in os.walk(folder):
        around = Path(place).relative_to(folder).parts
        for name in names:
            if name.lower().endswith(_ENDINGS):
                file = Path(place, name)
                names_of_it = {"/".join((*around, name)), name, file.stem, image_number(name)}
                for key in (*names_of_it, *((above, name) for above in set(around))):
                    found[key] = None if key in found else file
    found[None] = None  # the number of a name without one
    return found


def _encoded(source: Path | io.BytesIO | None) -> str | None:
    if source is None:
        return None
    try:
        picture = Image.open(source).convert("RGB")
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError):
        return None
    picture.thumbnail((LONGEST, LONGEST))
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()
