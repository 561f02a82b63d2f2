"""Saying less: the control's captions cut short by hand, arms beside them, published captions, and the statistics."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import saying_less
from scipy import optimize

from hallu_tasks.scoring import chair
from hallu_tasks.scoring.frontier import Frontier, frontier, outcomes
from hallu_tasks.scoring.rate_ratio import rate_ratio

DATA = Path(os.environ.get("HALLU_TEST_DATA", ""), "chair")
published = pytest.mark.skipif(
    not (DATA / "truth.json").is_file(),
    reason="OPERA's published captions are not here: HALLU_TEST_DATA names the folder with chair/truth.json",
)

TRUTH = {1: {"cat", "clock"}, 2: {"cat"}, 3: {"cat", "clock"}, 4: {"cat", "clock"}}
CONTROL = {
    1: "A cat, a dog and a clock.",
    2: "A cat. The cat sees a dog.",
    3: "A cat and a clock.",
    4: "A cat and a clock.",
}
"""Seven true objects. The first mentions name 4 of them, the first two 6 and a dog in 8 mentions, all 7 and two dogs in
10."""


def records(captions: Mapping[int, str], truth: Mapping[int, Any] = TRUTH) -> dict[int, dict[str, Any]]:
    return {image: chair.record(text, truth[image]) for image, text in captions.items()}


def said(captions: Mapping[int, str], truth: Mapping[int, Any] = TRUTH) -> dict[int, list[tuple[int, int]]]:
    found = {}
    for image, text in captions.items():
        objects = chair.objects(text)
        found[image] = outcomes(objects, set(objects) - set(truth[image]))
    return found


def beside(*arms: Mapping[int, str], **settings: Any) -> Frontier:
    result = frontier(said(CONTROL), records(CONTROL), list(map(records, arms)), **{"resamples": 400, **settings})
    assert result is not None
    return result


# The cuts


def test_the_cuts_by_hand() -> None:
    cuts = beside().cuts
    assert [cut.mentions for cut in cuts] == [1, 2, 3]
    assert [cut.recall.value for cut in cuts] == pytest.approx([400 / 7, 600 / 7, 100])
    assert [cut.chair_i.value for cut in cuts] == pytest.approx([0, 100 / 8, 100 * 2 / 10])
    assert [cut.chair_s.value for cut in cuts] == [0, 25, 50]


def test_outcomes_are_hallucinated_new_or_repeated() -> None:
    assert outcomes(["cat", "dog", "cat", "dog", "clock"], ["dog"]) == [(0, 1), (1, 0), (0, 0), (1, 0), (0, 1)]


@pytest.mark.parametrize("text", ["A toilet. Two dogs near a hot dog; a man, a traffic light and people on a bench."])
def test_a_cut_is_scored_as_the_text_that_is_left(text: str) -> None:
    truth = {1: {"dog", "person", "toilet"}}
    (cuts,) = [frontier(said({1: text}, truth), records({1: text}, truth), [], resamples=2)]
    assert cuts is not None
    for cut, mention in zip(cuts.cuts, chair.mentions(text), strict=True):
        scores = chair.score({1: text[: mention.end]}, truth)
        assert (cut.recall.value, cut.chair_i.value, cut.chair_s.value) == (
            pytest.approx(scores["recall"]),
            pytest.approx(scores["chair_i"]),
            pytest.approx(scores["chair_s"]),
        )


# Arms beside the cuts


def test_an_arm_is_beside_the_cut_of_its_recall() -> None:
    # Five objects: halfway between the first cut with four and the second with six.
    arm = {1: "A cat and a dog.", 2: "A cat.", 3: "A cat and a clock.", 4: "A cat."}
    (found,) = beside(arm).arms
    assert found.recall.value == pytest.approx(500 / 7)
    assert (found.chair_i.a.value, found.chair_s.a.value) == pytest.approx((6.25, 12.5))
    assert (found.chair_i.b.value, found.chair_i.difference) == pytest.approx((100 / 6, 100 / 6 - 6.25))
    assert (found.chair_s.b.value, found.chair_s.difference) == pytest.approx((25, 12.5))


def test_of_cuts_of_one_recall_the_nearest_counts() -> None:
    control = {**CONTROL, 4: "A cat and a clock. The dog, the dog and the dog are dogs."}
    # From the third mention on every object is there: 3, 4, 5 and 6 dogs in 11 to 14 mentions.
    dogs = [100 * count / (8 + count) for count in (3, 4, 5, 6)]
    shorter = [{**control, 4: f"A cat and a clock. {' '.join(['A dog.'] * size)}"} for size in (1, 2, 3)]
    better, worse = {**CONTROL, 1: "A cat and a clock."}, {**control, 3: "A cat and a clock. A dog."}
    result = frontier(said(control), records(control), list(map(records, (control, *shorter, better, worse))))
    assert result is not None
    assert [cut.recall.value for cut in result.cuts[2:]] == [100.0] * 4
    assert [cut.chair_i.value for cut in result.cuts[2:]] == pytest.approx(dogs)
    *reached, below, above = result.arms
    for found in reached:
        assert (found.chair_i.difference, found.chair_i.interval, found.chair_i.p_value) == (0.0, (0.0, 0.0), 1.0)
    assert below.chair_i.difference == pytest.approx(100 / 9 - dogs[0])
    assert above.chair_i.difference == pytest.approx(700 / 15 - dogs[-1])


def test_the_control_cut_short_beats_nothing() -> None:
    one = saying_less.drawn(200, 3)
    control = saying_less.captions(one, 4)
    for size in (1, 2, 5):
        arm = saying_less.records(one, saying_less.cut(control, size))
        result = frontier(saying_less.said(control), saying_less.records(one, control), [arm], resamples=200)
        assert result is not None
        (found,) = result.arms
        assert (found.chair_i.difference, found.chair_i.interval, found.chair_i.p_value) == (0.0, (0.0, 0.0), 1.0)
        assert found.chair_i.a.value == result.cuts[size - 1].chair_i.value


def test_an_arm_that_no_cut_can_be_beside_has_a_reason_and_no_difference() -> None:
    silent = dict.fromkeys(CONTROL, "Nothing.")
    little = {**silent, 1: "A cat."}
    more, less = (dict.fromkeys(range(40), text) for text in ("A cat and a clock.", "A dog and a cat."))
    truth = dict.fromkeys(range(40), ("cat", "clock"))
    (below, unsaid) = beside(little, silent).arms
    assert below.chair_i.reasons["difference"] == "its recall of 14.3 is below 57.1, that of the first mentions alone"
    result = frontier(said(less, truth), records(less, truth), [records(more, truth)], resamples=200)
    assert result is not None
    (above,) = result.arms
    assert above.chair_i.reasons["difference"].startswith(
        "its recall of 100.0 is above 50.0, that of the whole captions"
    )
    assert unsaid.chair_i.reasons["b.value"] == "no caption mentions an object"
    for one in (below, above, unsaid):
        for found in (one.chair_i, one.chair_s):
            assert (found.difference, found.interval, found.p_value) == (None, None, None)


def test_a_recall_above_the_captions_by_chance_is_beside_the_whole_captions() -> None:
    one = saying_less.drawn(300, 1)
    control = saying_less.captions(one, 2)
    arms = (saying_less.captions(one, seed) for seed in range(3, 99))
    arm = next(arm for arm in arms if 0 < np.sum(arm == saying_less.NEW) - np.sum(control == saying_less.NEW) < 5)
    result = frontier(
        saying_less.said(control), saying_less.records(one, control), [saying_less.records(one, arm)], resamples=200
    )
    assert result is not None
    (found,) = result.arms
    assert found.chair_i.a.value == result.cuts[-1].chair_i.value
    assert found.chair_i.difference is not None


def test_captions_without_a_mention_cannot_be_cut() -> None:
    silent = dict.fromkeys(CONTROL, "Nothing.")
    assert frontier(said(silent), records(silent), [records(CONTROL)], resamples=10) is None


def test_mentions_that_are_not_the_record_s_are_named() -> None:
    with pytest.raises(ValueError, match="the mentions of document 2 are not those that its record counts"):
        frontier({**said(CONTROL), 2: [(0, 1)]}, records(CONTROL), [], resamples=10)
    with pytest.raises(ValueError, match="only in captions: 4"):
        frontier({image: said(CONTROL)[image] for image in (1, 2, 3)}, records(CONTROL), [], resamples=10)
    with pytest.raises(ValueError, match="resamples must be at least 1"):
        beside(resamples=0)


def test_captions_of_one_image_are_resampled_together() -> None:
    apart = beside(CONTROL).cuts[-1].chair_i
    together = beside(CONTROL, unit={1: 1, 2: 2, 3: 1, 4: 2}).cuts[-1].chair_i
    assert apart.value == together.value
    assert (apart.units_count, together.units_count) == (4, 2)
    # Each of the two units has a dog in five mentions.
    assert apart.interval == (0.0, pytest.approx(100 / 3)) and together.interval == (20.0, 20.0)


# Published captions


@published
def test_opera_s_published_captions_do_no_more_than_saying_less() -> None:
    truth = {int(image): set(names) for image, names in json.loads((DATA / "truth.json").read_text()).items()}

    def captions(name: str) -> dict[int, str]:
        lines = map(json.loads, (DATA / f"llava-1.5_{name}.jsonl").read_text().splitlines())
        return {line["image_id"]: line["caption"] for line in lines}

    greedy = captions("greedy")
    arms = [records(captions(name), truth) for name in ("ours", "beam5")]
    result = frontier(said(greedy, truth), records(greedy, truth), arms, resamples=4000)
    assert result is not None
    whole = result.cuts[-1]
    assert [round(one.value or 0, 1) for one in (whole.chair_s, whole.chair_i, whole.recall)] == [45.0, 12.8, 79.8]
    opera, beam = result.arms
    # The intervals are of 600 resamples, whose ends move by some tenths of a point.
    expected = {
        "opera": (opera, (0.45, -0.88, 2.08), (0.8, -3.4, 6.0)),
        "beam": (beam, (1.2, -0.25, 2.6), (4.3, 0.0, 9.0)),
    }
    for found, chair_i, chair_s in expected.values():
        for one, (difference, low, high), close in ((found.chair_i, chair_i, 0.25), (found.chair_s, chair_s, 0.4)):
            assert one.difference == pytest.approx(difference, abs=0.05)
            assert one.interval == pytest.approx((low, high), abs=close)
            assert one.interval is not None and one.interval[0] < 0 < one.interval[1]


# The rate ratio


def rated(rows: Sequence[tuple[int, int, int]]) -> dict[int, dict[str, int]]:
    names = ("hallucinated", "mentions", "length")
    return {place: dict(zip(names, row, strict=True)) for place, row in enumerate(rows)}


def test_at_one_length_the_ratio_is_that_of_the_two_chair_i() -> None:
    a, b = rated([(1, 4, 20), (3, 6, 20), (0, 2, 20)]), rated([(1, 5, 20), (0, 4, 20), (1, 7, 20)])
    found = rate_ratio(a, b)
    assert found.ratio == pytest.approx((2 / 16) / (4 / 12))
    # The sandwich by hand: scores of an image are its residuals, here over the expected counts.
    left, right = np.array([1 - 4 / 3, 3 - 2, -2 / 3]) / 4, np.array([1 - 5 / 8, -0.5, 1 - 7 / 8]) / 2
    error = math.sqrt(((right - left) ** 2).sum() * 3 / 2 * 5 / 4)
    ends = [math.exp(math.log(found.ratio or 0) + sign * 1.959964 * error) for sign in (-1, 1)]
    assert found.interval == pytest.approx(ends, rel=1e-5)


def test_the_fit_is_the_most_likely_one() -> None:
    one = saying_less.drawn(150, 5)
    a = saying_less.records(one, saying_less.captions(one, 6))
    b = saying_less.records(one, saying_less.captions(one, 7, hallucinating=0.6))
    rows = [(r["hallucinated"], r["mentions"], r["length"], arm) for arm, r in ((0, a), (1, b)) for r in r.values()]
    hallucinated, mentions, length, arm = np.array([row for row in rows if row[1]], float).T

    def loss(at: np.ndarray) -> float:
        rate = np.log(mentions) + at[0] + at[1] * arm + at[2] * length / 100
        return float((np.exp(rate) - hallucinated * rate).sum())

    best = optimize.minimize(loss, np.zeros(3), method="BFGS", options={"gtol": 1e-8}).x
    assert rate_ratio(a, b).ratio == pytest.approx(math.exp(best[1]), rel=1e-4)


def test_a_run_beside_itself_has_the_ratio_one_without_doubt() -> None:
    one = saying_less.drawn(60, 1)
    a = saying_less.records(one, saying_less.captions(one, 2))
    found = rate_ratio(a, a)
    assert (found.ratio, *(found.interval or ())) == pytest.approx((1, 1, 1))


@pytest.mark.parametrize(
    ("a", "b", "why"),
    [
        ([(0, 0, 9), (0, 0, 8)], [(1, 2, 9), (0, 3, 8)], "no caption mentions an object"),
        ([(0, 2, 9), (0, 3, 8)], [(1, 2, 9), (0, 3, 8)], "an arm hallucinates nothing"),
        ([(1, 2, 9), (1, 3, 9)], [(1, 2, 8), (0, 3, 8)], "each arm has captions of one length"),
    ],
)
def test_a_ratio_that_is_undefined_says_why(
    a: list[tuple[int, int, int]], b: list[tuple[int, int, int]], why: str
) -> None:
    found = rate_ratio(rated(a), rated(b))
    assert (found.ratio, found.interval) == (None, None)
    assert found.reasons["ratio"].startswith(why) and found.reasons["interval"] == found.reasons["ratio"]


def test_one_image_has_a_ratio_without_an_interval() -> None:
    found = rate_ratio(rated([(1, 4, 20)]), rated([(1, 5, 20)]))
    assert found.ratio == pytest.approx(0.8)
    assert (found.interval, found.reasons) == (None, {"interval": "a single unit has no spread"})


# How often intervals and verdicts are right; the full figures are in the scorers' README


QUICK = ("another seed", "another seed, cut after 5 mentions", "a tenth of the hallucinations removed")


@pytest.mark.slow
@pytest.mark.parametrize("scenario", QUICK)
def test_intervals_of_500_images_cover_the_truth(scenario: str) -> None:
    found = saying_less.simulated(scenario, runs=40, images=500, resamples=300)
    # Of 40 intervals of 95 %, more than seven miss once in 500 times.
    for name, missed in found.missed.items():
        assert missed <= 7, (scenario, name, missed)
    if scenario == "a tenth of the hallucinations removed":
        assert found.beats >= 39
    else:
        assert found.beats + found.worse <= 7
