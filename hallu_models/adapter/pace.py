"""How long a run will take, told once when that can be known."""

from __future__ import annotations

import torch

WARM, MEASURED = 1, 3
"""The first batch also pays for the warm-up; these many after it are measured."""


class Pace:
    """Of ``total`` documents; :meth:`answered` after each batch gives one line after the first few, else None."""

    def __init__(self, total: int, began: float) -> None:
        self._total, self._done, self._batches = total, 0, 0
        self._from, self._at = 0, began

    def answered(self, documents: int, now: float) -> str | None:
        """documents: of this batch. now: seconds, of the clock that ``began`` was read from."""
        self._done += documents
        self._batches += 1
        if self._batches == WARM:
            self._from, self._at = self._done, now
        rest = self._total - self._done
        if self._batches != WARM + MEASURED or not rest:
            return None
        seconds = (now - self._at) / (self._done - self._from) * rest
        return f"about {duration(seconds)} for the other {rest} documents, if they are like the first {self._done}"


def duration(seconds: float) -> str:
    """Two figures at most: 40 s, 12 min, 3 h 20 min, 2 d 5 h."""
    minutes = round(seconds / 60)
    if seconds < 60:
        return f"{max(1, round(seconds))} s"
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 24 * 60:
        return f"{minutes // 60} h {minutes % 60} min"
    hours = round(minutes / 60)
    return f"{hours // 24} d {hours % 24} h"


def peak_memory(device: torch.device) -> str | None:
    """The most memory that tensors took so far on an accelerator; None where torch does not count it."""
    module = getattr(torch, device.type, None)
    count = getattr(module, "max_memory_allocated", None)
    return f"peak memory {count(device) / 2**30:.1f} GiB on {device}" if count is not None else None
