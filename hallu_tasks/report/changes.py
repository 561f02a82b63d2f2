"""The answers that changed sides: right in the baseline and wrong in an arm, or the other way round.

An answer is right by what its benchmark scores, `Benchmark.right`: a caption without a hallucinated object, the answer
to a yes/no question, half of the credit or more.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import Any

from hallu_tasks.benchmark import Benchmark
from hallu_tasks.compare import differences
from hallu_tasks.compare.comparison import RunComparison
from hallu_tasks.runs.results import Sample

__all__ = ["Change", "changes", "expected"]


@dataclass(frozen=True)
class Change:
    """One document and one arm, by its number among the arms; `fixed` when the arm is right, else the baseline is.

    `subtask` is set where names of images begin anew in every subtask.
    """

    task: str
    benchmark: Benchmark
    document: int
    arm: int
    fixed: bool
    image: Any
    before: Sample
    after: Sample
    subtask: str = ""


def changes(comparison: RunComparison) -> list[Change]:
    """Every change, by task, arm and document."""
    return [change for task, benchmark in comparison.tasks.items() for change in _of_task(comparison, task, benchmark)]


def expected(sample: Sample) -> str:
    """The target as it is read: a list of objects without brackets and quotes."""
    try:
        value = ast.literal_eval(sample.target)
    except (ValueError, SyntaxError, MemoryError, RecursionError):  # what literal_eval raises for other text
        return sample.target
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else sample.target


def _of_task(comparison: RunComparison, task: str, benchmark: Benchmark) -> list[Change]:
    samples = [run.tasks[task].samples for run in comparison.runs]
    shared = differences.shared_documents(samples, benchmark)
    documents = benchmark.scored({document: benchmark.record(samples[0][document]) or {} for document in shared})
    found = []
    for arm in range(1, len(samples)):
        for document, record in documents.items():
            after = samples[arm][document]
            fixed = benchmark.right(benchmark.record(after) or {})
            if benchmark.right(record) != fixed:
                subtask = str(record[benchmark.subtask]) if benchmark.subtask else ""
                before, image = samples[0][document], record[benchmark.image]
                found.append(Change(task, benchmark, document, arm, fixed, image, before, after, subtask))
    return found
