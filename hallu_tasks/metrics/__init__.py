"""The scorers as modules for the library ``evaluate``, loaded offline by their folder.

``evaluate.load(hallu_tasks.metrics.path("chair"))``
"""

from __future__ import annotations

import os

__all__ = ["NAMES", "path"]

NAMES = ("chair", "pope", "mme", "amber")
"""The modules there are."""


def path(name: str) -> str:
    """Return the absolute folder of a module, for ``evaluate.load``; `ValueError` for an unknown name."""
    if name not in NAMES:
        raise ValueError(f"unknown metric {name!r}; allowed: {', '.join(NAMES)}")
    return os.path.join(os.path.dirname(os.path.abspath(__file__)), name)
