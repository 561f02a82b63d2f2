"""MME in the table of benchmarks."""

from __future__ import annotations

from collections.abc import Mapping

from hallu_tasks.benchmark import Benchmark
from hallu_tasks.data.documents import Documents
from hallu_tasks.estimates.scorer import Scorer
from hallu_tasks.mme import data
from hallu_tasks.mme.benchmark import MME
from hallu_tasks.mme.score import SCORER

__all__ = ["DOCUMENTS", "KINDS", "SCORERS"]

KINDS: tuple[Benchmark, ...] = (MME,)

DOCUMENTS: Mapping[str, Documents] = {"hallu_mme": data.every, "hallu_mme_hallucination": data.hallucination}

SCORERS: tuple[Scorer, ...] = (SCORER,)
