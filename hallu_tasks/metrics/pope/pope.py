"""POPE for ``evaluate``: yes/no answers about the presence of objects."""

from __future__ import annotations

from typing import Any

import datasets
import evaluate

from hallu_tasks.scoring import pope

DESCRIPTION = """\
POPE: yes/no questions about the presence of objects, with yes as the positive class. Scores are percentages.
"""
INPUTS = """
Args:
    predictions (list of str): the model's answers as it wrote them.
    references (list of str): the labels, "yes" or "no".
    policy (str): "official" (default), "opera", "prefix", "words", "strict" or "contains"; how an answer is read.
Returns:
    accuracy, precision, recall, f1, yes_ratio (percent; None where undefined, with its cause under reasons),
    questions_count, unparsed_count, by_default_count, the confusion counts, policy, reasons.
"""
CITATION = """\
Li, Du, Zhou, Wang, Zhao, Wen: Evaluating Object Hallucination in Large Vision-Language Models. EMNLP 2023.
"""


class Pope(evaluate.Metric):
    """`hallu_tasks.scoring.pope.score` of lists in the same order."""

    def _info(self) -> evaluate.MetricInfo:
        if self.config_name != "default":
            raise ValueError(f"unknown configuration {self.config_name!r}; this module has none: leave it out")
        return evaluate.MetricInfo(
            description=DESCRIPTION,
            citation=CITATION,
            inputs_description=INPUTS,
            features=datasets.Features(
                {"predictions": datasets.Value("string"), "references": datasets.Value("string")}
            ),
            reference_urls=["https://arxiv.org/abs/2305.10355"],
        )

    def _compute(self, predictions: list[str], references: list[str], policy: str = "official") -> dict[str, Any]:
        return pope.score(predictions, references, policy)
