"""AMBER for ``evaluate``: descriptions against annotated words, and yes/no questions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import datasets
import evaluate

from hallu_tasks.scoring import amber

DESCRIPTION = """\
AMBER: what descriptions invent and leave out ("generative"), and yes/no questions with no as the positive class
("discriminative"). Scores are percentages.
"""
INPUTS = {
    "generative": """
Args:
    predictions (list of str): the descriptions.
    references (list of list of str): the words that are true of each image, "truth" in annotations.json.
    targets (list of list of str): the words that models tend to invent, "hallu" in annotations.json.
    relation (str or dict): relation.json, as its path or parsed.
    safe_words (str or list of str): safe_words.txt, as its path or its lines.
    mode (str): "reference" (default) or "nltk"; how nouns are found.
    similarity (str): "none" (default) or "spacy"; whether words of the same meaning count.
Returns:
    chair, cover, hal, cog (percent; None where undefined, with its cause under reasons), mean_length (tokens), counts
    that end in _count, mode, similarity, reasons.
""",
    "discriminative": """
Args:
    predictions (list of str): the model's answers as it wrote them.
    references (list of str): the labels, "yes" or "no".
    types (list of str): the type of each question in annotations.json, e.g. "relation".
    policy (str): "words" (default) or "official"; how an answer is read.
Returns:
    accuracy, precision, recall, f1 and the same of who always says no, always_no_accuracy and so on (percent; None
    where undefined, with its cause under reasons), questions_count, unparsed_count, groups (the same of existence,
    attribute, state, number, action and relation), policy, reasons.
""",
}
CITATION = """\
Wang et al.: AMBER: An LLM-free Multi-dimensional Benchmark for MLLMs Hallucination Evaluation. arXiv 2311.07397, 2023.
"""
TEXT = datasets.Value("string")
FEATURES = {
    "generative": {"predictions": TEXT, "references": [TEXT], "targets": [TEXT]},
    "discriminative": {"predictions": TEXT, "references": TEXT, "types": TEXT},
}


class Amber(evaluate.Metric):
    """`hallu_tasks.scoring.amber` of lists in the same order, its two halves as configurations."""

    def _info(self) -> evaluate.MetricInfo:
        if self.config_name not in FEATURES:
            raise ValueError(
                f"unknown configuration {self.config_name!r}; allowed: {', '.join(FEATURES)}, as in "
                'evaluate.load(metrics.path("amber"), "generative")'
            )
        return evaluate.MetricInfo(
            description=DESCRIPTION,
            citation=CITATION,
            inputs_description=INPUTS[self.config_name],
            features=datasets.Features(FEATURES[self.config_name]),
            reference_urls=["https://arxiv.org/abs/2311.07397"],
        )

    def _compute(self, **given: Any) -> dict[str, Any]:
        return generative(**given) if self.config_name == "generative" else discriminative(**given)


def generative(
    predictions: Sequence[str],
    references: Sequence[Sequence[str]],
    targets: Sequence[Sequence[str]],
    relation: str | Mapping[str, Sequence[str]],
    safe_words: str | Iterable[str],
    mode: str = "reference",
    similarity: str = "none",
) -> dict[str, Any]:
    scenes = {n: amber.Scene(tuple(truth), tuple(hallu)) for n, (truth, hallu) in enumerate(zip(references, targets))}
    vocabulary = amber.read_vocabulary(relation, safe_words)
    return amber.score_generative(enumerate(predictions), amber.Annotations(scenes, {}), vocabulary, mode, similarity)


def discriminative(
    predictions: Sequence[str], references: Sequence[str], types: Sequence[str], policy: str = "words"
) -> dict[str, Any]:
    questions = {n: amber.Question(kind, truth) for n, (kind, truth) in enumerate(zip(types, references))}
    return amber.score_discriminative(enumerate(predictions), amber.Annotations({}, questions), policy)
