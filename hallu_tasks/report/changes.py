"""The answers that changed sides: right in the baseline and wrong in an arm, or the other way round.

An answer is right by what its benchmark scores: a caption without a hallucinated object (CHAIR), the answer to a
yes/no question (POPE, MME).
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hallu_tasks import differences
from hallu_tasks.compare import Block, Comparison
from hallu_tasks.results import Sample
from hallu_tasks.scoring import chair, mme, yesno

__all__ = ["Change", "Span", "changes", "expected", "hallucinated", "unjudged"]

Span = tuple[int, int, str]
"""Start and end in a text, and the category it names."""


@dataclass(frozen=True)
class Change:
    """One document and one arm, by its number among the arms; `fixed` when the arm is right, else the baseline is."""

    task: str
    document: int
    arm: int
    fixed: bool
    image: Any
    before: Sample
    after: Sample


def changes(comparison: Comparison) -> list[Change]:
    """Every change, by task, arm and document."""
    return [change for block in comparison.blocks for change in _of_block(comparison, block)]


def unjudged(comparison: Comparison) -> list[str]:
    """The tasks whose records do not say which single answers are right."""
    return [
        block.task
        for block in comparison.blocks
        if _right(_record(block, next(iter(comparison.runs[0].tasks[block.task].samples.values())))) is None
    ]


def expected(sample: Sample) -> str:
    """The target as it is read: a list of objects without brackets and quotes."""
    try:
        value = ast.literal_eval(sample.target)
    except (ValueError, SyntaxError, MemoryError, RecursionError):  # what literal_eval raises for other text
        return sample.target
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else sample.target


def hallucinated(sample: Sample) -> list[Span]:
    """The words of a caption that name objects its record counts as hallucinated; none for other answers.

    Words are found by the record's CHAIR mode, for ``nltk``, which gives no places, by the reference's.
    """
    record = next((one for one in sample.records.values() if "hallucinated_objects" in one), None)
    if not record or not record["hallucinated_objects"]:
        return []
    mode = record.get("mode")
    wrong = set(record["hallucinated_objects"])
    found = chair.mentions(sample.answer, mode if mode == "fixed" else "reference")
    return [(mention.start, mention.end, mention.category) for mention in found if mention.category in wrong]


def _of_block(comparison: Comparison, block: Block) -> list[Change]:
    samples = [run.tasks[block.task].samples for run in comparison.runs]
    shared = differences.shared_documents(samples, block.benchmark)
    documents = sorted(block.benchmark.scored({document: _record(block, samples[0][document]) for document in shared}))
    found = []
    for arm in range(1, len(samples)):
        for document in documents:
            before, after = samples[0][document], samples[arm][document]
            record = _record(block, before)
            right, fixed = _right(record), _right(_record(block, after))
            if right is not None and fixed is not None and right != fixed:
                image = record[block.benchmark.image]
                found.append(Change(block.task, document, arm, fixed, image, before, after))
    return found


def _record(block: Block, sample: Sample) -> Mapping[str, Any]:
    return block.benchmark.record(sample) or {}


def _right(record: Mapping[str, Any]) -> bool | None:
    if "captions_hallucinated" in record:
        return not record["captions_hallucinated"]
    if "prediction" in record:
        return yesno.parse(record["prediction"], mme.POLICY) == yesno.label(record["answer"])
    return bool(record["correct"]) if "correct" in record else None
