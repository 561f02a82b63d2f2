"""Yes/no answers without the threshold: does an arm see better, or does it say yes more often?

An answer's margin is log p(yes) - log p(no) at its first token. The threshold of greedy decoding is 0, and a method
that moves all margins moves accuracy without telling yes from no any better. Two things do not move with it:

* **AUROC**, the chance that a question whose answer is yes has a larger margin than one whose answer is no, ties half
  (Hanley and McNeil 1982);
* **accuracy and F1 at the control's yes ratio**: the arm's threshold is moved until it says yes as often as the control
  did in its answers.

Both are read off one curve. From the largest margin down, the questions seen so far have so many whose answer is yes
and so many whose answer is no: the ROC curve in counts, on which questions of one margin are one straight piece. Its
area is AUROC, and its point after as many questions as the control said yes to holds the counts at that ratio; where
this falls inside of a tie, the same share of each of the tied questions counts, so no order decides.

The bootstrap resamples units, the images, with all their questions, and finds curve, ratio and point anew in each
resample. Only the order of an arm's margins counts, so arms need not be on one scale.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hallu_tasks.scoring import paired
from hallu_tasks.scoring.keyed import require_same_keys
from hallu_tasks.scoring.paired import Comparison, Estimate
from hallu_tasks.scoring.resampling import weights
from hallu_tasks.scoring.units import Array, Units
from hallu_tasks.scoring.yesno import YesNo

__all__ = ["SCORES", "Against", "Answer", "Margin", "compare", "estimate"]

Margin = float | tuple[float, float]
"""A margin, or a pair of which the second tells apart what is equal in the first."""

SCORES = ("auroc", "accuracy", "f1")
_EMPTY = ("all labels are the same", "there are no questions", "no answer and no label is positive")

_TOGETHER = 32
"""Resamples whose counts are made at once; of so many they stay in a processor's cache."""


@dataclass(frozen=True)
class Answer:
    """One question: its label, whether the control said yes, and the arms' margins, the control's first.

    `stratum` names the questions that have a curve of their own; scores are the mean of all strata.
    """

    label: YesNo
    says_yes: bool
    margins: tuple[Margin, ...]
    stratum: Hashable = ""


@dataclass(frozen=True)
class Against:
    """One arm; the comparisons are ``arm - control``, and accuracy and F1 those at the control's yes ratio."""

    auroc: Comparison
    accuracy: Comparison
    f1: Comparison


def estimate(
    labels: Mapping[Any, YesNo],
    margins: Mapping[Any, Margin],
    *,
    unit: Units | None = None,
    resamples: int = 10_000,
    seed: int = 0,
    confidence: float = 95.0,
) -> Estimate:
    """Return the AUROC of one run in percent; arguments as in `compare`."""
    require_same_keys(labels, margins, "labels", "margins", "give the margin of every answer")
    answers = {key: Answer(label, False, (margins[key],)) for key, label in labels.items()}
    return _Bootstrap(answers, unit, "yes", resamples, seed, confidence).estimate(0, 0)


def compare(
    answers: Mapping[Any, Answer],
    *,
    unit: Units | None = None,
    positive: YesNo = "yes",
    resamples: int = 10_000,
    seed: int = 0,
    confidence: float = 95.0,
) -> tuple[Against, ...]:
    """Compare each arm with the first, the control, on the same questions; an empty tuple where there is one arm.

    `unit` gives each question's unit, its image, by the same keys. `positive` is the answer that F1 is of. Intervals
    and p values are those of `paired.compare`; the p value of F1 is that of accuracy, for at one yes ratio both rise
    and fall with the number of right yes. Raises `ValueError` for margins that are no numbers, other numbers of
    margins, and a question without a unit.
    """
    bootstrap = _Bootstrap(answers, unit, positive, resamples, seed, confidence)
    return tuple(
        Against(*(bootstrap.compared(arm, score) for score in range(len(SCORES)))) for arm in range(1, bootstrap.arms)
    )


class _Bootstrap:
    """Values (resamples, arms, scores) of what was drawn, and of what was seen, in one row."""

    def __init__(
        self,
        answers: Mapping[Any, Answer],
        unit: Units | None,
        positive: YesNo,
        resamples: int,
        seed: int,
        confidence: float,
    ) -> None:
        paired.check_settings(resamples, confidence)
        self._seed, self._confidence = seed, confidence
        keys = list(answers)
        units = _units(keys, unit)
        self._units = int(units.max(initial=-1)) + 1
        self.arms = len(next(iter(answers.values())).margins) if answers else 0
        wrong = next((key for key in keys if len(answers[key].margins) != self.arms), None)
        if wrong is not None:
            raise ValueError(
                f"question {wrong!r} has {len(answers[wrong].margins)} margins, and others have {self.arms}; give one "
                "of each arm"
            )
        strata: dict[Hashable, list[int]] = {}
        for place, key in enumerate(keys):
            strata.setdefault(answers[key].stratum, []).append(place)
        given = list(answers.values())
        ranks = [_ranks([one.margins[arm] for one in given]) for arm in range(self.arms)]
        yes = np.array([one.label == "yes" for one in given])
        says = np.array([one.says_yes for one in given])
        self._strata = [
            [_Curve(units[own], yes[own], says[own], rank[own], positive) for rank in ranks]
            for own in map(np.array, strata.values())
        ]
        differ = [ranks[0] != rank for rank in ranks]
        self._differing = [len(set(units[one].tolist())) for one in differ]
        if not answers:
            self._seen, self._drawn = (np.full((rows, 1, len(SCORES)), np.nan) for rows in (1, resamples))
            return
        self._seen = self._values(np.ones((1, self._units)))
        self._drawn = np.concatenate([self._values(chunk) for chunk in weights(self._units, resamples, seed)])

    def estimate(self, arm: int, score: int) -> Estimate:
        value = float(self._seen[0, arm, score])
        return paired.estimated(value, self._drawn[:, arm, score], self._units, _EMPTY[score], self._confidence)

    def compared(self, arm: int, score: int) -> Comparison:
        differences = self._drawn[:, arm, score] - self._drawn[:, 0, score]
        control, own = self.estimate(0, score), self.estimate(arm, score)
        return paired.compared(control, own, differences, differing=self._differing[arm], seed=self._seed)

    def _values(self, drawn: Array) -> Array:
        """For draws (resamples, units)."""
        narrow = drawn.astype(np.float32)
        values: Array = np.empty((len(drawn), self.arms, len(SCORES)))
        for start in range(0, len(drawn), _TOGETHER):
            rows = slice(start, start + _TOGETHER)
            strata = [np.stack([curve.scores(narrow[rows]) for curve in arms], axis=1) for arms in self._strata]
            values[rows] = np.mean(strata, axis=0)
        return values


