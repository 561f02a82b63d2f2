"""What HallusionBench's task calls: one record an answer, and the scores of all records.

A document needs the fields of ``HallusionBench.json`` that `hallu_tasks.scoring.hallusion.record` takes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from hallu_tasks.scoring import hallusion

Record = Mapping[str, Any]

NAMES = (*hallusion.STATISTICS, "unparsed_count")


def label(doc: Mapping[str, Any]) -> str:
    """The expected answer, "yes" or "no"."""
    return "yes" if str(doc["gt_answer"]) == "1" else "no"


def process_results(doc: Mapping[str, Any], results: list[str]) -> dict[str, Record]:
    """The answer's record under every metric."""
    return dict.fromkeys(NAMES, hallusion.record({**doc, "prediction": results[0]}, split="image"))


def _score(name: str) -> Callable[[Iterable[Record]], float | None]:
    def score(records: Iterable[Record]) -> float | None:
        value: float | None = hallusion.aggregate(records)[name]
        return value

    return score


aAcc, fAcc, qAcc, easy_aAcc, hard_aAcc, unparsed_count = map(_score, NAMES)  # noqa: N816 - the benchmark's names
