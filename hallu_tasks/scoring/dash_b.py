"""DASH-B: yes/no questions on images that make models see an object that is not there.

Augustin et al. 2025, "DASH: Detection and Assessment of Systematic Hallucinations of VLMs". Half of the images were
found because they trigger a hallucination, half contain the object. The benchmark's own numbers are accuracy, the true
negative rate (answers "no" where the object is absent), the true positive rate, and the harmonic mean of the two. An
answer that the policy cannot read is wrong, as in the official script, and is reported as ``unparsed_count``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from hallu_tasks.scoring import yesno
from hallu_tasks.scoring.ratios import Ratio, evaluate, total
from hallu_tasks.scoring.units import Array

__all__ = ["STATISTICS", "aggregate", "harmonic_mean", "record"]

STATISTICS = {
    "accuracy": Ratio("correct", ("questions",), "there are no questions"),
    "tnr": Ratio("true_negative", ("absent",), "there is no image without its object"),
    "tpr": Ratio("true_positive", ("present",), "there is no image with its object"),
    "yes_ratio": Ratio("predicted_yes", ("questions",), "there are no questions"),
}
"""The scores as ratios of summed records, for `paired`; `harmonic_mean` is one too."""

_COLUMNS = (
    "questions", "correct", "absent", "present", "true_negative", "true_positive", "predicted_yes", "unparsed",
)  # fmt: skip


def harmonic_mean(sums: Mapping[str, Array]) -> Array:
    """A statistic: the harmonic mean of true negative and true positive rate; 0 where both are."""
    negative, positive = STATISTICS["tnr"](sums), STATISTICS["tpr"](sums)
    both = negative + positive
    result: Array = np.divide(2 * negative * positive, both, out=np.where(both == 0, 0.0, np.nan), where=both > 0)
    return result


def record(answer: str, label: str, policy: str = "contains") -> dict[str, Any]:
    """Return what one answer adds to the scores: counts of 0 or 1 that `aggregate` sums, and the policy."""
    said, truth = yesno.parse(answer, policy), yesno.label(label)
    return {
        "questions": 1,
        "correct": int(said == truth),
        "absent": int(truth == "no"),
        "present": int(truth == "yes"),
        "true_negative": int(said == truth == "no"),
        "true_positive": int(said == truth == "yes"),
        "predicted_yes": int(said == "yes"),
        "unparsed": int(said is None),
        "policy": policy,
    }


def aggregate(records: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the scores of many `record` results; the order does not matter.

    Percentages ``accuracy``, ``tnr``, ``tpr``, ``harmonic_mean`` and ``yes_ratio``; ``questions_count``,
    ``unparsed_count``; ``policy``; ``reasons``. Raises `ValueError` for records of different policies.
    """
    listed = list(records)
    policies = sorted({record["policy"] for record in listed})
    if len(policies) > 1:
        raise ValueError(f"records of different yes/no policies cannot be added: {', '.join(policies)}")
    sums = total(listed, _COLUMNS)
    scores, reasons = evaluate(STATISTICS, sums)
    both = [scores["tnr"], scores["tpr"]]
    mean = None
    if None in both:
        reasons["harmonic_mean"] = reasons.get("tnr") or reasons["tpr"]
    else:
        mean = float(harmonic_mean({name: np.array([float(value)]) for name, value in sums.items()})[0])
    return {
        **scores,
        "harmonic_mean": mean,
        "questions_count": sums["questions"],
        "unparsed_count": sums["unparsed"],
        "policy": policies[0] if policies else None,
        "reasons": reasons,
    }
