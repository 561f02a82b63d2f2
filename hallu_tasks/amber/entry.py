"""AMBER in the table of benchmarks."""

from __future__ import annotations

from collections.abc import Mapping

from hallu_tasks.amber import data
from hallu_tasks.amber.benchmark import DISCRIMINATIVE, GENERATIVE
from hallu_tasks.amber.score import SCORER
from hallu_tasks.benchmark import Benchmark
from hallu_tasks.data.documents import Documents
from hallu_tasks.estimates.scorer import Scorer

__all__ = ["DOCUMENTS", "KINDS", "SCORERS"]

KINDS: tuple[Benchmark, ...] = (GENERATIVE, DISCRIMINATIVE)

DOCUMENTS: Mapping[str, Documents] = {
    "hallu_amber_generative": data.generative,
    "hallu_amber_discriminative": data.discriminative,
}

SCORERS: tuple[Scorer, ...] = (SCORER,)
