"""The answers that changed sides: right in the baseline and wrong in an arm, or the other way round.

An answer is right by what its benchmark scores: a caption without a hallucinated object (CHAIR, AMBER), the answer to
a yes/no question (POPE, MME, AMBER, HallusionBench), half of the credit or more (TextVQA).
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hallu_tasks.benchmarks.table import Benchmark
from hallu_tasks.compare import differences
from hallu_tasks.compare.compute import Comparison
from hallu_tasks.runs.results import Sample
from hallu_tasks.scoring import amber, chair, mme, yesno

__all__ = ["RIGHT", "Change", "Span", "changes", "expected", "hallucinated"]

Span = tuple[int, int, str]
"""Start and end in a text, and the category it names."""


@dataclass(frozen=True)
class Change:
    """One document and one arm, by its number among the arms; `fixed` when the arm is right, else the baseline is.

    `subtask` is set where names of images begin anew in every subtask.
    """

    task: str
    document: int
    arm: int
    fixed: bool
    image: Any
    before: Sample
    after: Sample
    subtask: str = ""


def changes(comparison: Comparison) -> list[Change]:
    """Every change, by task, arm and document."""
    return [change for task, benchmark in comparison.tasks.items() for change in _of_task(comparison, task, benchmark)]


def expected(sample: Sample) -> str:
    """The target as it is read: a list of objects without brackets and quotes."""
    try:
        value = ast.literal_eval(sample.target)
    except (ValueError, SyntaxError, MemoryError, RecursionError):  # what literal_eval raises for other text
        return sample.target
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else sample.target


def hallucinated(sample: Sample) -> list[Span]:
    """The words of a caption that its record counts as hallucinated; none for other answers.

    CHAIR's words are found by the record's mode, for ``nltk``, which gives no places, by the reference's.
    """
    nouns = next((one["hallucinated_nouns"] for one in sample.records.values() if "hallucinated_nouns" in one), None)
    if nouns is not None:
        return amber.places(sample.answer, nouns)
    record = next((one for one in sample.records.values() if "hallucinated_objects" in one), None)
    if not record or not record["hallucinated_objects"]:
        return []
    mode = record.get("mode")
    wrong = set(record["hallucinated_objects"])
    found = chair.mentions(sample.answer, mode if mode == "fixed" else "reference")
    return [(mention.start, mention.end, mention.category) for mention in found if mention.category in wrong]


def _of_task(comparison: Comparison, task: str, benchmark: Benchmark) -> list[Change]:
    samples = [run.tasks[task].samples for run in comparison.runs]
    shared = differences.shared_documents(samples, benchmark)
    documents = benchmark.scored({document: benchmark.record(samples[0][document]) or {} for document in shared})
    right = RIGHT[benchmark.title]
    found = []
    for arm in range(1, len(samples)):
        for document, record in documents.items():
            after = samples[arm][document]
            fixed = right(benchmark.record(after) or {})
            if right(record) != fixed:
                image, subtask = record[benchmark.image], str(record["category"]) if benchmark.title == "MME" else ""
                found.append(Change(task, document, arm, fixed, image, samples[0][document], after, subtask))
    return found


def _correct(record: Mapping[str, Any]) -> bool:
    return bool(record["correct"])


def _predicted(record: Mapping[str, Any]) -> bool:
    return yesno.parse(record["prediction"], mme.POLICY) == yesno.label(record["answer"])


RIGHT: Mapping[str, Callable[[Mapping[str, Any]], bool]] = {
    "CHAIR": lambda record: not record["captions_hallucinated"],
    "POPE": _correct,
    "MME": _predicted,
    "AMBER generative": lambda record: not record["responses_hallucinated"],
    "AMBER discriminative": _correct,
    "HallusionBench": _correct,
    "TextVQA": lambda record: record["tenths"] >= 5,
}
"""By the title of the benchmark, whether a record is that of a right answer."""
