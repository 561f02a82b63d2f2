"""Is a difference between two runs more than noise? Intervals and tests on the same documents.

* Ratios of sums (CHAIR_i, recall, F1, yes ratio, MME points): `estimate` and `compare` resample *units*,
  the images, with all their documents, and take percentiles (Efron 1979). Both arms get the same resamples.
* Proportions of independent documents (CHAIR_s and Hal, one outcome an image): `proportion` gives the Wilson
  interval (Wilson 1927), `compare_proportions` the exact McNemar test (McNemar 1947).
* Several comparisons at once: `holm` (Holm 1979).
* Few units: no p value is below `least_p_value`, the least that the exact test on the same units can give.

Values, differences and intervals are in the unit of the statistic (percent or points), p values are 0-1. A
difference is ``b - a``. The records are those of `chair.record`, `pope.record` and `mme.pairs`; their text
fields (mode, policy) must agree, because two rules do not compare. Only numpy is needed.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from statistics import NormalDist

import numpy as np

from hallu_tasks.scoring.ratios import Ratio
from hallu_tasks.scoring.resampling import resampled
from hallu_tasks.scoring.units import Arm, Array, Records, Statistic, Units, differing_count, summed

__all__ = [
    "NOTHING",
    "Comparison",
    "Estimate",
    "Ratio",
    "check_settings",
    "compare",
    "compare_proportions",
    "compared",
    "estimate",
    "estimated",
    "holm",
    "least_p_value",
    "mcnemar",
    "proportion",
    "units_for",
    "wilson",
]

Interval = tuple[float, float]

NOTHING = "there are no documents"
MOST_RESAMPLES = 1_000_000
"""Beyond it an interval changes in digits that no table shows, and drawing takes many minutes."""

_TINY = 1e-9  # below this a difference is rounding


@dataclass(frozen=True)
class Estimate:
    """A score and its confidence interval; ``None`` where undefined, with a reason."""

    value: float | None
    interval: Interval | None
    method: str
    confidence: float
    units_count: int
    reasons: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Comparison:
    """Two scores on the same documents and their difference ``b - a``; ``None`` where undefined.

    `undefined_count` is the number of resamples that were dropped because a denominator was zero in them.
    """

    a: Estimate
    b: Estimate
    difference: float | None
    interval: Interval | None
    p_value: float | None
    test: str
    confidence: float
    units_count: int
    resamples_count: int
    undefined_count: int
    seed: int
    reasons: dict[str, str] = field(default_factory=dict)


def estimate(
    records: Records,
    *,
    statistic: Statistic,
    unit: Units | None = None,
    resamples: int = 10_000,
    seed: int = 0,
    confidence: float = 95.0,
) -> Estimate:
    """Return a statistic of one run with a percentile bootstrap interval; arguments as in `compare`."""
    check_settings(resamples, confidence)
    (arm,) = summed([records], unit)
    draws = resampled([arm], statistic, resamples, seed)[0]
    return _estimate(arm, statistic, draws, confidence)


def compare(
    a: Records,
    b: Records,
    *,
    statistic: Statistic,
    unit: Units | None = None,
    resamples: int = 10_000,
    seed: int = 0,
    confidence: float = 95.0,
) -> Comparison:
    """Compare two runs on the same documents by a paired percentile bootstrap over units.

    `a` and `b` map document keys to records, or are sequences of records in the same order. `unit` gives
    each document's unit, its image, under the same keys or in the same order; without it every document is
    its own unit. `statistic` is a function of summed columns, such as ``chair.STATISTICS["chair_i"]``,
    ``mme.statistic("perception")`` or ``Ratio("hallucinated", ("mentions",))``. `confidence` is a percentage.

    The p value is two-sided, twice the smaller share of resampled differences on either side of zero, with
    one added to numerator and denominator, so it is never 0 and at least 2 / (resamples + 1). Nor is it below
    `least_p_value` of the units that differ in what the statistic reads, where a bootstrap of few units takes
    their agreement for certainty. A run compared with itself has difference 0 and p 1.

    Raises `ValueError` for documents that are not in both arms, records with different columns, text fields
    that disagree, and unknown columns.
    """
    check_settings(resamples, confidence)
    arms = summed([a, b], unit)
    draws = resampled(arms, statistic, resamples, seed)
    left, right = (_estimate(arm, statistic, draw, confidence) for arm, draw in zip(arms, draws, strict=True))
    return compared(
        left,
        right,
        draws[1] - draws[0],
        differing=differing_count(arms[0], arms[1], statistic),
        seed=seed,
    )


def compared(a: Estimate, b: Estimate, differences: Array, *, differing: int, seed: int) -> Comparison:
    """Return the comparison of two estimates whose difference ``b - a`` has these draws, NaN where undefined.

    `differing` is the number of units in which the two arms differ. Interval and p value are those of `compare`.
    """
    reasons = {f"{name}.{key}": text for name, one in (("a", a), ("b", b)) for key, text in one.reasons.items()}
    difference: float | None = None
    interval: Interval | None = None
    p_value: float | None = None
    differences = _without_rounding(differences)
    defined = differences[np.isfinite(differences)]
    if a.value is None or b.value is None:
        reasons |= dict.fromkeys(("difference", "interval", "p_value"), "a score is undefined")
    else:
        difference = float(_without_rounding(np.array(b.value - a.value)))
        if a.interval is None or b.interval is None or not len(defined):
            reasons |= dict.fromkeys(("interval", "p_value"), "a score has no interval")
        else:
            interval = _percentiles(defined, a.confidence)
            fewer = min(int(np.count_nonzero(side)) for side in (defined <= 0, defined >= 0))
            p_value = min(1.0, max(least_p_value(differing), 2 * (fewer + 1) / (len(defined) + 1)))
    return Comparison(
        a=a,
        b=b,
        difference=difference,
        interval=interval,
        p_value=p_value,
        test="paired percentile bootstrap over units",
        confidence=a.confidence,
        units_count=a.units_count,
        resamples_count=len(differences),
        undefined_count=len(differences) - len(defined),
        seed=seed,
        reasons=reasons,
    )


def proportion(
    records: Records, *, outcome: str, among: str | None = None, empty: str = NOTHING, confidence: float = 95.0
) -> Estimate:
    """Return the percentage of documents whose 0/1 column `outcome` is 1, with its Wilson interval.

    `among` is the 0/1 column of the documents that count, as AMBER's ``responses_answered``; without it all do.
    `empty` is the reason that is given where none does. For documents that are independent of each other; where
    several share an image, use `estimate`.
    """
    check_settings(1, confidence)
    (arm,) = summed([records], None)
    return _wilson_estimate(_outcomes(arm, outcome), _counted(arm, among), empty, confidence)


def compare_proportions(
    a: Records,
    b: Records,
    *,
    outcome: str,
    among: str | None = None,
    empty: str = NOTHING,
    resamples: int = 10_000,
    seed: int = 0,
    confidence: float = 95.0,
) -> Comparison:
    """Compare the share of documents whose 0/1 column `outcome` is 1, as CHAIR_s's ``captions_hallucinated``.

    `among` and `empty` are those of `proportion`; a document that counts in one arm only is in that arm's share
    and leaves no pair for the test. Each arm has a Wilson interval, the p value is McNemar's exact test, and the
    interval of the difference is the percentile bootstrap of `compare`. For documents that are independent of
    each other; where several share an image, use `compare`.
    """
    arms = summed([a, b], None)
    hits = [_outcomes(arm, outcome) for arm in arms]
    counted = [_counted(arm, among) for arm in arms]
    rows_a, rows_b = (
        [{"hits": hit * counts, "documents": counts} for hit, counts in zip(*columns, strict=True)]
        for columns in zip(hits, counted, strict=True)
    )
    result = compare(
        rows_a,
        rows_b,
        statistic=Ratio("hits", ("documents",), empty),
        resamples=resamples,
        seed=seed,
        confidence=confidence,
    )
    left, right = (_wilson_estimate(*columns, empty, confidence) for columns in zip(hits, counted, strict=True))
    if result.difference is None:
        return replace(result, a=left, b=right)
    both = (counted[0] * counted[1]).astype(bool)
    only_a = int(np.count_nonzero(hits[0][both] > hits[1][both]))
    only_b = int(np.count_nonzero(hits[1][both] > hits[0][both]))
    return replace(
        result,
        a=left,
        b=right,
        p_value=mcnemar(only_a, only_b),
        test="exact McNemar",
        reasons={key: text for key, text in result.reasons.items() if key == "interval"},
    )


def wilson(successes: int, trials: int, confidence: float = 95.0) -> Interval | None:
    """Return the Wilson score interval of ``successes / trials`` in percent; ``None`` without trials."""
    if not 0 <= successes <= trials:
        raise ValueError(f"successes must be 0 to trials; got {successes} of {trials}")
    if not 0 < confidence < 100:
        raise ValueError(f"confidence is a percentage between 0 and 100, got {confidence!r}")
    if trials == 0:
        return None
    z2 = NormalDist().inv_cdf(0.5 + confidence / 200) ** 2
    share = successes / trials
    centre = (share + z2 / (2 * trials)) / (1 + z2 / trials)
    spread = math.sqrt(z2 * share * (1 - share) / trials + (z2 / (2 * trials)) ** 2) / (1 + z2 / trials)
    low = 0.0 if successes == 0 else 100 * (centre - spread)
    high = 100.0 if successes == trials else 100 * (centre + spread)
    return low, high


def mcnemar(only_a: int, only_b: int) -> float:
    """Return the exact two-sided p value when `only_a` documents are 1 in a alone and `only_b` in b alone.

    The binomial test of equal chances on the documents that disagree; 1 when none does.
    """
    if only_a < 0 or only_b < 0:
        raise ValueError(f"counts cannot be negative; got {only_a} and {only_b}")
    disagreeing, smaller = only_a + only_b, min(only_a, only_b)
    term = tail = 1
    for k in range(smaller):
        term = term * (disagreeing - k) // (k + 1)
        tail += term
    p_value: float = 2 * tail / 2**disagreeing
    return min(1.0, p_value)


def least_p_value(units: int) -> float:
    """Return the least two-sided p value of the exact sign-flip test on so many units that differ, 2 / 2**units.

    The test swaps the arms of each unit (Fisher 1935). Of the 2**units ways, at least two are as extreme as the one
    that was seen: itself and its mirror image. McNemar's test is this test for 0/1 outcomes.
    """
    if units < 0:
        raise ValueError(f"units cannot be negative, got {units}")
    # Beyond about a thousand units the power would not fit a float.
    return min(1.0, 2.0 ** (1 - min(units, 1000)))


def units_for(level: float) -> int:
    """Return the smallest number of units whose `least_p_value` is below `level`: 6 for 0.05, 9 for 0.05 / 8."""
    if not 0 < level <= 1:
        raise ValueError(f"a level is above 0 and at most 1, got {level!r}")
    return next(units for units in itertools.count(1) if least_p_value(units) < level)


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Return Holm's step-down adjusted p values under the same names, in the same order."""
    wrong = {name: p for name, p in p_values.items() if p is None or not 0 <= p <= 1}
    if wrong:
        raise ValueError(f"p values must be 0 to 1; leave out comparisons without one: {wrong}")
    adjusted: dict[str, float] = {}
    largest = 0.0
    for rank, name in enumerate(sorted(p_values, key=lambda name: p_values[name])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[name]))
        adjusted[name] = largest
    return {name: adjusted[name] for name in p_values}


