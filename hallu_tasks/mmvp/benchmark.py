"""MMVP's records and metrics: pairs of which both questions are right."""

from __future__ import annotations

from hallu_tasks.choices.benchmark import benchmark
from hallu_tasks.scoring import choices

__all__ = ["MMVP"]

MMVP = benchmark("mmvp", "MMVP", choices.MMVP, "pair accuracy", "pair", choices.MMVP.key)
