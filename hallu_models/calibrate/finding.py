"""What a calibration found: settings of a method, the figures behind them, and a table for the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Finding:
    """``parameters`` of the method, empty where nothing stands out; ``prompts`` counts what was measured.

    ``measured`` holds the figures that a preset file keeps; ``head`` and ``rows`` are the table.
    """

    parameters: Mapping[str, object]
    prompts: int
    measured: Mapping[str, float]
    head: tuple[str, ...]
    rows: Sequence[tuple[str, ...]] = field(default_factory=list)
