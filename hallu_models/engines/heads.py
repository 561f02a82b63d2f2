"""Head outputs before the output projection, on whatever backend made them; a second method edits the first's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hallu_models.engines.point import Attending, AttentionPoint


def edit(here: Attending, methods: Sequence[Any]) -> None:
    """Edit the head outputs (B, Lq, H, d)."""
    for item in methods:
        here.edit(item.head_outputs(here.outputs, here.at(item)))


HEAD_OUTPUTS = AttentionPoint("head outputs", ("head_outputs",), edit)
