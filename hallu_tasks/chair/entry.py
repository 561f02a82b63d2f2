"""CHAIR in the table of benchmarks."""

from __future__ import annotations

from collections.abc import Mapping

from hallu_tasks.benchmark import Benchmark
from hallu_tasks.chair import data
from hallu_tasks.chair.benchmark import CHAIR
from hallu_tasks.chair.score import SCORER
from hallu_tasks.data.documents import Documents
from hallu_tasks.estimates.scorer import Scorer

__all__ = ["DOCUMENTS", "KINDS", "SCORERS"]

KINDS: tuple[Benchmark, ...] = (CHAIR,)

DOCUMENTS: Mapping[str, Documents] = {
    **{f"hallu_chair_s{seed}": documents for seed, documents in data.documents.items()},
    "hallu_chair_64": data.seed_0,
}

SCORERS: tuple[Scorer, ...] = (SCORER,)
