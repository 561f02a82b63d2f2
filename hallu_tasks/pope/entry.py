"""POPE in the table of benchmarks."""

from __future__ import annotations

from collections.abc import Mapping

from hallu_tasks.benchmark import Benchmark
from hallu_tasks.data.documents import Documents
from hallu_tasks.estimates.scorer import Scorer
from hallu_tasks.pope import data, opope, score
from hallu_tasks.pope.benchmark import POPE

__all__ = ["DOCUMENTS", "KINDS", "SCORERS"]

KINDS: tuple[Benchmark, ...] = (POPE,)

_GROUPS = {"coco": "hallu_pope", "aokvqa": "hallu_pope_aokvqa", "gqa": "hallu_pope_gqa"}

DOCUMENTS: Mapping[str, Documents] = {
    f"{_GROUPS[source]}_{strategy}": documents for (source, strategy), documents in data.documents.items()
}

SCORERS: tuple[Scorer, ...] = (score.SCORER, opope.SCORER)
