"""Paired statistics: known values, invariants, coverage, and agreement with scipy."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from hallu_tasks.scoring import chair, mme, paired, pope, resampling

CHAIR_I = chair.STATISTICS["chair_i"]
MENTIONS = paired.Ratio("bad", ("all",))


def run(seed: int, documents: int = 40, rate: float = 0.3) -> dict[int, dict[str, int]]:
    """Return records of a run whose mentions are bad with chance `rate`."""
    generator = np.random.default_rng(seed)
    counts = generator.integers(1, 8, documents)
    return {i: {"bad": int(generator.binomial(n, rate)), "all": int(n)} for i, n in enumerate(counts)}


# Bootstrap


def test_difference_is_b_minus_a_of_the_ratios_of_sums():
    a = {1: {"bad": 1, "all": 2}, 2: {"bad": 0, "all": 8}}
    b = {1: {"bad": 2, "all": 2}, 2: {"bad": 1, "all": 8}}
    result = paired.compare(a, b, statistic=MENTIONS)
    assert (result.a.value, result.b.value, result.difference) == (10.0, 30.0, 20.0)
    assert result.units_count == 2
    assert result.reasons == {}


def test_a_run_compared_with_itself_has_no_difference():
    a = run(0)
    result = paired.compare(a, a, statistic=MENTIONS, resamples=500)
    assert (result.difference, result.interval, result.p_value) == (0.0, (0.0, 0.0), 1.0)
    assert result.a == result.b
    assert result.undefined_count == 0


def test_equal_ratios_of_different_sums_are_no_difference():
    a = {i: {"bad": 1, "all": 3} for i in range(30)}
    b = {i: {"bad": 7, "all": 21} for i in range(30)}
    result = paired.compare(a, b, statistic=MENTIONS, resamples=500)
    assert result.interval == (0.0, 0.0)
    assert result.p_value == 1.0


def test_rounding_is_no_difference():
    def tenths(sums):
        return sums["x"] / sums["all"] + sums["y"] / sums["all"]

    a = [{"x": 1, "y": 2, "all": 10}] * 10
    b = [{"x": 3, "y": 0, "all": 10}] * 10
    result = paired.compare(a, b, statistic=tenths, resamples=50)
    assert (result.difference, result.interval, result.p_value) == (0.0, (0.0, 0.0), 1.0)


def test_a_clear_difference_has_the_smallest_p_value():
    a = {i: {"bad": 0, "all": 5} for i in range(30)}
    b = {i: {"bad": 4 + i % 2, "all": 5} for i in range(30)}
    result = paired.compare(a, b, statistic=MENTIONS, resamples=999)
    assert result.p_value == pytest.approx(2 / 1000)
    assert result.interval[0] > 0


def test_swapping_the_arms_mirrors_the_result():
    forth = paired.compare(run(1), run(2, rate=0.4), statistic=MENTIONS, resamples=800)
    back = paired.compare(run(2, rate=0.4), run(1), statistic=MENTIONS, resamples=800)
    assert back.difference == pytest.approx(-forth.difference)
    assert back.interval == pytest.approx((-forth.interval[1], -forth.interval[0]))
    assert back.p_value == forth.p_value


def test_the_seed_decides_the_interval():
    a, b = run(1), run(2)
    first, again, other = (paired.compare(a, b, statistic=MENTIONS, resamples=300, seed=s) for s in (5, 5, 6))
    assert first == again
    assert first.interval != other.interval
    assert first.difference == other.difference


def test_the_order_of_documents_does_not_matter():
    a, b = run(1), run(2)
    turned = [dict(reversed(arm.items())) for arm in (a, b)]
    unit = {i: i // 3 for i in a}
    first = paired.compare(a, b, statistic=MENTIONS, unit=unit, resamples=300)
    assert paired.compare(*turned, statistic=MENTIONS, unit=unit, resamples=300) == first


def test_chunks_do_not_change_the_draws(monkeypatch):
    whole = paired.compare(run(1), run(2), statistic=MENTIONS, resamples=300)
    monkeypatch.setattr(resampling, "_CHUNK", 7)
    assert paired.compare(run(1), run(2), statistic=MENTIONS, resamples=300) == whole


@pytest.mark.parametrize("scale", [1, 10], ids=["whole", "tenths"])
def test_the_draws_of_a_seed_stay_those_of_published_results(scale):
    a, b = ({i: {n: v / scale for n, v in row.items()} for i, row in run(seed, 300).items()} for seed in (1, 2))
    result = paired.compare(a, b, statistic=MENTIONS, unit={i: i // 3 for i in a}, resamples=1200, seed=4)
    assert result.a.interval == pytest.approx((25.78101231742613, 31.097693797217243), abs=1e-12)
    assert result.b.interval == pytest.approx((26.47285526916982, 31.592819125566443), abs=1e-12)
    assert result.interval == pytest.approx((-3.23035859767145, 4.354762480048033), abs=1e-12)
    assert result.p_value == 0.7843463780183181


def plain_bootstrap(rows, resamples: int, seed: int) -> np.ndarray:
    """The percentages of resamples that are drawn and summed one after the other."""
    in_order = [rows[key] for key in sorted(rows, key=repr)]
    bad, every = (np.array([row[name] for row in in_order], float) for name in ("bad", "all"))
    generator = np.random.default_rng(seed)
    draws = [generator.multinomial(len(rows), [1 / len(rows)] * len(rows)) for _ in range(resamples)]
    return np.array([100 * (draw @ bad) / (draw @ every) for draw in draws])


@pytest.mark.parametrize("kept", [0, 10**8], ids=["drawn anew", "kept"])
def test_what_is_kept_from_one_statistic_to_the_next_is_that_of_the_records(kept, monkeypatch):
    monkeypatch.setattr(resampling, "_KEPT", kept)
    rows, others = run(1), run(2)
    pairs = [(rows, 0), (others, 0), (rows, 1), (run(1, documents=30), 0), (rows, 0)]
    for entry, seed in pairs:
        for statistic, part in ((MENTIONS, 1), (paired.Ratio("bad", ("all", "all")), 2)):
            found = paired.estimate(entry, statistic=statistic, resamples=70, seed=seed).interval
            assert found == pytest.approx(tuple(np.percentile(plain_bootstrap(entry, 70, seed) / part, [2.5, 97.5])))
    rows[0]["bad"] += 40
    found = paired.estimate(rows, statistic=MENTIONS, resamples=70).interval
    assert found == pytest.approx(tuple(np.percentile(plain_bootstrap(rows, 70, 0), [2.5, 97.5])))


def test_a_statistic_cannot_spoil_the_sums_of_the_next_one():
    def careless(sums):
        sums["bad"] += 1
        return sums["bad"]

    with pytest.raises(ValueError, match="read-only"):
        paired.estimate(run(1), statistic=careless, resamples=20)


def test_many_statistics_of_the_same_records_are_drawn_once(monkeypatch):
    drawn, original = [], resampling._drawn
    monkeypatch.setattr(resampling, "_drawn", lambda *given: drawn.append(given) or original(*given))
    resampling._kept.cache_clear()
    resampling._kept_sums.cache_clear()
    a, b = run(1), run(2)
    for name in ("bad", "all"):
        for size in (1, 2, 3):
            paired.compare(a, b, statistic=paired.Ratio(name, ("all",) * size), resamples=60, seed=9)
    paired.estimate(run(3), statistic=MENTIONS, resamples=60, seed=9)
    assert len(drawn) == 1


def test_records_without_a_number_are_named_too():
    with pytest.raises(ValueError, match="needs column 'all'"):
        paired.estimate([{"mode": "x"}, {"mode": "x"}], statistic=MENTIONS, resamples=5)


def test_pairing_narrows_the_interval():
    a = run(3, documents=200)
    b = {i: {"bad": max(row["bad"] - (i % 7 == 0), 0), "all": row["all"]} for i, row in a.items()}
    result = paired.compare(a, b, statistic=MENTIONS, resamples=1000)
    width = result.interval[1] - result.interval[0]
    assert width < 0.5 * (result.a.interval[1] - result.a.interval[0])


def test_documents_of_one_image_are_resampled_together():
    rows = [{"bad": i % 2, "all": 1} for i in range(60)]
    copies = [row for row in rows for _ in range(6)]
    images = [i for i in range(60) for _ in range(6)]
    by_image = paired.estimate(copies, statistic=MENTIONS, unit=images, resamples=1000)
    by_question = paired.estimate(copies, statistic=MENTIONS, resamples=1000)
    assert by_image.interval == paired.estimate(rows, statistic=MENTIONS, resamples=1000).interval
    assert by_image.units_count == 60
    assert by_question.units_count == 360
    width_of = [high - low for low, high in (by_image.interval, by_question.interval)]
    assert width_of[0] / width_of[1] == pytest.approx(math.sqrt(6), rel=0.2)


def test_units_may_be_tuples():
    records = [{"bad": 1, "all": 2}] * 4
    units = [("count", "a"), ("count", "a"), ("count", "b"), ("scene", "a")]
    assert paired.estimate(records, statistic=MENTIONS, unit=units, resamples=10).units_count == 3


def test_interval_agrees_with_the_delta_method():
    rows = run(4, documents=400)
    bad, every = (np.array([row[name] for row in rows.values()], float) for name in ("bad", "all"))
    ratio = bad.sum() / every.sum()
    error = 100 * np.std(bad - ratio * every, ddof=1) * math.sqrt(len(bad)) / every.sum()
    low, high = paired.estimate(rows, statistic=MENTIONS).interval
    assert (low, high) == pytest.approx((100 * ratio - 1.96 * error, 100 * ratio + 1.96 * error), abs=0.25)


@pytest.mark.slow
def test_intervals_of_500_images_cover_the_truth_in_93_to_97_of_100_runs():
    # 1,000 runs: a coverage of 95 % leaves this range once in 300 such simulations.
    covered = {"ratio": 0, "difference": 0}
    for seed in range(1000):
        plain, method = run(2 * seed, 500, rate=0.3), run(2 * seed + 1, 500, rate=0.25)
        result = paired.compare(plain, method, statistic=MENTIONS, resamples=1000)
        covered["ratio"] += result.a.interval[0] <= 30 <= result.a.interval[1]
        covered["difference"] += result.interval[0] <= -5 <= result.interval[1]
    assert all(930 <= count <= 970 for count in covered.values()), covered


def test_p_value_is_small_by_chance_about_as_often_as_it_says():
    small = 0
    for seed in range(200):
        result = paired.compare(run(seed, 60), run(seed + 1000, 60), statistic=MENTIONS, resamples=300)
        small += result.p_value < 0.1
    assert 0.05 <= small / 200 <= 0.17


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 3), st.integers(0, 3)), max_size=6))
def test_no_result_is_nan_and_every_none_has_a_reason(rows):
    a = [{"bad": w, "all": w + x} for w, x, _, _ in rows]
    b = [{"bad": y, "all": y + z} for _, _, y, z in rows]
    result = paired.compare(a, b, statistic=MENTIONS, resamples=20)
    numbers = json.dumps(dataclasses.asdict(result), allow_nan=False)
    assert json.loads(numbers)["units_count"] == len(rows)
    for name in ("difference", "interval", "p_value"):
        assert (getattr(result, name) is None) == (name in result.reasons)
    for side, arm in (("a", result.a), ("b", result.b)):
        for name in ("value", "interval"):
            assert (getattr(arm, name) is None) == (name in arm.reasons) == (f"{side}.{name}" in result.reasons)


def test_an_undefined_score_gives_its_reason():
    quiet = [chair.record("nothing", {"dog"})] * 5
    result = paired.compare(quiet, quiet, statistic=CHAIR_I, resamples=20)
    assert result.difference is None
    assert result.reasons["a.value"] == "no caption mentions an object"
    assert paired.estimate([], statistic=CHAIR_I).reasons["value"] == "there are no documents"


def test_a_single_image_has_no_interval():
    result = paired.compare([{"bad": 1, "all": 2}], [{"bad": 2, "all": 2}], statistic=MENTIONS, resamples=20)
    assert result.difference == 50.0
    assert result.interval is None
    assert result.p_value is None
    assert result.a.reasons["interval"] == "a single unit has no spread"


def test_resamples_without_a_denominator_are_dropped_and_counted():
    a = [{"bad": 1, "all": 2}, {"bad": 0, "all": 0}, {"bad": 0, "all": 0}]
    result = paired.compare(a, a, statistic=MENTIONS, resamples=1000)
    assert result.undefined_count == pytest.approx(1000 * (2 / 3) ** 3, rel=0.2)
    assert result.p_value == 1.0


# The scorers' records


def test_chair_records_give_the_printed_scores():
    captions = ["Two dogs near a bench.", "A dog.", "a cat and a car", "nothing"]
    truth = {"dog", "cat"}
    records = {i: chair.record(caption, truth) for i, caption in enumerate(captions)}
    printed = chair.score(dict(enumerate(captions)), dict.fromkeys(range(4), truth))
    for name, statistic in chair.STATISTICS.items():
        assert paired.estimate(records, statistic=statistic, resamples=10).value == pytest.approx(printed[name])


def test_pope_records_are_resampled_by_image():
    answers = ["Yes", "No", "Yes", "No", "Yes", "Yes"]
    labels = ["yes", "no", "no", "yes", "yes", "no"]
    records = [pope.record(answer, label) for answer, label in zip(answers, labels, strict=True)]
    printed = pope.score(answers, labels)
    for name, statistic in pope.STATISTICS.items():
        estimate = paired.estimate(records, statistic=statistic, unit=list("aabbcc"), resamples=10)
        assert estimate.value == pytest.approx(printed[name])
        assert estimate.units_count == 3


def test_mme_pairs_are_resampled_by_image():
    rows = [
        {"image": str(i), "category": "count", "answer": answer, "prediction": "Yes" if i else answer}
        for i in range(4)
        for answer in ("Yes", "No")
    ]
    estimate = paired.estimate(mme.pairs(rows), statistic=mme.statistic("count"), resamples=10)
    assert estimate.value == mme.score(rows)["subtasks"]["count"]["score"] == 87.5
    assert estimate.units_count == 4
    total = paired.estimate(mme.pairs(rows), statistic=mme.statistic("perception"), resamples=10)
    assert total.value is None
    assert total.reasons["value"] == "the statistic is undefined"


def test_fields_that_are_neither_numbers_nor_text_are_ignored():
    records = {i: {"bad": 1, "all": 2, "mode": "x", "objects": ["dog"] * i} for i in range(3)}
    assert paired.compare(records, records, statistic=MENTIONS, resamples=10).p_value == 1.0


# Errors


GOOD = {1: {"bad": 1, "all": 2, "mode": "x"}, 2: {"bad": 1, "all": 2, "mode": "x"}}


@pytest.mark.parametrize(
    ("a", "b", "unit", "message"),
    [
        (GOOD, {1: GOOD[1], 3: GOOD[2]}, None, "only in documents of a: 2; only in documents of b: 3"),
        (GOOD, GOOD, {1: "i"}, "2 documents do not match 1 units; only in documents: 2"),
        (GOOD, GOOD, ["i", "j"], "by key, or all as sequences"),
        (GOOD, list(GOOD.values()), None, "by key, or all as sequences"),
        (
            GOOD,
            {k: row | {"mode": "y"} for k, row in GOOD.items()},
            None,
            "different rules: mode 'x' and 'y'",
        ),
        (GOOD, {1: GOOD[1], 2: GOOD[2] | {"mode": "y"}}, None, "documents differ in mode: 'x' and 'y', in 2"),
        (GOOD, {1: GOOD[1], 2: {"bad": 1}}, None, "document 2 has other columns .*'all', 'mode'"),
        (GOOD, {k: {"bad": 1, "all": 2} for k in GOOD}, None, "different columns: 'mode'"),
    ],
)
def test_arms_that_do_not_pair_are_named(a, b, unit, message):
    with pytest.raises(ValueError, match=message):
        paired.compare(a, b, statistic=MENTIONS, unit=unit, resamples=10)


def test_an_unknown_column_names_the_known_ones():
    with pytest.raises(ValueError, match="needs column 'worse'; the records have: all, bad"):
        paired.estimate(GOOD, statistic=paired.Ratio("worse", ("all",)), resamples=10)


def test_a_statistic_that_is_not_elementwise_is_refused():
    with pytest.raises(ValueError, match="element by element"):
        paired.estimate(GOOD, statistic=lambda sums: np.sum(sums["bad"]), resamples=10)


@pytest.mark.parametrize("wrong", [{"resamples": 0}, {"confidence": 0.0}, {"confidence": 100}])
def test_settings_out_of_range_are_named(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        paired.compare(GOOD, GOOD, statistic=MENTIONS, **wrong)


# Proportions


def outcomes(*values: int) -> list[dict[str, int]]:
    return [{"hit": value} for value in values]


def test_chair_s_of_500_images_is_known_to_about_4_points():
    low, high = paired.wilson(225, 500)
    assert (high - low) / 2 == pytest.approx(4.4, abs=0.06)


@pytest.mark.parametrize(("successes", "trials"), [(0, 10), (10, 10), (1, 10), (37, 120), (250, 500)])
@pytest.mark.parametrize("confidence", [90.0, 95.0, 99.0])
def test_wilson_agrees_with_scipy(successes, trials, confidence):
    expected = stats.binomtest(successes, trials).proportion_ci(confidence / 100, method="wilson")
    found = paired.wilson(successes, trials, confidence)
    assert found == pytest.approx((100 * expected.low, 100 * expected.high), abs=1e-9)
    assert 0 <= found[0] <= 100 * successes / trials <= found[1] <= 100


@pytest.mark.parametrize("share", [0.02, 0.1, 0.3, 0.5, 0.8])
def test_wilson_covers_the_true_share_of_500_captions_in_93_to_97_of_100_runs(share):
    intervals = [paired.wilson(k, 500) for k in range(501)]
    covered = [low <= 100 * share <= high for low, high in intervals]
    assert 0.93 <= stats.binom.pmf(np.arange(501), 500, share)[covered].sum() <= 0.97


def test_wilson_without_trials_and_out_of_range():
    assert paired.wilson(0, 0) is None
    with pytest.raises(ValueError, match="got 3 of 2"):
        paired.wilson(3, 2)
    with pytest.raises(ValueError, match="confidence"):
        paired.wilson(1, 2, 0.0)


@pytest.mark.parametrize(("only_a", "only_b"), [(0, 0), (0, 1), (1, 9), (9, 1), (5, 5), (40, 60), (300, 200)])
def test_mcnemar_agrees_with_scipy(only_a, only_b):
    expected = stats.binomtest(only_a, only_a + only_b).pvalue if only_a + only_b else 1.0
    assert paired.mcnemar(only_a, only_b) == pytest.approx(expected, rel=1e-9)


def test_mcnemar_of_many_documents_is_finite():
    assert paired.mcnemar(4000, 4000) == 1.0
    assert paired.mcnemar(0, 5000) == 0.0
    with pytest.raises(ValueError, match="-1"):
        paired.mcnemar(-1, 2)


def test_two_proportions_by_hand():
    a = outcomes(1, 1, 1, 1, 0, 0, 0, 0)
    b = outcomes(0, 0, 0, 0, 0, 0, 0, 1)
    result = paired.compare_proportions(a, b, outcome="hit", resamples=200)
    assert (result.a.value, result.b.value, result.difference) == (50.0, 12.5, -37.5)
    assert result.a.interval == paired.wilson(4, 8)
    assert result.a.method == "Wilson"
    assert result.p_value == paired.mcnemar(4, 1) == 0.375
    assert result.test == "exact McNemar"
    assert result.interval[0] < -37.5 < result.interval[1]
    assert result.reasons == {}


def test_a_proportion_compared_with_itself_has_no_difference():
    a = outcomes(1, 0, 0, 1)
    result = paired.compare_proportions(a, a, outcome="hit", resamples=50)
    assert (result.difference, result.interval, result.p_value) == (0.0, (0.0, 0.0), 1.0)


def test_chair_s_of_two_runs():
    truth = {"dog"}
    a = {i: chair.record("a dog and a cat" if i < 6 else "a dog", truth) for i in range(10)}
    b = {i: chair.record("a dog", truth) for i in range(10)}
    result = paired.compare_proportions(a, b, outcome="captions_hallucinated", resamples=50)
    assert result.difference == -60.0
    assert result.p_value == pytest.approx(2 / 2**6)


def said(*values):
    """Records of answers that are right (1), wrong (0) or blank (None)."""
    return [{"hit": value or 0, "answered": int(value is not None)} for value in values]


def test_a_proportion_is_among_the_documents_that_count():
    a, b = said(1, 1, 1, 0, 0, None, 1), said(1, 0, 0, 0, 1, 1, None)
    result = paired.compare_proportions(a, b, outcome="hit", among="answered", resamples=200)
    assert (result.a.value, result.b.value) == (pytest.approx(400 / 6), pytest.approx(50.0))
    assert (result.a.interval, result.a.units_count) == (paired.wilson(4, 6), 6)
    assert result.a == paired.proportion(a, outcome="hit", among="answered")
    assert result.difference == pytest.approx(50 - 400 / 6)
    assert result.p_value == paired.mcnemar(2, 1), "a pair with a blank is no pair"


def test_among_all_documents_is_without_among():
    a, b = said(1, 1, 0, 0, 1), said(0, 1, 0, 0, 1)
    with_among = paired.compare_proportions(a, b, outcome="hit", among="answered", resamples=50)
    assert with_among == paired.compare_proportions(a, b, outcome="hit", resamples=50)


def test_a_proportion_among_none_has_the_given_reason():
    result = paired.compare_proportions(
        said(1, 0), said(None, None), outcome="hit", among="answered", empty="all is blank", resamples=50
    )
    assert (result.a.value, result.b.value, result.difference, result.p_value) == (50.0, None, None, None)
    assert result.b.reasons["value"] == result.reasons["b.value"] == "all is blank"


def test_proportions_need_outcomes_of_0_or_1():
    with pytest.raises(ValueError, match="'hit' is not 0 or 1"):
        paired.proportion(outcomes(0, 2), outcome="hit")
    with pytest.raises(ValueError, match="unknown column 'miss'; the records have: hit"):
        paired.compare_proportions(outcomes(1), outcomes(1), outcome="miss")


def test_proportion_of_no_documents_has_a_reason():
    assert paired.proportion(outcomes(1, 0, 0, 0), outcome="hit").value == 25.0
    nothing = paired.proportion([], outcome="hit")
    assert (nothing.value, nothing.interval) == (None, None)
    assert nothing.reasons.keys() == {"value", "interval"}
    assert paired.compare_proportions([], [], outcome="hit").reasons["p_value"] == "a score is undefined"


# Holm


def test_holm_by_hand():
    assert paired.holm({"x": 0.01, "y": 0.04, "z": 0.03}) == pytest.approx({"x": 0.03, "y": 0.06, "z": 0.06})
    assert paired.holm({"x": 0.6, "y": 0.9}) == {"x": 1.0, "y": 1.0}
    assert paired.holm({}) == {}


@given(st.dictionaries(st.text(max_size=3), st.floats(0, 1), max_size=8))
def test_holm_keeps_the_order_and_never_lowers(p_values):
    adjusted = paired.holm(p_values)
    assert list(adjusted) == list(p_values)
    assert all(p <= adjusted[name] <= min(1.0, p * len(p_values)) + 1 for name, p in p_values.items())
    ranked = sorted(p_values, key=p_values.get)
    assert [adjusted[name] for name in ranked] == sorted(adjusted.values())


@pytest.mark.parametrize("wrong", [None, -0.1, 1.5, math.nan])
def test_holm_names_what_is_no_p_value(wrong):
    with pytest.raises(ValueError, match="'bad'"):
        paired.holm({"good": 0.5, "bad": wrong})


# Few units


def sign_flip(a, b, statistic):
    """The exact test: the arms of each unit swapped in every way, the share that is as extreme as what was seen."""
    keys = list(a)

    def difference(swaps):
        arms = ([b[key] if swap else a[key] for key, swap in zip(keys, swaps)] for swaps in (swaps, ~swaps))
        first, second = (
            statistic({name: np.array([sum(record[name] for record in arm)]) for name in arm[0]}) for arm in arms
        )
        return float((second - first)[0])

    ways = [np.array([way >> bit & 1 for bit in range(len(keys))], bool) for way in range(2 ** len(keys))]
    seen = abs(difference(ways[0]))
    return sum(abs(difference(way)) >= seen - 1e-9 for way in ways) / len(ways)


@pytest.mark.parametrize("units", [2, 3, 5, 8])
def test_no_p_value_is_below_the_exact_tests_least(units: int):
    a = {i: {"bad": 0, "all": 5} for i in range(units)}
    b = {i: {"bad": 4 + i % 2, "all": 5} for i in range(units)}
    result = paired.compare(a, b, statistic=MENTIONS)
    assert result.p_value == sign_flip(a, b, MENTIONS) == paired.least_p_value(units) == 2 / 2**units


def test_units_that_agree_do_not_lower_the_least_p_value():
    a = {i: {"bad": 0, "all": 5} for i in range(12)}
    b = {i: {"bad": 2 * (i < 4), "all": 5} for i in range(12)}
    assert sign_flip(a, b, MENTIONS) == 2 / 2**4
    assert paired.compare(a, b, statistic=MENTIONS).p_value >= 2 / 2**4


def test_only_columns_that_the_statistic_reads_tell_units_apart():
    a = {i: {"bad": 0, "all": 5, "length": 0} for i in range(12)}
    b = {i: {"bad": 2 * (i < 4), "all": 5, "length": 9} for i in range(12)}
    assert paired.compare(a, b, statistic=MENTIONS).p_value >= 2 / 2**4


@pytest.mark.parametrize(("level", "units"), [(0.05, 6), (0.05 / 8, 9), (0.05 / 16, 10), (1.0, 2)])
def test_how_many_units_a_level_needs(level: float, units: int):
    assert paired.units_for(level) == units
    assert 2 / 2**units < level <= 2 / 2 ** (units - 1)


def test_mcnemar_of_one_sided_disagreement_is_the_least_p_value():
    assert [paired.mcnemar(0, count) for count in range(7)] == [paired.least_p_value(count) for count in range(7)]


def test_levels_and_counts_out_of_range_are_refused():
    for level in (0.0, -0.1, 1.5):
        with pytest.raises(ValueError, match="a level is above 0"):
            paired.units_for(level)
    with pytest.raises(ValueError, match="cannot be negative"):
        paired.least_p_value(-1)
