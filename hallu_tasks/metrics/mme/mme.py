"""MME for ``evaluate``: two yes/no questions an image."""

from __future__ import annotations

from typing import Any

import datasets
import evaluate

from hallu_tasks.scoring import mme

DESCRIPTION = """\
MME: two yes/no questions an image. A subtask gives at most 200 points: accuracy plus accuracy over images.
"""
INPUTS = """
Args:
    predictions (list of str): the model's answers as it wrote them.
    references (list of str): the labels, "yes" or "no".
    images (list of str): the image each question is about; an image has two questions in a subtask.
    categories (list of str): the subtask of each question, e.g. "existence".
Returns:
    subtasks (points, accuracy, accuracy_plus and counts of each), perception, cognition and hallucination (points;
    None unless all their subtasks are there, with the cause under reasons), subtasks_present, questions_count,
    images_count, unparsed_count, policy, reasons.
"""
CITATION = """\
Fu et al.: MME: A Comprehensive Evaluation Benchmark for Multimodal Large Language Models. arXiv 2306.13394, 2023.
"""


class Mme(evaluate.Metric):
    """`hallu_tasks.scoring.mme.score` of lists in the same order."""

    def _info(self) -> evaluate.MetricInfo:
        if self.config_name != "default":
            raise ValueError(f"unknown configuration {self.config_name!r}; this module has none: leave it out")
        names = ("predictions", "references", "images", "categories")
        return evaluate.MetricInfo(
            description=DESCRIPTION,
            citation=CITATION,
            inputs_description=INPUTS,
            features=datasets.Features({name: datasets.Value("string") for name in names}),
            reference_urls=["https://arxiv.org/abs/2306.13394"],
        )

    def _compute(
        self, predictions: list[str], references: list[str], images: list[str], categories: list[str]
    ) -> dict[str, Any]:
        return mme.score(
            {"prediction": prediction, "answer": answer, "image": image, "category": category}
            for prediction, answer, image, category in zip(predictions, references, images, categories)
        )
