"""Small pictures of the images in question, for a page that has everything in one file."""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Hashable
from pathlib import Path
from typing import Any

from PIL import Image, UnidentifiedImageError

from hallu_tasks.answers import image_number

__all__ = ["LONGEST", "Thumbnails"]

LONGEST = 160
"""Pixels of the longer side."""

_ENDINGS = (".jpg", ".jpeg", ".png", ".webp")


class Thumbnails:
    """Finds images by the ids in the records: those of the demo tasks, and those in a folder at any depth.

    A file in the folder is found by its path below it, its name, or its number (``COCO_val2014_000000310196.jpg`` is
    310196). A name or number that several files have finds none of them.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._files = {} if folder is None else _indexed(folder)
        self._made: dict[Hashable, str | None] = {}

    def get(self, task: str, image: Any) -> str | None:
        """The picture as a ``data:`` address, ``None`` when there is none or it cannot be read."""
        key = (task.startswith("hallu_demo"), image)
        if key not in self._made:
            self._made[key] = _encoded(self._source(*key))
        return self._made[key]

    def _source(self, demo: bool, image: Any) -> Path | io.BytesIO | None:
        if demo:
            from hallu_tasks.demo.task import scenes

            scene = scenes().get(image)
            return None if scene is None else io.BytesIO(scene["image"]["bytes"])
        return self._files.get(str(image)) or self._files.get(image_number(image))


def _indexed(folder: Path) -> dict[str | int | None, Path | None]:
    found: dict[str | int | None, Path | None] = {}
    for place, _, names in os.walk(folder):
        for name in names:
            if name.lower().endswith(_ENDINGS):
                file = Path(place, name)
                for key in {file.relative_to(folder).as_posix(), name, file.stem, image_number(name)}:
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
