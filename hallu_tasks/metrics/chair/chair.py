"""CHAIR for ``evaluate``: captions against the objects of their images."""

from __future__ import annotations

from typing import Any

import datasets
import evaluate

from hallu_tasks.scoring import chair
from hallu_tasks.scoring.keyed import name_some

DESCRIPTION = """\
CHAIR: which COCO objects captions name, and how many of them are not in the image. Scores are percentages.
"""
INPUTS = """
Args:
    predictions (list of str): the captions.
    references (list of list of str): the COCO categories in each caption's image, by their 80 names.
    mode (str): "reference" (default), "fixed" or "nltk"; how plurals are read.
    allow_empty_truth (bool): False (default) refuses references without any object; True counts every mention in
        their captions as hallucinated.
Returns:
    chair_s, chair_i, recall, precision, f1 (percent; None where undefined, with its cause under reasons),
    mean_length (tokens), mean_mentions, counts that end in _count, mode, reasons.
"""
CITATION = """\
Rohrbach, Hendricks, Burns, Darrell, Saenko: Object Hallucination in Image Captioning. EMNLP 2018.
"""


class Chair(evaluate.Metric):
    """`hallu_tasks.scoring.chair.score` of lists in the same order."""

    def _info(self) -> evaluate.MetricInfo:
        if self.config_name != "default":
            raise ValueError(f"unknown configuration {self.config_name!r}; this module has none: leave it out")
        return evaluate.MetricInfo(
            description=DESCRIPTION,
            citation=CITATION,
            inputs_description=INPUTS,
            features=datasets.Features(
                {"predictions": datasets.Value("string"), "references": [datasets.Value("string")]}
            ),
            reference_urls=["https://aclanthology.org/D18-1437"],
        )

    def _compute(
        self,
        predictions: list[str],
        references: list[list[str]],
        mode: str = "reference",
        allow_empty_truth: bool = False,
    ) -> dict[str, Any]:
        empty = [position for position, names in enumerate(references) if not names]
        if empty and not allow_empty_truth:
            raise ValueError(
                f"references without any object, at positions {name_some(empty)}; leave these captions out, or pass "
                "allow_empty_truth=True, which counts all their mentions as hallucinated, as the original does"
            )
        return chair.score(enumerate(predictions), dict(enumerate(references)), mode, allow_empty_truth)
