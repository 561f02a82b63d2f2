"""How much more often an arm hallucinates at the same length: a Poisson regression of hallucinated mentions.

``log E[hallucinated] = log(mentions) + constant + log(ratio) [caption of b] + slope x length``, over the captions of
two arms that mention anything. The two captions of an image are not independent, so standard errors are cluster-robust
by unit (Liang and Zeger 1986). The fit is by Newton's method, which for this model is iteratively reweighted least
squares. Only numpy is needed.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Any

import numpy as np

from hallu_tasks.scoring import chair
from hallu_tasks.scoring.keyed import require_same_keys
from hallu_tasks.scoring.units import Array, Record

__all__ = ["RateRatio", "rate_ratio"]

_MOST_STEPS = 50
_CLOSE = 1e-10


@dataclass(frozen=True)
class RateRatio:
    """Hallucinated per mention, b / a, at the same length; ``None`` where undefined, with a reason."""

    ratio: float | None
    interval: tuple[float, float] | None
    confidence: float
    units_count: int
    reasons: dict[str, str] = field(default_factory=dict)


def rate_ratio(
    a: Mapping[Any, Record],
    b: Mapping[Any, Record],
    *,
    unit: Mapping[Any, Hashable] | None = None,
    confidence: float = 95.0,
) -> RateRatio:
    """Return the ratio of two arms from `chair.record` of each caption; `unit` is that of `paired.compare`.

    Where all captions have one length there is nothing to adjust, and the ratio is that of the two CHAIR_i.
    """
    require_same_keys(a, b, "captions of a", "captions of b", "compare runs on the same images")
    unit_of = {key: key for key in a} if unit is None else dict(unit)
    rows = [
        (one["hallucinated"], one["mentions"], one["length"], arm, unit_of[key])
        for arm, records in enumerate((a, b))
        for key, one in records.items()
        if one["mentions"]
    ]
    units = {name: place for place, name in enumerate(dict.fromkeys(row[4] for row in rows))}

    def undefined(why: str) -> RateRatio:
        return RateRatio(None, None, confidence, len(units), dict.fromkeys(("ratio", "interval"), why))

    if {row[3] for row in rows} != {0, 1}:
        return undefined(chair.STATISTICS["chair_i"].empty)
    hallucinated, mentions, length, arm = (np.array(column, float) for column in list(zip(*rows))[:4])
    if not all(hallucinated[arm == which].any() for which in (0, 1)):
        return undefined("an arm hallucinates nothing")
    columns = [np.ones(len(rows)), arm]
    if np.ptp(length):
        columns.append((length - length.mean()) / length.std())
    design = np.stack(columns, axis=1)
    if np.linalg.matrix_rank(design) < len(columns):
        return undefined("each arm has captions of one length, so arm and length cannot be told apart")
    fitted = _fitted(design, hallucinated, mentions)
    if fitted is None:
        return undefined("the regression does not converge")
    coefficients, expected = fitted
    log_ratio = float(coefficients[1])
    if len(units) < 2:
        reasons = {"interval": "a single unit has no spread"}
        return RateRatio(math.exp(log_ratio), None, confidence, len(units), reasons)
    cluster = np.array([units[row[4]] for row in rows])
    error = _error(design, expected, hallucinated - expected, cluster)
    reach = NormalDist().inv_cdf(0.5 + confidence / 200) * error
    ends = math.exp(log_ratio - reach), math.exp(log_ratio + reach)
    return RateRatio(math.exp(log_ratio), ends, confidence, len(units))


def _fitted(design: Array, counts: Array, exposure: Array) -> tuple[Array, Array] | None:
    """The coefficients and the expected counts; ``None`` where the steps do not settle."""
    coefficients = np.zeros(design.shape[1])
    coefficients[0] = math.log(counts.sum() / exposure.sum())
    for _ in range(_MOST_STEPS):
        expected = exposure * np.exp(np.clip(design @ coefficients, -30, 30))
        step = np.linalg.lstsq(design.T @ (design * expected[:, None]), design.T @ (counts - expected), rcond=None)[0]
        coefficients = coefficients + step
        if np.abs(step).max() < _CLOSE:
            return coefficients, expected
    return None


def _error(design: Array, expected: Array, residuals: Array, cluster: Array) -> float:
    """The cluster-robust standard error of the arm's coefficient, with the usual correction for few clusters."""
    rows, columns = design.shape
    bread = np.linalg.pinv(design.T @ (design * expected[:, None]))
    scores = np.zeros((int(cluster.max()) + 1, columns))
    np.add.at(scores, cluster.astype(int), design * residuals[:, None])
    clusters = len(scores)
    correction = clusters / (clusters - 1) * (rows - 1) / (rows - columns)
    variance = correction * bread @ (scores.T @ scores) @ bread
    return math.sqrt(max(0.0, float(variance[1, 1])))
