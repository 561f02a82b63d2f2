"""HallusionBench in the table of benchmarks."""

from __future__ import annotations

from collections.abc import Mapping

from hallu_tasks.benchmark import Benchmark
from hallu_tasks.data.documents import Documents
from hallu_tasks.estimates.scorer import Scorer
from hallu_tasks.hallusion import data
from hallu_tasks.hallusion.benchmark import HALLUSION

__all__ = ["DOCUMENTS", "KINDS", "SCORERS"]

KINDS: tuple[Benchmark, ...] = (HALLUSION,)

DOCUMENTS: Mapping[str, Documents] = {"hallu_hallusion": data.image}

SCORERS: tuple[Scorer, ...] = ()
