"""The error of a host library that is not as this release knows it."""

from __future__ import annotations

from registry.installation import ranges


class HostMismatch(RuntimeError):
    """transformers, torch or the model do something that this release does not know; no answer is given.

    The message says what does not hold, what is installed, what it is known to hold with, and how to get that.
    """

    def __init__(self, what: str) -> None:
        super().__init__(f"{what}\n{ranges.advice(('transformers', 'torch', 'lmms-eval'))}")
        self.what = what
