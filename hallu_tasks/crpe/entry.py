"""CRPE in the table of benchmarks."""

from __future__ import annotations

from collections.abc import Mapping

from hallu_tasks.benchmark import Benchmark
from hallu_tasks.crpe import data
from hallu_tasks.crpe.benchmark import CRPE
from hallu_tasks.crpe.score import SCORER
from hallu_tasks.data.documents import Documents
from hallu_tasks.estimates.scorer import Scorer

__all__ = ["DOCUMENTS", "KINDS", "SCORERS"]

KINDS: tuple[Benchmark, ...] = (CRPE,)

DOCUMENTS: Mapping[str, Documents] = {"hallu_crpe_exist": data.exist}

SCORERS: tuple[Scorer, ...] = (SCORER,)
