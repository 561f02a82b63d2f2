"""Which documents each task asks about."""

from __future__ import annotations

from collections.abc import Mapping

from hallu_tasks.amber import data as amber
from hallu_tasks.chair import data as coco
from hallu_tasks.data.documents import Documents
from hallu_tasks.hallusion import data as hallusion
from hallu_tasks.mme import data as mme
from hallu_tasks.pope import data as pope
from hallu_tasks.textvqa import data as textvqa

__all__ = ["TASKS"]

_SOURCES = {"coco": "hallu_pope", "aokvqa": "hallu_pope_aokvqa", "gqa": "hallu_pope_gqa"}

TASKS: Mapping[str, Documents] = {
    **{f"hallu_chair_s{seed}": documents for seed, documents in coco.documents.items()},
    "hallu_chair_64": coco.seed_0,
    **{f"{_SOURCES[source]}_{strategy}": documents for (source, strategy), documents in pope.documents.items()},
    "hallu_mme": mme.every,
    "hallu_mme_hallucination": mme.hallucination,
    "hallu_amber_generative": amber.generative,
    "hallu_amber_discriminative": amber.discriminative,
    "hallu_textvqa": textvqa.validation,
    "hallu_textvqa_ocr": textvqa.validation,
    "hallu_hallusion": hallusion.image,
}
"""Every task that needs data from outside this package, in the order of the benchmarks."""