def check_settings(resamples: int, confidence: float) -> None:
    """Raise `ValueError` for a number of resamples or a confidence that makes no sense."""
    if resamples < 1:
        raise ValueError(f"resamples must be at least 1, got {resamples!r}")
    if resamples > MOST_RESAMPLES:
        raise ValueError(
            f"{resamples:,} resamples are too many: from {MOST_RESAMPLES:,} on, an interval changes in digits that no "
            "table shows; the default is 10,000"
        )
    if not 0 < confidence < 100:
        raise ValueError(f"confidence is a percentage between 0 and 100, got {confidence!r}")


def _estimate(arm: Arm, statistic: Statistic, draws: Array, confidence: float) -> Estimate:
    units = len(arm.matrix)
    value = float(arm.evaluate(statistic, np.ones((1, units)) @ arm.matrix)[0]) if units else math.nan
    empty = statistic.empty if isinstance(statistic, Ratio) else "the statistic is undefined"
    return estimated(value, draws, units, empty, confidence)


def estimated(value: float, draws: Array, units: int, empty: str, confidence: float = 95.0) -> Estimate:
    """Return the estimate of a value, NaN where undefined for the reason `empty`, that has these draws."""
    defined = draws[np.isfinite(draws)]
    reasons: dict[str, str] = {}
    if math.isnan(value):
        reasons = dict.fromkeys(("value", "interval"), empty if units else NOTHING)
    elif units < 2 or not len(defined):
        reasons["interval"] = "a single unit has no spread" if units < 2 else "undefined in every resample"
    return Estimate(
        value=None if math.isnan(value) else value,
        interval=None if reasons else _percentiles(defined, confidence),
        method="percentile bootstrap over units",
        confidence=confidence,
        units_count=units,
        reasons=reasons,
    )


