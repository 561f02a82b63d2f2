"""Benchmarks and metrics of object hallucination for lmms-eval.

The scorers in `hallu_tasks.scoring` are pure functions; the task folders beside it are what
``lmms-eval --include_path "$(python -m hallu_tasks)"`` reads.
"""

from __future__ import annotations

import os

__all__ = ["path"]


def path() -> str:
    """Return the absolute folder of this package, the value for lmms-eval's ``--include_path``."""
    return os.path.dirname(os.path.abspath(__file__))
