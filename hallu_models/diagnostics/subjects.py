"""What is looked at: an image with its prompt, and where it is known, what the image shows."""

from __future__ import annotations

import sys
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

import registry
from hallu_models.pictures import decoded, truncation_off
from registry.runner import tasks
from registry.task_search import task_folders

PROMPT = "Please describe this image in detail."
DEMO = "demo:"


@dataclass(frozen=True)
class Subject:
    """An image, the prompt about it, and the COCO categories in it (None: not known)."""

    image: Image.Image
    prompt: str
    objects: frozenset[str] | None = None
    name: str = ""

    def conversation(self) -> list[dict[str, Any]]:
        from hallu_models.conversations import conversation

        return conversation(self.image, self.prompt)


def from_image(source: str, prompt: str = PROMPT, objects: Collection[str] | None = None) -> Subject:
    """An image file, or a held-out scene of the demo tasks ("demo:0" to "demo:511"), whose objects are known.

    Raises ValueError for a file that is missing or no image, an unknown scene, and objects that are no COCO categories.
    """
    known = None if objects is None else frozenset(objects)
    if source.startswith(DEMO):
        image, there = _demo_scene(source)
        return Subject(image, prompt, there if known is None else known, source)
    if not Path(source).is_file():
        raise ValueError(f"--image {source}: no such file; give an image file, or demo:0 to demo:511 for a demo scene")
    try:
        image = Image.open(source)
        return Subject(decoded(image, f"--image {source}").convert("RGB"), prompt, known, Path(source).name)
    except OSError as error:
        raise ValueError(f"--image {source}: not a readable image ({error})") from error


def _demo_scene(source: str) -> tuple[Image.Image, frozenset[str]]:
    from hallu_tasks.demo import task

    scenes = task.scenes()
    number = source.removeprefix(DEMO)
    if not number.isdigit() or int(number) >= len(scenes):
        raise ValueError(f"--image {source}: the demo scenes are demo:0 to demo:{len(scenes) - 1}")
    scene = scenes[int(number)]
    return task.visual({"image_id": int(number)})[0], frozenset(scene["objects"])


def from_task(name: str, limit: int | None) -> list[Subject]:
    """The first documents of a captioning task of lmms-eval whose documents list their ``objects``.

    Raises ValueError for an unknown task, and for one without such documents, and RunnerMismatch where lmms-eval loads
    tasks otherwise than is known.
    """
    from loguru import logger

    # lmms-eval reports every file it indexes.
    logger.remove()
    logger.add(sys.stderr, level="WARNING")

    task = tasks.load(name, task_folders.folders(), builtin=name not in registry.tasks())
    if task is None:
        raise ValueError(f"--task {name}: no such task; hallu tasks lists those of this package")
    documents = task.eval_docs
    if "objects" not in documents.features:
        raise ValueError(
            f"--task {name}: its documents do not list the objects in the image; "
            "use a captioning task with that ground truth, such as hallu_demo_chair"
        )
    with truncation_off():
        return _subjects(task, name, documents.select(range(min(limit or len(documents), len(documents)))))


def _subjects(task: Any, name: str, documents: Any) -> list[Subject]:
    return [
        Subject(
            task.doc_to_visual(doc)[0].convert("RGB"),
            task.doc_to_text(doc),
            frozenset(doc["objects"]),
            f"{name} {index}",
        )
        for index, doc in enumerate(documents)
    ]