def _without_rounding(differences: Array) -> Array:
    return np.where(np.abs(differences) < _TINY, 0.0, differences)


def _percentiles(values: Array, confidence: float) -> Interval:
    low, high = np.percentile(values, [50 - confidence / 2, 50 + confidence / 2])
    return float(low), float(high)


def _outcomes(arm: Arm, outcome: str) -> Array:
    if not len(arm.matrix):
        return np.zeros(0)
    if outcome not in arm.columns:
        raise ValueError(f"unknown column {outcome!r}; the records have: {', '.join(arm.columns)}")
    column = arm.matrix[:, arm.columns.index(outcome)]
    if not np.isin(column, (0.0, 1.0)).all():
        raise ValueError(f"column {outcome!r} is not 0 or 1 in every document; use compare for ratios")
    return column


def _counted(arm: Arm, among: str | None) -> Array:
    return np.ones(len(arm.matrix)) if among is None else _outcomes(arm, among)


def _wilson_estimate(outcomes: Array, counted: Array, empty: str, confidence: float) -> Estimate:
    trials, successes = int(counted.sum()), int((outcomes * counted).sum())
    return Estimate(
        value=100 * successes / trials if trials else None,
        interval=wilson(successes, trials, confidence),
        method="Wilson",
        confidence=confidence,
        units_count=trials,
        reasons={} if trials else dict.fromkeys(("value", "interval"), empty),
    )
