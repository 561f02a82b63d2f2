"""AUROC and scores at the control's yes ratio: a plain reference, ties, images, how often intervals hold the truth."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import threshold

from hallu_tasks.scoring import margins
from hallu_tasks.scoring.margins import Answer

INFINITE = float("inf")


def plain_auroc(yes: Sequence[Any], no: Sequence[Any]) -> float:
    """Every pair, ties half."""
    return 100 * sum((one > other) + (one == other) / 2 for one in yes for other in no) / (len(yes) * len(no))


def plain_at(labels: Sequence[bool], given: Sequence[float], said: int, positive: bool) -> tuple[float, float]:
    """Accuracy and F1 where ``said`` questions are yes: the mean of all ways to break the ties, by their shares."""
    order = sorted(set(given), reverse=True)
    chances = []
    for margin in given:
        above = sum(other > margin for other in given)
        tied = given.count(margin)
        chances.append(min(1.0, max(0.0, (said - above) / tied)))
    assert sum(chances) == pytest.approx(said) and order
    right_yes = sum(chance for chance, label in zip(chances, labels) if label)
    right_no = sum(1 - chance for chance, label in zip(chances, labels) if not label)
    hits, predicted, labelled = (
        (right_yes, said, sum(labels)) if positive else (right_no, len(labels) - said, len(labels) - sum(labels))
    )
    return 100 * (right_yes + right_no) / len(labels), 200 * hits / (predicted + labelled)


def made(seed: int, count: int = 60, ties: bool = False) -> dict[int, Answer]:
    generator = np.random.default_rng(seed)
    labels = generator.random(count) < 0.6
    control, arm = (np.where(labels, 1.0, -1.0) + 2 * generator.normal(size=count) for _ in range(2))
    if ties:
        control, arm = np.round(control), np.round(arm)
    return {
        key: Answer("yes" if labels[key] else "no", bool(control[key] > 0), (float(control[key]), float(arm[key])))
        for key in range(count)
    }


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("positive", ["yes", "no"])
@pytest.mark.parametrize("seed", range(3))
def test_values_are_those_of_a_plain_reference(seed: int, positive: Any, ties: bool) -> None:
    given = made(seed, ties=ties)
    (found,) = margins.compare(given, positive=positive, resamples=20)
    labels = [one.label == "yes" for one in given.values()]
    said = sum(one.says_yes for one in given.values())
    for arm, name in enumerate("ab"):
        own = [one.margins[arm] for one in given.values()]
        yes = [margin for margin, label in zip(own, labels) if label]
        no = [margin for margin, label in zip(own, labels) if not label]
        assert getattr(found.auroc, name).value == pytest.approx(plain_auroc(yes, no), abs=1e-9)
        accuracy, f1 = plain_at(labels, own, said, positive == "yes")  # type: ignore[arg-type]
        assert getattr(found.accuracy, name).value == pytest.approx(accuracy, abs=1e-9)
        assert getattr(found.f1, name).value == pytest.approx(f1, abs=1e-9)


@pytest.mark.parametrize("ties", [False, True])
def test_each_resample_is_the_reference_on_the_questions_that_it_draws(ties: bool) -> None:
    given = made(5, 24, ties)
    unit = {key: key // 3 for key in given}
    resamples, seed = 25, 7
    (found,) = margins.compare(given, unit=unit, resamples=resamples, seed=seed)
    times = np.random.default_rng(seed).multinomial(8, np.full(8, 1 / 8), size=resamples)
    differences = []
    for counts in times:
        keys = [key for key in given for _ in range(counts[unit[key]])]
        sides = [[(given[key].margins[arm], given[key].label) for key in keys] for arm in (0, 1)]
        base, arm = (
            plain_auroc([m for m, label in side if label == "yes"], [m for m, label in side if label == "no"])
            for side in sides
        )
        differences.append(arm - base)
    assert found.auroc.interval == pytest.approx(tuple(np.percentile(differences, [2.5, 97.5])), abs=1e-6)


def test_scipy_agrees() -> None:
    stats = pytest.importorskip("scipy.stats")
    given = made(11, 200, ties=True)
    (found,) = margins.compare(given, resamples=2)
    yes, no = ([one.margins[1] for one in given.values() if one.label == label] for label in ("yes", "no"))
    expected = 100 * stats.mannwhitneyu(yes, no).statistic / (len(yes) * len(no))
    assert found.auroc.b.value == pytest.approx(expected)


def test_a_moved_threshold_moves_nothing() -> None:
    moved = {
        key: Answer(one.label, one.says_yes, (one.margins[0], 3 * one.margins[0] + 7)) for key, one in made(1).items()
    }
    (found,) = margins.compare(moved, resamples=200)
    for name in margins.SCORES:
        result = getattr(found, name)
        assert (result.difference, result.interval, result.p_value) == (0.0, (0.0, 0.0), 1.0)


def test_the_control_at_its_own_ratio_has_the_accuracy_of_its_answers() -> None:
    given = made(2)
    (found,) = margins.compare(given, resamples=2)
    right = [one.says_yes == (one.label == "yes") for one in given.values()]
    assert found.accuracy.a.value == pytest.approx(100 * sum(right) / len(right))


def test_infinite_margins_are_told_apart_by_the_second_number_alone() -> None:
    def auroc(*given: Any) -> float:
        labels = dict(enumerate(("no", "no", "yes", "yes")))
        found = margins.estimate(labels, dict(enumerate(given)), resamples=2).value  # type: ignore[arg-type]
        assert found is not None
        return found

    assert auroc(-INFINITE, INFINITE, INFINITE, INFINITE) == 75
    assert auroc((-INFINITE, -3.0), (INFINITE, 2.0), (INFINITE, 5.0), (INFINITE, 4.0)) == 100
    # Finite ones stay below, whatever the second numbers are.
    assert auroc((-INFINITE, 9.0), (3.0, 0.0), (INFINITE, -8.0), (INFINITE, 1.0)) == 100


def test_strata_have_curves_of_their_own_and_count_the_same() -> None:
    parts = [made(3, 20), made(4, 60)]
    joined = {
        (name, key): Answer(one.label, one.says_yes, one.margins, name)
        for name, part in zip(("random", "popular"), parts)
        for key, one in part.items()
    }
    (found,) = margins.compare(joined, resamples=2)
    alone = [margins.compare(part, resamples=2)[0] for part in parts]
    for name in margins.SCORES:
        expected = np.mean([getattr(one, name).b.value for one in alone])
        assert getattr(found, name).b.value == pytest.approx(expected)


def test_one_label_alone_has_no_auroc_and_an_accuracy() -> None:
    (found,) = margins.compare({n: Answer("yes", n > 2, (n - 2.5, float(-n))) for n in range(6)}, resamples=20)
    assert found.auroc.difference is None and found.auroc.reasons["a.value"] == "all labels are the same"
    assert found.accuracy.a.value == 50 == found.accuracy.b.value


def test_no_order_of_questions_matters() -> None:
    given = made(6, ties=True)
    units = {key: key % 10 for key in given}
    turned = dict(reversed(given.items()))
    assert margins.compare(given, unit=units, resamples=50) == margins.compare(turned, unit=units, resamples=50)


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ({0: Answer("yes", True, (1.0, math.nan))}, "is no number; leave out arms without margins"),
        ({0: Answer("yes", True, (1.0, 2.0)), 1: Answer("no", True, (1.0,))}, "question 1 has 1 margins"),
    ],
)
def test_margins_that_are_none_are_named(answers: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        margins.compare(answers, resamples=2)


def test_a_question_without_an_image_is_named() -> None:
    with pytest.raises(ValueError, match="give the unit of every question"):
        margins.compare(made(0, 3), unit={0: 0, 1: 0}, resamples=2)


def test_nothing_is_compared_of_one_arm_and_of_none() -> None:
    assert margins.compare({0: Answer("yes", True, (1.0,))}, resamples=2) == ()
    assert margins.compare({}, resamples=2) == ()
    assert margins.estimate({}, {}, resamples=2).value is None


def test_nine_thousand_questions_take_seconds() -> None:
    generator = np.random.default_rng(0)
    values = generator.normal(size=(9000, 2))
    given = {n: Answer("yes" if n % 2 else "no", bool(a > 0), (float(a), float(b))) for n, (a, b) in enumerate(values)}
    began = time.process_time()
    margins.compare(given, unit={n: n // 18 for n in given}, resamples=500)
    assert time.process_time() - began < 3, "10,000 resamples would take a minute"


@pytest.mark.parametrize("name", threshold.SCENARIOS)
def test_intervals_hold_the_truth(name: str) -> None:
    found = threshold.simulated(name, runs=40, images=500, resamples=300)
    # Of 40 intervals that hold the truth with a chance of 95 %, more than 6 miss it in 1 of 300.
    assert all(missed <= 6 for missed in found.missed.values()), found


def test_a_threshold_that_moves_is_not_taken_for_sight_and_sight_is_seen() -> None:
    moved = threshold.simulated("threshold moved", runs=30, images=500, resamples=300)
    assert moved.seen["auroc"] <= 5 and moved.seen["accuracy"] <= 5
    better = threshold.simulated("sees better", runs=10, images=500, resamples=300)
    assert better.seen["auroc"] == 10
