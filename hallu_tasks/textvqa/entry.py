"""TextVQA in the table of benchmarks."""

from __future__ import annotations

from collections.abc import Mapping

from hallu_tasks.benchmark import Benchmark
from hallu_tasks.data.documents import Documents
from hallu_tasks.estimates.scorer import Scorer
from hallu_tasks.textvqa import data
from hallu_tasks.textvqa.benchmark import TEXTVQA

__all__ = ["DOCUMENTS", "KINDS", "SCORERS"]

KINDS: tuple[Benchmark, ...] = (TEXTVQA,)

DOCUMENTS: Mapping[str, Documents] = {"hallu_textvqa": data.validation, "hallu_textvqa_ocr": data.validation}

SCORERS: tuple[Scorer, ...] = ()
