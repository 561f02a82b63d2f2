"""Pictures and questions that every method is tried on, and the tiny models that answer them."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

import registry
from hallu_models.conversations import Conversation, conversation
from hallu_models.loading import Host, inspect
from hallu_models.testing import families


def picture(width: int, height: int, seed: int) -> Image.Image:
    """Noise has no symmetry that could hide a mistake."""
    return Image.fromarray(np.random.RandomState(seed).randint(0, 255, (height, width, 3), dtype=np.uint8))


ROWS: list[tuple[Any, str]] = [
    (picture(16, 16, 1), "what is in the picture ?"),
    (picture(40, 16, 2), "describe the image ."),
    (None, "is there a red bus and a blue car near the tree ?"),
    (picture(16, 32, 3), "is there a dog on the street ? yes no"),
    (picture(16, 16, 11), "a cat and a dog in the park ? yes no"),
    (picture(16, 40, 12), "what is the content of the picture ?"),
    (None, "two people ?"),
    (picture(32, 16, 13), "many people near the red bus : yes no"),
]
"""Prompts of different lengths, pictures of different sizes and tile counts, and prompts without a picture."""

OTHERS: list[Any] = [
    picture(24, 24, 4),
    picture(16, 16, 5),
    None,
    picture(40, 16, 6),
    picture(16, 24, 14),
    picture(16, 16, 15),
    None,
    picture(24, 40, 16),
]
"""For methods that contrast with another image, one for each picture."""


@functools.cache
def host(family: str) -> Host:
    """The tiny model of a family, one a process."""
    return inspect(*families.built(family))


def rows(family: str, number: int = len(ROWS)) -> list[int]:
    """Numbers of the first rows that a family can take in one batch."""
    takes_text = registry.families()[family].images not in ("one", "all or none")
    return [row for row, (image, _) in enumerate(ROWS[:number]) if image is not None or takes_text]


def conversations(numbers: Sequence[int]) -> list[Conversation]:
    """The rows with these numbers as chat messages."""
    return [conversation(*ROWS[number]) for number in numbers]


def other_images(numbers: Sequence[int]) -> list[Any]:
    """The other images of the rows with these numbers."""
    return [OTHERS[number] for number in numbers if OTHERS[number] is not None]