class _Curve:
    """The ROC curve in counts of one arm's questions, those with the largest margin first.

    Counts are whole numbers far below 2**24, so float32 holds them exactly.
    """

    def __init__(
        self,
        units: NDArray[np.int64],
        yes: NDArray[np.bool_],
        says: NDArray[np.bool_],
        ranks: NDArray[np.int64],
        positive: YesNo,
    ) -> None:
        order = np.argsort(-ranks, kind="stable")
        self._units, self._steps = units[order], np.where(yes[order], 1j, 1).astype(np.complex64)
        """A step along the curve: to the right where the answer is no, up where it is yes."""
        self._ends = np.flatnonzero(np.append(np.diff(ranks[order]) != 0, True))
        """The last question of each margin."""
        self._said, self._positive = units[says], positive

    def scores(self, drawn: NDArray[np.float32]) -> Array:
        """AUROC, accuracy and F1 in percent (resamples, 3), NaN where undefined, for draws (resamples, units)."""
        curve = np.zeros((len(drawn), len(self._ends) + 1), np.complex64)
        counts = np.take(drawn, self._units, axis=1) * self._steps
        curve[:, 1:] = np.cumsum(counts, axis=1)[:, self._ends]
        no, yes = curve.real, curve.imag
        of_no, of_yes = (part[:, -1].astype(np.float64) for part in (no, yes))
        area = ((yes[:, 1:] + yes[:, :-1]) * np.diff(no, axis=1)).sum(axis=1, dtype=np.float64) / 2
        said = np.take(drawn, self._said, axis=1).sum(axis=1, dtype=np.float64)
        right_yes = _at(said, no + yes, yes)
        right_no = of_no - (said - right_yes)
        both, right, predicted, labelled = of_no + of_yes, right_yes, said, of_yes
        if self._positive == "no":
            right, predicted, labelled = right_no, both - said, of_no
        pairs = ((area, of_yes * of_no), (right_yes + right_no, both), (2 * right, predicted + labelled))
        return np.stack([_percent(part, whole) for part, whole in pairs], axis=1)


def _at(said: Array, seen: NDArray[np.float32], yes: NDArray[np.float32]) -> Array:
    """How many of the first ``said`` (resamples,) questions have the answer yes, along a curve (resamples, margins)."""
    high = np.minimum((seen < said[:, None].astype(np.float32)).sum(axis=1), seen.shape[1] - 1)
    low = np.maximum(high - 1, 0)
    rows = np.arange(len(seen))
    start, end, below, above = (
        part[rows, place].astype(np.float64) for part, place in ((seen, low), (seen, high), (yes, low), (yes, high))
    )
    share = np.divide(said - start, end - start, out=np.zeros(len(said)), where=end > start)
    result: Array = below + share * (above - below)
    return result


def _percent(part: Array, whole: Array) -> Array:
    result: Array = np.full(len(part), np.nan)
    np.divide(100 * part, whole, out=result, where=whole > 0)
    return result


def _units(keys: Sequence[Any], unit: Units | None) -> NDArray[np.int64]:
    """A number for each question's unit, in an order that depends on the units alone."""
    given: Mapping[Any, Hashable] = {key: key for key in keys}
    if unit is not None:
        given = dict(unit) if isinstance(unit, Mapping) else dict(zip(keys, unit, strict=True))
        require_same_keys(dict.fromkeys(keys), given, "questions", "units", "give the unit of every question")
    order = sorted(set(given.values()), key=lambda name: (type(name).__name__, repr(name)))
    number = {name: place for place, name in enumerate(order)}
    return np.array([number[given[key]] for key in keys], np.int64)


def _ranks(margins: Sequence[Margin]) -> NDArray[np.int64]:
    """The places of margins among the different ones, the least first."""
    if not margins:
        return np.zeros(0, np.int64)
    pairs = np.array([one if isinstance(one, tuple) else (one, 0.0) for one in margins], np.float64)
    if np.isnan(pairs).any():
        place = int(np.flatnonzero(np.isnan(pairs).any(axis=1))[0])
        raise ValueError(f"the margin at place {place} is no number; leave out arms without margins")
    found: NDArray[np.int64] = np.unique(pairs, axis=0, return_inverse=True)[1].reshape(-1)
    return found
