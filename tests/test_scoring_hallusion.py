"""HallusionBench: questions, figures and groups by hand, the splits kept apart, and named errors."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hallu_tasks.scoring import hallusion, paired, yesno


def row(figure: int, number: int, truth: str, prediction: str, visual: str = "1", **other) -> dict:
    return {
        "category": "VD",
        "subcategory": "illusion",
        "visual_input": visual,
        "set_id": "0",
        "figure_id": str(figure),
        "sample_note": "circle",
        "question_id": str(number),
        "question": "Is the left circle larger?",
        "gt_answer_details": "",
        "gt_answer": truth,
        "filename": "./hallusion_bench/VD/illusion/0_0.png",
        "prediction": prediction,
        **other,
    }


# Two figures of a set with two questions each, and a chart asked without and with its figure.
ROWS = [
    row(0, 0, "1", "Yes."),
    row(0, 1, "0", "No, it is not."),
    row(1, 0, "0", "Yes", "2"),
    row(1, 1, "0", "no", "2"),
    row(0, 0, "1", "yes", "0", category="VS", subcategory="chart", filename=None),
    row(1, 0, "1", "Yes", "1", category="VS", subcategory="chart"),
    row(2, 0, "0", "I cannot tell", "2", category="VS", subcategory="chart"),
]
IMAGE = [entry for entry in ROWS if entry["visual_input"] != "0"]


def test_scores_by_hand():
    result = hallusion.score(ROWS, "all")
    assert result["aAcc"] == pytest.approx(500 / 7)
    assert result["fAcc"] == 50.0
    assert result["qAcc"] == pytest.approx(100 / 3)
    assert result["easy_aAcc"] == 100.0
    assert result["hard_aAcc"] == pytest.approx(100 / 3)
    counts = ("questions", "figures", "groups", "easy", "hard", "unparsed")
    assert [result[f"{name}_count"] for name in counts] == [7, 4, 3, 4, 3, 1]
    assert (result["split"], result["split_questions_count"], result["policy"]) == ("all", 1129, "words")
    assert result["reasons"] == {}


def test_the_questions_with_an_image_are_another_task():
    result = hallusion.score(IMAGE, "image")
    assert (result["split"], result["split_questions_count"]) == ("image", 951)
    assert result["aAcc"] == pytest.approx(400 / 6)
    assert (result["fAcc"], result["questions_count"]) == (50.0, 6)
    assert hallusion.SPLITS["image"] + hallusion.SPLITS["non_image"] == hallusion.SPLITS["all"] == 1129
    assert hallusion.SPLITS["non_image"] == 178


def test_questions_without_an_image_belong_to_no_figure():
    result = hallusion.score([ROWS[4]], "non_image")
    assert (result["aAcc"], result["qAcc"], result["easy_aAcc"]) == (100.0, 100.0, 100.0)
    assert (result["fAcc"], result["hard_aAcc"]) == (None, None)
    assert result["reasons"] == {"fAcc": "no question has a figure", "hard_aAcc": "no question is hard"}


def test_the_questions_of_one_split_do_not_pass_for_another():
    with pytest.raises(ValueError, match=r"\('VS', 'chart', '0', '0', '0'\) has no image .* split 'image'; leave it"):
        hallusion.score(ROWS, "image")
    with pytest.raises(ValueError, match="has an image and is not in split 'non_image'"):
        hallusion.score(ROWS, "non_image")
    whole = [row(figure, 0, "1", "Yes", set_id=str(figure)) for figure in range(951)]
    with pytest.raises(ValueError, match="these are the 951 questions with an image; score them as split 'image'"):
        hallusion.score(whole, "all")
    assert hallusion.score(whole, "image")["aAcc"] == 100.0


def test_one_wrong_answer_costs_its_figure_and_its_group():
    perfect = [row(figure, number, "1", "Yes") for figure in range(2) for number in range(2)]
    assert [hallusion.score(perfect, "image")[name] for name in ("aAcc", "fAcc", "qAcc")] == [100.0, 100.0, 100.0]
    wrong = [*perfect[:3], row(1, 1, "1", "No")]
    assert [hallusion.score(wrong, "image")[name] for name in ("aAcc", "fAcc", "qAcc")] == [75.0, 50.0, 50.0]


def test_equal_ids_in_other_sets_are_other_figures_and_groups():
    rows = [
        row(0, 0, "1", "Yes", set_id="0"),
        row(0, 0, "1", "No", set_id="1"),
        row(0, 0, "1", "No", subcategory="map"),
    ]
    result = hallusion.score(rows, "image")
    assert (result["figures_count"], result["groups_count"]) == (3, 3)
    assert result["fAcc"] == result["qAcc"] == pytest.approx(100 / 3)


def test_ids_may_be_numbers():
    numbered = [{**entry, "set_id": 0, "gt_answer": int(entry["gt_answer"])} for entry in ROWS]
    assert hallusion.score(numbered, "all") == hallusion.score(ROWS, "all")


@pytest.mark.parametrize("policy", yesno.POLICIES)
@pytest.mark.parametrize("answer", ["Yes", "No.", "NO", "eyes", "", "No, there isn't."])
def test_the_policy_reads_the_answer_and_is_named(policy, answer):
    entry = hallusion.record(row(0, 0, "0", answer), "image", policy)
    read = yesno.parse(answer, policy)
    assert (entry["correct"], entry["unparsed"]) == (int(read == "no"), int(read is None))
    assert hallusion.score([row(0, 0, "0", answer)], "image", policy)["policy"] == policy


def test_an_unreadable_answer_is_wrong_and_counted():
    result = hallusion.score([row(0, 0, "0", ""), row(0, 1, "0", "no")], "image")
    assert (result["aAcc"], result["fAcc"], result["unparsed_count"]) == (50.0, 0.0, 1)
    unsure = row(0, 0, "0", "I do not know", "0", category="VS")
    assert hallusion.score([unsure], "non_image")["aAcc"] == 0.0


def test_no_questions_give_none_with_reasons():
    result = hallusion.score([], "image", "strict")
    none = {name for name, value in result.items() if value is None}
    assert none == set(hallusion.STATISTICS) == set(result["reasons"])
    assert (result["split"], result["policy"], result["questions_count"]) == ("image", "strict", 0)


QUESTIONS = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(0, 2), st.sampled_from(["0", "1"]), st.booleans()),
    unique_by=lambda entry: entry[:3],
)


def made(entries) -> list[dict]:
    return [
        row(figure, number, truth, {"0": "No", "1": "Yes"}[truth if right else "0"], set_id=str(group))
        for group, figure, number, truth, right in entries
    ]


@given(QUESTIONS, st.randoms())
def test_order_does_not_matter(entries, random):
    rows = made(entries)
    shuffled = list(rows)
    random.shuffle(shuffled)
    assert hallusion.score(shuffled, "image") == hallusion.score(rows, "image")


@given(QUESTIONS.filter(bool))
def test_figures_and_groups_are_never_easier_than_their_questions(entries):
    result = hallusion.score(made(entries), "image")
    assert (result["aAcc"] == 100.0) == (result["fAcc"] == 100.0) == (result["qAcc"] == 100.0)
    assert result["easy_count"] + result["hard_count"] == result["questions_count"] == len(entries)


@given(st.text(st.characters()), st.sampled_from(yesno.POLICIES))
def test_every_answer_is_read_without_an_error(answer, policy):
    entry = hallusion.record(row(0, 0, "0", answer), "image", policy)
    assert entry["correct"] + entry["unparsed"] <= 1


# Intervals


def test_sets_are_the_units_and_sum_to_the_scores():
    records = [hallusion.record(entry, "all") for entry in ROWS]
    units = hallusion.sets(records)
    assert set(units) == {("VD", "illusion", "0"), ("VS", "chart", "0")}
    printed = hallusion.aggregate(records)
    for name, statistic in hallusion.STATISTICS.items():
        estimate = paired.estimate(units, statistic=statistic, resamples=20)
        assert estimate.value == pytest.approx(printed[name])
        assert estimate.units_count == 2


def test_two_runs_compare_only_on_one_split_and_policy():
    a = hallusion.sets([hallusion.record(entry, "image") for entry in IMAGE])
    better = [{**entry, "prediction": "Yes" if entry["gt_answer"] == "1" else "No"} for entry in IMAGE]
    b = hallusion.sets([hallusion.record(entry, "image") for entry in better])
    result = paired.compare(a, b, statistic=hallusion.STATISTICS["aAcc"], resamples=20)
    assert result.difference == pytest.approx(200 / 6)
    other = hallusion.sets([hallusion.record(entry, "all") for entry in IMAGE])
    with pytest.raises(ValueError, match="split 'image' and 'all'"):
        paired.compare(a, other, statistic=hallusion.STATISTICS["aAcc"], resamples=10)


# Errors


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"gt_answer": "2"}, r"\('VD', 'illusion', '0', '0', '0'\): unknown gt_answer '2'; allowed: 0, 1"),
        ({"visual_input": "3"}, "unknown visual_input '3'; allowed: 0, 1, 2"),
        ({"category": "VX"}, "unknown category 'VX'; allowed: VD, VS"),
    ],
)
def test_errors_name_the_question(change, message):
    with pytest.raises(ValueError, match=message):
        hallusion.score([{**ROWS[0], **change}], "all")


@pytest.mark.parametrize("name", ["category", "set_id", "figure_id", "question_id", "visual_input", "gt_answer"])
def test_a_missing_field_is_named(name):
    with pytest.raises(ValueError, match=f"has no {name}: "):
        hallusion.score([{key: value for key, value in ROWS[0].items() if key != name}], "all")


def test_a_question_without_prediction_is_named():
    with pytest.raises(ValueError, match="has no prediction"):
        hallusion.score([{key: value for key, value in ROWS[0].items() if key != "prediction"}], "all")
    with pytest.raises(TypeError, match=r"\('VD', 'illusion', '0', '0', '0'\): an answer must be text, got None"):
        hallusion.score([{**ROWS[0], "prediction": None}], "all")


def test_questions_that_occur_twice_are_named():
    huge = row(10**30, 0, "1", "Yes")
    with pytest.raises(ValueError, match=rf"occur twice .*\('VD', 'illusion', '0', '{10**30}', '0'\); keep one"):
        hallusion.score([huge, ROWS[1], huge], "image")


def test_unknown_names_are_answered_with_the_allowed_ones():
    with pytest.raises(ValueError, match="split 'images'; allowed: all, image, non_image"):
        hallusion.score([], "images")
    with pytest.raises(ValueError, match="'gpt'; allowed: official"):
        hallusion.score([], "all", "gpt")


def test_records_of_different_rules_do_not_add():
    mixed = [hallusion.record(ROWS[0], "image"), hallusion.record(ROWS[1], "all")]
    with pytest.raises(ValueError, match="different split cannot be added: all, image"):
        hallusion.aggregate(mixed)
    mixed = [hallusion.record(ROWS[0], "image"), hallusion.record(ROWS[1], "image", "strict")]
    with pytest.raises(ValueError, match="different policy cannot be added: strict, words"):
        hallusion.aggregate(mixed)


def test_the_scorer_imports_no_heavy_package():
    code = (
        "import sys\n"
        "from hallu_tasks.scoring import hallusion\n"
        "heavy = {'torch', 'transformers', 'lmms_eval', 'hallu_models', 'nltk', 'spacy', 'scipy'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
