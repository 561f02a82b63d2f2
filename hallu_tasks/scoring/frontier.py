"""Does an arm beat saying less? CHAIR_s and CHAIR_i of the control arm's own captions, cut to their first mentions.

CHAIR falls when captions get shorter, so a lower CHAIR alone shows nothing. The control's captions, each cut to its
first m mentions for m = 1, 2, ..., give a curve of CHAIR against recall that costs no run. An arm is compared with the
curve at its own recall, interpolated between the two neighbouring cuts. Where several cuts have its recall, as behind
the last object that is there, the one nearest to it counts: what cutting alone reaches is no difference. The last of
the cuts are the whole captions, so the control has no difference to its own curve.
A cut keeps the first mentions of a caption as CHAIR counts them in the whole of it.

The bootstrap resamples units, the images, and finds curve, recall and difference anew in each resample. A recall above
that of the whole captions is compared with these: where that is chance, as in half of the resamples of an arm that
says as much as the control, it takes nothing from the arm. Where an arm's recall is above theirs by more than chance,
or below that of the first mentions alone, no cut says what it would be worth, and there is no difference.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from hallu_tasks.scoring import chair, paired
from hallu_tasks.scoring.keyed import require_same_keys
from hallu_tasks.scoring.paired import Comparison, Estimate
from hallu_tasks.scoring.resampling import sums
from hallu_tasks.scoring.units import Array, Record, Units, summed

__all__ = ["Against", "Cut", "Frontier", "Outcome", "frontier", "outcomes"]

Outcome = tuple[int, int]
"""Of one mention: whether it is hallucinated, and whether it is the caption's first of an object that is there."""

_COUNTS = ("hallucinated", "mentions", "correct", "captions_hallucinated")
_OTHERS = ("captions", "truth")


@dataclass(frozen=True)
class Cut:
    """The control's captions, each cut to its first `mentions`; shorter ones are whole."""

    mentions: int
    recall: Estimate
    chair_i: Estimate
    chair_s: Estimate


@dataclass(frozen=True)
class Against:
    """One arm against the cut of its recall: `a` is the control's captions cut, `b` the arm's as they are.

    Without a difference, ``reasons["difference"]`` says why.
    """

    recall: Estimate
    chair_i: Comparison
    chair_s: Comparison


@dataclass(frozen=True)
class Frontier:
    """The cuts by number of mentions, the last of them the whole captions, and each arm against them."""

    cuts: tuple[Cut, ...]
    arms: tuple[Against, ...]


def outcomes(objects: Sequence[str], hallucinated: Collection[str]) -> list[Outcome]:
    """Return the outcome of each mention of a caption; `objects` are its mentions in order, as `chair.objects`."""
    seen: set[str] = set()
    found = []
    for name in objects:
        wrong = name in hallucinated
        found.append((int(wrong), int(not wrong and name not in seen)))
        seen.add(name)
    return found


def frontier(
    said: Mapping[Any, Sequence[Outcome]],
    control: Mapping[Any, Record],
    arms: Sequence[Mapping[Any, Record]],
    *,
    unit: Units | None = None,
    resamples: int = 10_000,
    seed: int = 0,
    confidence: float = 95.0,
) -> Frontier | None:
    """Return the control's cuts and each arm against them; ``None`` where no caption of the control has a mention.

    `said` are the `outcomes` of the control's captions; `control` and `arms` are `chair.record` by the same keys. Other
    arguments are those of `paired.compare`. Raises `ValueError` as it does, and for outcomes that are not those which
    the record counts.
    """
    paired.check_settings(resamples, confidence)
    require_same_keys(said, control, "lists of mentions", "captions", "list the mentions of every caption")
    for key, mentions in said.items():
        if tuple(map(sum, zip((0, 0), *mentions))) != (control[key]["hallucinated"], control[key]["correct"]):
            raise ValueError(f"the mentions of document {key!r} are not those that its record counts")
    most = max(map(len, said.values()), default=0)
    if not most:
        return None
    (cuts,) = summed([{key: _cut(mentions, most) for key, mentions in said.items()}], unit)
    whole = summed([control, *arms], unit)
    counts = [arm.matrix[:, [arm.columns.index(name) for name in _COUNTS]] for arm in whole]
    places = [cuts.columns.index(_column(name, size)) for size in range(most) for name in _COUNTS]
    others = whole[0].matrix[:, [whole[0].columns.index(name) for name in _OTHERS]]
    table = np.hstack([cuts.matrix[:, places], *counts, others])
    seen = _values(np.ones((1, len(table))) @ table, most)
    parts = [_values(chunk, most) for chunk in sums(table, resamples, seed)]
    drawn = _Values(*(np.concatenate(part) for part in zip(*parts, strict=True)))
    bootstrap = _Bootstrap(seen, drawn, len(table), confidence, seed)
    differing = [int(np.count_nonzero((counts[0] != arm).any(axis=1))) for arm in counts[1:]]
    return Frontier(
        tuple(bootstrap.cut(place) for place in range(most)),
        tuple(bootstrap.against(place, differ) for place, differ in enumerate(differing, start=1)),
    )


def _column(name: str, size: int) -> str:
    return f"{name}.{size}"


def _cut(mentions: Sequence[Outcome], most: int) -> dict[str, int]:
    """The counts of a caption's first 1, 2, ... `most` mentions."""
    record: dict[str, int] = {}
    hallucinated = correct = 0
    for size, (wrong, new) in enumerate(itertools.islice(itertools.chain(mentions, itertools.repeat((0, 0))), most)):
        hallucinated, correct = hallucinated + wrong, correct + new
        values = (hallucinated, min(size + 1, len(mentions)), correct, int(hallucinated > 0))
        record |= {_column(name, size): value for name, value in zip(_COUNTS, values)}
    return record


