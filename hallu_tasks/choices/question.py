"""A multiple-choice question as a benchmark's file has it."""

from __future__ import annotations

from typing import Any, NamedTuple

__all__ = ["Question"]


class Question(NamedTuple):
    """`number` is the one by which answer files call it, `place` that of its set, `answer` the right letter."""

    number: str
    text: str
    options: tuple[str, ...]
    answer: str
    image: str
    place: int

    def row(self, key: str) -> dict[str, Any]:
        """The document of a task, but for the image itself; `key` is the field of the set's number."""
        return {
            "question_id": self.number,
            "question": self.text,
            "options": list(self.options),
            "answer": self.answer,
            "image_id": self.image,
            key: self.place,
        }
