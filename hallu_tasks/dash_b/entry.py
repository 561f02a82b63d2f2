"""DASH-B in the table of benchmarks."""

from __future__ import annotations

from collections.abc import Mapping

from hallu_tasks.benchmark import Benchmark
from hallu_tasks.dash_b import data
from hallu_tasks.dash_b.benchmark import DASH_B
from hallu_tasks.dash_b.score import SCORER
from hallu_tasks.data.documents import Documents
from hallu_tasks.estimates.scorer import Scorer

__all__ = ["DOCUMENTS", "KINDS", "SCORERS"]

KINDS: tuple[Benchmark, ...] = (DASH_B,)

DOCUMENTS: Mapping[str, Documents] = {"hallu_dash_b": data.every}

SCORERS: tuple[Scorer, ...] = (SCORER,)
