"""POPE: scores by hand, unparsed answers, matching by key, and the two headline numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hallu_tasks.scoring import pope, yesno


def test_scores_by_hand():
    answers = ["Yes", "Yes, a dog.", "No", "No.", "No", "Yes"]
    labels = ["yes", "no", "yes", "no", "no", "yes"]
    result = pope.score(answers, labels)
    assert result["accuracy"] == pytest.approx(400 / 6)
    assert result["precision"] == pytest.approx(200 / 3)
    assert result["recall"] == pytest.approx(200 / 3)
    assert result["f1"] == pytest.approx(200 / 3)
    assert result["yes_ratio"] == 50.0
    confusion = ("true_positive", "false_positive", "false_negative", "true_negative")
    assert [result[f"{name}_count"] for name in confusion] == [2, 1, 1, 2]
    assert (result["questions_count"], result["unparsed_count"]) == (6, 0)
    assert result["policy"] == "official"
    assert result["reasons"] == {}


def test_verbose_misses_stay_in_the_denominator_of_recall():
    answers = ["Yes"] + ["I cannot see one here"] * 9 + ["No"] * 10
    labels = ["yes"] * 10 + ["no"] * 10
    result = pope.score(answers, labels, "strict")
    assert result["accuracy"] == 55.0
    assert result["recall"] == 10.0
    assert result["precision"] == 100.0
    assert result["f1"] == pytest.approx(200 / 11)
    assert result["unparsed_count"] == 9
    assert result["false_negative_count"] == 9


def test_an_unparsed_answer_is_wrong_and_counts_as_no():
    result = pope.score(["hm", "hm"], ["yes", "no"], "words")
    assert (result["accuracy"], result["recall"], result["yes_ratio"]) == (0.0, 0.0, 0.0)
    assert (result["true_negative_count"], result["false_negative_count"]) == (0, 1)
    assert result["unparsed_count"] == 2


def test_a_period_is_no_mistake_unless_the_policy_says_so():
    answers, labels = ["Yes.", "No."], ["yes", "no"]
    found = {policy: pope.score(answers, labels, policy)["accuracy"] for policy in yesno.POLICIES}
    assert found == {**dict.fromkeys(yesno.POLICIES, 100.0), "strict": 0.0}


def test_yes_ratio_is_of_the_answers():
    assert pope.score(["Yes"] * 4, ["yes", "no", "yes", "no"])["yes_ratio"] == 100.0


def test_always_no_has_no_precision_but_an_f1_of_zero():
    result = pope.score(["No", "No"], ["yes", "no"])
    assert result["precision"] is None
    assert (result["recall"], result["f1"]) == (0.0, 0.0)
    assert result["reasons"] == {"precision": "no answer is yes"}


def test_without_a_positive_label_recall_has_a_reason():
    result = pope.score(["No"], ["no"])
    assert {name for name, value in result.items() if value is None} == {"precision", "recall", "f1"}
    assert result["reasons"].keys() == {"precision", "recall", "f1"}


def test_no_questions_give_none_with_reasons():
    result = pope.score({}, {}, "words")
    assert {name for name, value in result.items() if value is None} == set(pope.STATISTICS)
    assert result["reasons"].keys() == set(pope.STATISTICS)
    assert result["policy"] == "words"


def test_keys_match_whatever_the_order():
    answers = {("random", 1): "Yes", ("random", 2): "No", ("popular", 1): "No"}
    labels = {("popular", 1): "no", ("random", 2): "no", ("random", 1): "yes"}
    assert pope.score(answers, labels)["accuracy"] == 100.0
    assert pope.score(list(answers.items()), labels)["accuracy"] == 100.0


def test_answers_of_the_old_files_are_not_matched_by_position():
    labels = [("yes", "no")[i % 2] for i in range(3000)]
    with pytest.raises(ValueError, match=r"2910 answers do not match 3000 labels; .*never by position"):
        pope.score(labels[:2910], labels)
    keyed = {pope.question_key("random", i, f"Is there a thing {i} in the image?"): y for i, y in enumerate(labels)}
    old = {pope.question_key("random", i, f"Is there a thing {i + 90} in the image?"): "Yes" for i in range(2910)}
    with pytest.raises(ValueError, match=r"only in answers: .*; only in labels: "):
        pope.score(old, keyed)


def test_the_known_typo_does_not_hide_a_question():
    right = pope.question_key("random", 7, "Is there a cat in the image?")
    assert pope.question_key("random", "7", "Is there a cat in the imange? ") == right
    assert pope.question_key("popular", 7, "Is there a cat in the image?") != right
    assert pope.question_key("random", 7, "Is there a dog in the image?") != right


@pytest.mark.parametrize(
    ("answers", "labels", "message"),
    [
        ({1: "yes", 2: "no"}, {1: "yes", 3: "no"}, "only in answers: 2; only in labels: 3"),
        (["yes"], ["yes", "no"], "1 answers do not match 2 labels"),
        ([(1, "yes"), (1, "no")], {1: "yes"}, "answers hold a key more than once: 1"),
        ([(1, "yes")], [(1, "yes"), (1, "yes")], "labels hold a key more than once: 1"),
        ({1: "yes"}, {1: "maybe"}, r"neither yes nor no: \(1, 'maybe'\)"),
        ({0: "yes"}, ["yes"], "must both have keys"),
    ],
)
def test_errors_name_the_entry(answers, labels, message):
    with pytest.raises(ValueError, match=message):
        pope.score(answers, labels)


def test_unknown_policy_is_named_even_without_answers():
    with pytest.raises(ValueError, match="'exact'; allowed: official"):
        pope.score({}, {}, "exact")


def test_records_of_different_policies_do_not_add():
    with pytest.raises(ValueError, match="official, words"):
        pope.aggregate([pope.record("yes", "yes"), pope.record("yes", "yes", "words")])


PAIRS = st.lists(st.tuples(st.sampled_from(["Yes", "No", "hm", "NO."]), st.sampled_from(["yes", "no"])))


@given(PAIRS, st.sampled_from(yesno.POLICIES), st.randoms())
def test_order_does_not_matter(pairs, policy, random):
    shuffled = list(pairs)
    random.shuffle(shuffled)
    first = pope.score([a for a, _ in pairs], [y for _, y in pairs], policy)
    assert pope.score([a for a, _ in shuffled], [y for _, y in shuffled], policy) == first


@given(PAIRS, st.sampled_from(yesno.POLICIES))
def test_every_question_is_counted_once(pairs, policy):
    result = pope.score([a for a, _ in pairs], [y for _, y in pairs], policy)
    parsed_or_missed = sum(
        result[f"{name}_count"] for name in ("true_positive", "false_positive", "false_negative", "true_negative")
    )
    unread_negatives = sum(yesno.parse(a, policy) is None and y == "no" for a, y in pairs)
    assert parsed_or_missed + unread_negatives == result["questions_count"] == len(pairs)
    assert pope.aggregate(pope.record(a, y, policy) for a, y in pairs) | {"policy": policy} == result


def test_mean_of_strategies_and_pooled_f1_are_both_named():
    rows = {
        ("random", 1): ("Yes", "yes"),
        ("random", 2): ("No", "no"),
        ("adversarial", 1): ("Yes", "yes"),
        ("adversarial", 2): ("Yes", "no"),
        ("adversarial", 3): ("Yes", "no"),
    }
    result = pope.score_by_strategy({k: a for k, (a, _) in rows.items()}, {k: y for k, (_, y) in rows.items()})
    assert list(result["strategies"]) == ["adversarial", "random"]
    assert result["strategies"]["random"]["f1"] == 100.0
    assert result["strategies"]["adversarial"]["f1"] == 50.0
    assert result["f1_mean_of_strategies"] == 75.0
    assert result["f1_pooled"] == result["pooled"]["f1"] == pytest.approx(200 * 2 / 6)
    assert result["reasons"] == {}
    assert result["policy"] == "official"


def test_an_undefined_strategy_leaves_the_mean_undefined_with_a_reason():
    answers = {("random", 1): "No", ("popular", 1): "Yes"}
    result = pope.score_by_strategy(answers, {("random", 1): "no", ("popular", 1): "yes"})
    assert result["f1_mean_of_strategies"] is None
    assert result["reasons"] == {"f1_mean_of_strategies": "no F1 for random"}
    assert result["f1_pooled"] == 100.0
    assert pope.score_by_strategy({}, {})["reasons"].keys() == {"f1_mean_of_strategies", "f1_pooled"}


def test_keys_without_a_strategy_are_named():
    with pytest.raises(ValueError, match="key 1 does not begin with a strategy"):
        pope.score_by_strategy({1: "Yes"}, {1: "yes"})


@pytest.mark.parametrize("answer", ["perhaps", "NO", ""])
def test_answers_that_say_nothing_are_counted(answer):
    result = pope.score([answer] * 3000, ["yes", "no"] * 1500)
    assert (round(result["f1"], 1), result["yes_ratio"], result["unparsed_count"]) == (66.7, 100.0, 0)
    assert result["by_default_count"] == 3000
    assert pope.score(["Yes", "No."] * 1500, ["yes", "no"] * 1500)["by_default_count"] == 0