class _Values(NamedTuple):
    """Percentages in each resample: `cuts` and `arms` of shape (resamples, cuts or arms, 3) hold recall, CHAIR_i and
    CHAIR_s, the control being the first arm; `at` of shape (resamples, arms, 2) the cut's CHAIR_i and CHAIR_s at the
    recall of each arm."""

    cuts: Array
    arms: Array
    at: Array


def _values(sums: Array, most: int) -> _Values:
    width = len(_COUNTS)
    cuts = sums[:, : width * most].reshape(len(sums), most, width)
    arms = sums[:, width * most : -len(_OTHERS)].reshape(len(sums), -1, width)
    captions, truth = sums[:, -len(_OTHERS) :].T
    cut_scores, arm_scores = (_scores(part, captions, truth) for part in (cuts, arms))
    at = _beside(arms[:, :, 2], arm_scores[:, :, 1:], cuts[:, :, 2], cut_scores[:, :, 1:])
    return _Values(cut_scores, arm_scores, at)


def _scores(counts: Array, captions: Array, truth: Array) -> Array:
    hallucinated, mentions, correct, captions_hallucinated = np.moveaxis(counts, -1, 0)
    wholes = (
        np.broadcast_to(truth[:, None], correct.shape),
        mentions,
        np.broadcast_to(captions[:, None], correct.shape),
    )
    parts = (correct, hallucinated, captions_hallucinated)
    return np.stack([_percent(part, whole) for part, whole in zip(parts, wholes)], axis=-1)


def _percent(part: Array, whole: Array) -> Array:
    result: Array = np.full(np.shape(part), np.nan)
    np.divide(100 * part, whole, out=result, where=whole > 0)
    return result


def _beside(wanted: Array, own: Array, correct: Array, scores: Array) -> Array:
    """The cuts' scores at the recall of each arm, of shape (resamples, arms, scores).

    `wanted` (resamples, arms) and `correct` (resamples, cuts) count correct objects, `scores` are those of the cuts
    (resamples, cuts, scores). Between two cuts they are interpolated. Of several cuts with as many correct objects, the
    one that is nearest to the arm's `own` scores (resamples, arms, scores) counts; beyond the first or the last cut,
    these do.
    """
    within = np.clip(wanted, correct[:, :1], correct[:, -1:])
    last = correct.shape[1] - 1
    above = (correct[:, None, :] <= within[:, :, None]).sum(axis=2)
    low, high = above - 1, np.minimum(above, last)
    start, end = (np.take_along_axis(correct, place, axis=1) for place in (low, high))
    share = np.divide(within - start, end - start, out=np.zeros(within.shape), where=end > start)
    left, right = (np.take_along_axis(scores, place[:, :, None], axis=1) for place in (low, high))
    equal = (correct[:, None, :] == within[:, :, None])[..., None]
    among = scores[:, None, :, :]
    lowest, highest = np.where(equal, among, np.inf).min(axis=2), np.where(equal, among, -np.inf).max(axis=2)
    result: Array = np.where(
        equal.any(axis=2), np.clip(own, lowest, highest), left + share[:, :, None] * (right - left)
    )
    return result


@dataclass(frozen=True)
class _Bootstrap:
    """What was seen, in `_Values` of one row, and what was drawn."""

    seen: _Values
    drawn: _Values
    units: int
    confidence: float
    seed: int

    def cut(self, place: int) -> Cut:
        return Cut(place + 1, *(self._estimate("cuts", place, score) for score in range(3)))

    def against(self, arm: int, differing: int) -> Against:
        recall = self._estimate("arms", arm, 0)
        why = self._outside(arm)
        chair_i, chair_s = (self._compared(arm, score, differing, why) for score in range(2))
        return Against(recall, chair_i, chair_s)

    def _compared(self, arm: int, score: int, differing: int, why: str) -> Comparison:
        cut, whole = self._estimate("at", arm, score), self._estimate("arms", arm, score + 1)
        if why:
            cut = replace(cut, value=None, interval=None, reasons=dict.fromkeys(("value", "interval"), why))
        differences = self.drawn.arms[:, arm, score + 1] - self.drawn.at[:, arm, score]
        found = paired.compared(cut, whole, differences, differing=differing, seed=self.seed)
        return replace(found, reasons={**found.reasons, "difference": why}) if why else found

    def _outside(self, arm: int) -> str:
        """Why no cut has the arm's recall; empty where one has, or might have but for chance."""
        recall, first, last = self.seen.arms[0, arm, 0], self.seen.cuts[0, 0, 0], self.seen.cuts[0, -1, 0]
        if np.isnan(recall):
            return chair.STATISTICS["recall"].empty
        if recall < first:
            return f"its recall of {recall:.1f} is below {first:.1f}, that of the first mentions alone"
        gains = self.drawn.arms[:, arm, 0] - self.drawn.cuts[:, -1, 0]
        if recall > last and np.nanpercentile(gains, 50 - self.confidence / 2) > 0:
            return f"its recall of {recall:.1f} is above {last:.1f}, that of the whole captions: read CHAIR_i"
        return ""

    def _estimate(self, which: str, place: int, score: int) -> Estimate:
        seen, drawn = getattr(self.seen, which), getattr(self.drawn, which)
        names = ("chair_i", "chair_s") if which == "at" else ("recall", "chair_i", "chair_s")
        empty = chair.STATISTICS[names[score]].empty
        return paired.estimated(
            float(seen[0, place, score]), drawn[:, place, score], self.units, empty, self.confidence
        )
