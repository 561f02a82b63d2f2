"""What a generation is given beside the prompt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor


@dataclass
class Beside:
    """What methods need besides the prompt. Change it before each generation.

    other_images: see :func:`hallu_models.attach`. rewritten: model inputs of the conversations as methods rewrote them,
    by method. prepared_images: model inputs with the other images in place, made from ``other_images`` where
    conversations are given, or from the prompts' own; then made (B, I) says how, by name of an observation, -1 where a
    prompt has fewer images. images: the index of the image that methods act on, None for all; then chosen_columns
    (B, L) are the columns of these images. asked (B, L) are the ids of conversations that methods have worded.
    """

    other_images: Any = None
    rewritten: Mapping[str, Mapping[str, Tensor]] | None = None
    prepared_images: Mapping[str, Any] | None = None
    made: Mapping[str, Tensor] | None = None
    images: int | None = None
    chosen_columns: Tensor | None = None
    asked: Tensor | None = None
