"""MMVP in the table of benchmarks."""

from __future__ import annotations

from collections.abc import Mapping

from hallu_tasks.benchmark import Benchmark
from hallu_tasks.data.documents import Documents
from hallu_tasks.estimates.scorer import Scorer
from hallu_tasks.mmvp import data
from hallu_tasks.mmvp.benchmark import MMVP
from hallu_tasks.mmvp.score import SCORER

__all__ = ["DOCUMENTS", "KINDS", "SCORERS"]

KINDS: tuple[Benchmark, ...] = (MMVP,)

DOCUMENTS: Mapping[str, Documents] = {"hallu_mmvp": data.every}

SCORERS: tuple[Scorer, ...] = (SCORER,)
