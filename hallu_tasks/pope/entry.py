"""POPE in the table of benchmarks."""

from __future__ import annotations

from collections.abc import Mapping

from hallu_tasks.benchmark import Benchmark
from hallu_tasks.data.documents import Documents
from hallu_tasks.estimates.scorer import Scorer
from hallu_tasks.pope import data, opope, repope_data, repope_score, score
from hallu_tasks.pope.benchmark import POPE, REPOPE

__all__ = ["DOCUMENTS", "KINDS", "SCORERS"]

KINDS: tuple[Benchmark, ...] = (POPE, REPOPE)

_GROUPS = {"coco": "hallu_pope", "aokvqa": "hallu_pope_aokvqa", "gqa": "hallu_pope_gqa"}

DOCUMENTS: Mapping[str, Documents] = {
    **{f"{_GROUPS[source]}_{strategy}": documents for (source, strategy), documents in data.documents.items()},
    **{f"hallu_repope_{strategy}": documents for strategy, documents in repope_data.documents.items()},
}

SCORERS: tuple[Scorer, ...] = (score.SCORER, repope_score.SCORER, opope.SCORER)
