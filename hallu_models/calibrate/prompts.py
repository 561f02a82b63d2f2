"""What a calibration looks at: scenes drawn for it, or images of the user's."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from PIL import Image

from hallu_models.diagnostics.subjects import PROMPT, Subject, from_image
from hallu_tasks.scoring import chair

Made = TypeVar("Made")
SCENES = 64
SEED = 30_000
"""Neither the demo model's training nor the demo tasks draw scenes from it."""


def drawn(number: int = SCENES) -> list[Subject]:
    """Fresh scenes of the demo's kind: other ones than the demo tasks ask about."""
    from hallu_models.demo.held_out import held_out

    return [
        Subject(Image.fromarray(scene.picture), PROMPT, frozenset(scene.counts), f"drawn {index}")
        for index, scene in enumerate(held_out(SEED, number))
    ]


def of_file(path: Path, limit: int | None = None) -> list[Subject]:
    """The images of a file of JSON lines, ``{"image": "cat.jpg", "prompt": "...", "objects": ["cat"]}``.

    Image paths are relative to the file. Without ``prompt`` the usual request for a description is made; ``objects``
    are the COCO categories in the image, where they are known. Other keys are passed over. Raises ValueError naming
    file and line.
    """
    return read_lines(path, limit, lambda entry: subject(path.parent, entry))


def read_lines(path: Path, limit: int | None, make: Callable[[Any], Made]) -> list[Made]:
    """What ``make`` makes of each line of JSON. Raises ValueError naming file and line."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"--captions {path}: cannot be read ({error})") from None
    found: list[Made] = []
    for number, line in enumerate(lines, start=1):
        if line.strip() and (limit is None or len(found) < limit):
            try:
                found.append(make(json.loads(line)))
            except ValueError as error:
                raise ValueError(f"--captions {path}, line {number}: {error}") from None
    return found


def subject(folder: Path, entry: Any) -> Subject:
    """An image of a file of JSON lines, whose paths are relative to ``folder``."""
    if not isinstance(entry, dict) or not isinstance(entry.get("image"), str):
        raise ValueError('expected {"image": "cat.jpg"} with the image\'s path, and optionally "prompt" and "objects"')
    objects = entry.get("objects")
    if objects is not None:
        if not isinstance(objects, list) or not all(isinstance(one, str) for one in objects):
            raise ValueError('"objects" must be a list of COCO categories, such as ["cat", "dining table"]')
        chair.record("", objects)  # refuses what is no COCO category
    return from_image(str(folder / entry["image"]), str(entry.get("prompt", PROMPT)), objects)
