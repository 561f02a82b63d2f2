"""What a calibration found: settings of a method, the figures behind them, and a table for the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Finding:
    """``parameters`` of the method, empty where nothing stands out; ``prompts`` counts what was measured.

    ``measured`` holds the figures that a preset file keeps; ``head`` and ``rows`` are the table. ``tensors`` are what a
    file of directions holds, by name, of methods that take one.
    """

    parameters: Mapping[str, object]
    prompts: int
    measured: Mapping[str, float]
    head: tuple[str, ...]
    rows: Sequence[tuple[str, ...]] = field(default_factory=list)
    tensors: Mapping[str, Any] = field(default_factory=dict)
