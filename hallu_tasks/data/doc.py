"""What every task's YAML calls of a document: its image and its question."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["question", "visual"]

Doc = Mapping[str, Any]


def visual(doc: Doc) -> list[Any]:
    """The document's image in RGB."""
    return [doc["image"].convert("RGB")]


def question(doc: Doc, lmms_eval_specific_kwargs: Mapping[str, str] | None = None) -> str:
    """The question between the task's ``pre_prompt`` and ``post_prompt``."""
    given = lmms_eval_specific_kwargs or {}
    return f"{given.get('pre_prompt', '')}{doc['question']}{given.get('post_prompt', '')}"
