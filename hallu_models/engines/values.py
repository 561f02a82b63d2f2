"""The values that a layer's positions attend to, in this forward alone: the cache keeps the model's own.

A second method edits what the first has made of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hallu_models.engines.point import Attending, AttentionPoint
from hallu_models.engines.step import restored


def edit(here: Attending, methods: Sequence[Any]) -> None:
    """Edit the values (B, Hkv, Lk, d)."""
    plain = values = here.call.value
    for item in methods:
        values = item.values(values, here.at(item))
    here.with_values(restored(values, plain, here.layout))


VALUES = AttentionPoint("values", ("values",), edit)
