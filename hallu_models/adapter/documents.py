"""The documents of a run: their conversations, and the other images that methods contrast with."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator
from typing import Any

import torch

from hallu_models import pictures
from hallu_models.conversations import Conversation, images_of
from hallu_models.hosts.host import Host
from hallu_models.notes import notes
from hallu_models.processing import image_features
from registry.runner import model_class
from registry.runner import requests as runner_requests
from registry.runner.requests import Instance

OTHER_DOCUMENTS = 100
"""How many documents are tried to find another image, or are candidates for the least similar one."""


class DocumentError(RuntimeError):
    """A document that could not be answered, by its method, task, split and number, and why."""


class Documents:
    """What is asked about each document of a model's tasks, with its images decoded.

    method: for messages. tasks: lmms-eval's tasks by name and split. prepare: the last word on a conversation.
    """

    def __init__(self, method: str, tasks: Callable[[], Any], prepare: Callable[[Any], Any]) -> None:
        self._method, self._tasks, self._prepare = method, tasks, prepare

    def conversation(self, request: Instance) -> list[dict[str, Any]]:
        """The request's messages with loaded images."""
        _, doc_to_messages, _, doc_id, task, split = runner_requests.read(request)
        documents = self.of(task, split)
        try:
            # Data sets decode an image when its document is read.
            with pictures.truncation_off():
                messages = doc_to_messages(documents[doc_id])
                messages = self._prepare(messages)
                images = iter([pictures.decoded(one, "a picture") for one in images_of(messages)])
            return [{**message, "content": _with_images(message["content"], images)} for message in messages]
        except Exception as error:
            raise DocumentError(f"{self.place(request)}: {said(error)}") from error

    def place(self, request: Instance) -> str:
        _, _, _, doc_id, task, split = runner_requests.read(request)
        return f"method {self._method}, task {task}, split {split}, document {doc_id}"

    def of(self, task: str, split: str) -> Any:
        return model_class.documents(self._tasks(), task, split)


class OtherImages:
    """For each image of a request, one of another document of its task: the same choice in every run and batch.

    pick: "random", or "least_similar" by the model's own mean image feature.
    """

    def __init__(self, host: Host, documents: Documents, method: str, seed: int, pick: str) -> None:
        self._host, self._documents, self._method = host, documents, method
        self._seed, self._pick = seed, pick
        self._features: dict[bytes, torch.Tensor] = {}

    def require(self, requests: list[Instance]) -> None:
        for task, split in {runner_requests.read(request)[-2:] for request in requests}:
            if len(self._documents.of(task, split)) < 2:
                raise ValueError(
                    f"task {task}: {self._method} contrasts with another image of the same task, "
                    f"and split {split} has only one document"
                )

    def of(self, request: Instance, messages: Conversation) -> list[Any]:
        """For each image of the request, one of another document: the same choice in every run and batch."""
        _, doc_to_messages, _, doc_id, task, split = runner_requests.read(request)
        own = images_of(messages)
        documents = self._documents.of(task, split)
        rng = random.Random(f"{self._seed} {task} {split} {doc_id}")
        wanted = len(own) if self._pick == "random" else OTHER_DOCUMENTS
        found: list[Any] = []
        for _ in range(OTHER_DOCUMENTS):
            if len(found) >= wanted or not own:
                break
            number = rng.randrange(len(documents))
            try:
                with pictures.truncation_off():
                    other = images_of(doc_to_messages(documents[number]))
            except Exception as error:
                raise DocumentError(
                    f"{self._documents.place(request)}: the other image, of document {number}: {said(error)}"
                ) from error
            found += [image for image in other if all(image.tobytes() != mine.tobytes() for mine in own)]
        if len(found) < len(own):
            raise DocumentError(
                f"{self._documents.place(request)}: no other image in {OTHER_DOCUMENTS} random documents of the task"
            )
        return found[: len(own)] if self._pick == "random" else [self._least_similar(image, found) for image in own]

    def _least_similar(self, image: Any, others: list[Any]) -> Any:
        """Of the others, the one whose mean image feature has the smallest cosine with the image's."""
        mine = self._feature(image)
        return min(others, key=lambda other: float(mine @ self._feature(other)))

    def _feature(self, image: Any) -> torch.Tensor:
        """The model's mean image feature (D,) on the unit sphere, in float32."""
        key = hashlib.sha256(image.tobytes()).digest()
        if key not in self._features:
            with torch.inference_mode():
                mean = image_features(self._host, [image]).float().mean(dim=0)
            self._features[key] = (mean / mean.norm()).cpu()
        return self._features[key]


def _with_images(content: Any, images: Iterator[Any]) -> Any:
    if isinstance(content, str):
        return content
    return [{"type": "image", "image": next(images)} if part["type"] == "image" else part for part in content]


def said(error: Exception) -> str:
    """The error, and where it arose."""
    return f"{type(error).__name__}: {error}" + "".join(f" ({note})" for note in notes(error))
