"""MME: points by hand, totals that are never partial, and questions that lost their partner."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hallu_tasks.scoring import mme


def pair(image: str, yes: str, no: str, category: str = "existence") -> list[dict[str, str]]:
    """Return the two questions of an image with the predictions for the yes and the no question."""
    return [
        {"image": image, "category": category, "question": "Is it?", "answer": "Yes", "prediction": yes},
        {"image": image, "category": category, "question": "Is it not?", "answer": "No", "prediction": no},
    ]


def everything(yes: str, no: str, categories=mme.SUBTASKS) -> list[dict[str, str]]:
    return [row for name in categories for i in range(3) for row in pair(f"{i}.jpg", yes, no, name)]


@pytest.mark.parametrize(
    ("records", "points"),
    [
        (pair("a", "Yes", "No"), 200.0),
        (pair("a", "Yes", "Yes"), 50.0),
        (pair("a", "Yes", "No") + pair("b", "Yes", "Yes"), 125.0),
        (pair("a", "No", "Yes"), 0.0),
        (pair("a", "Yes.", "No, it is not."), 200.0),
        (pair("a", "maybe", "NO"), 50.0),
    ],
)
def test_points_of_a_subtask(records, points):
    assert mme.score(records)["subtasks"]["existence"]["score"] == points


def test_parts_of_a_subtask():
    existence = mme.score(pair("a", "Yes", "No") + pair("b", "Yes", "It may"))["subtasks"]["existence"]
    assert existence == {
        "score": 125.0,
        "accuracy": 75.0,
        "accuracy_plus": 50.0,
        "questions_count": 4,
        "images_count": 2,
        "unparsed_count": 1,
        "reasons": {},
    }


@pytest.mark.parametrize(
    ("yes", "no", "perception", "cognition", "hallucination"),
    [("Yes", "No", 2000.0, 800.0, 800.0), ("Yes", "Yes", 500.0, 200.0, 200.0), ("hm", "hm", 0.0, 0.0, 0.0)],
)
def test_totals(yes, no, perception, cognition, hallucination):
    result = mme.score(everything(yes, no))
    assert (result["perception"], result["cognition"]) == (perception, cognition)
    assert result["hallucination"] == hallucination
    assert result["subtasks_present"] == list(mme.SUBTASKS)
    assert (result["questions_count"], result["images_count"]) == (84, 42)
    assert result["unparsed_count"] == (84 if yes == "hm" else 0)
    assert result["policy"] == "prefix"
    assert result["reasons"] == {}


def test_there_are_ten_perception_and_four_cognition_subtasks():
    assert [len(mme.TOTALS[name]) for name in ("perception", "cognition", "hallucination")] == [10, 4, 4]
    assert set(mme.TOTALS["hallucination"]) < set(mme.TOTALS["perception"])


def test_a_partial_sum_never_passes_for_a_total():
    result = mme.score(everything("Yes", "No", ("existence", "count", "position", "color", "OCR")))
    assert result["hallucination"] == 800.0
    assert result["perception"] is None
    assert result["cognition"] is None
    assert result["reasons"]["perception"].endswith("posters, celebrity, scene, landmark, artwork")
    assert result["reasons"].keys() == {"perception", "cognition"}
    assert result["subtasks_present"] == ["existence", "count", "position", "color", "OCR"]
    assert result["subtasks"]["scene"]["score"] is None
    assert result["subtasks"]["scene"]["reasons"].keys() == {"score", "accuracy", "accuracy_plus"}


def test_no_records_give_none_with_reasons():
    result = mme.score([])
    assert result["subtasks_present"] == []
    assert {name for name, value in result.items() if value is None} == set(mme.TOTALS) == set(result["reasons"])


def test_images_of_the_same_name_in_two_subtasks_are_two_images():
    result = mme.score(pair("0001.png", "Yes", "No", "OCR") + pair("0001.png", "Yes", "Yes", "scene"))
    assert result["subtasks"]["OCR"]["score"] == 200.0
    assert result["subtasks"]["scene"]["score"] == 50.0


def test_a_question_without_its_partner_is_named():
    records = pair("a", "Yes", "No") + pair("b", "Yes", "No")[:1]
    for check in (mme.score, mme.check_pairs, mme.pairs):
        with pytest.raises(ValueError, match=r"without their partner .*\('existence', 'b', 'Is it\?'\)"):
            check(records)


def test_pairs_are_checked_before_there_are_predictions():
    mme.check_pairs([{"image": "a", "category": "count"}, {"image": "a", "category": "count"}])


@pytest.mark.parametrize(
    ("records", "message"),
    [
        (
            pair("a", "Yes", "No") + pair("a", "Yes", "No")[:1],
            r"more than two questions .*\('existence', 'a', 3\)",
        ),
        (pair("a", "Yes", "No")[:1] * 2, r"occur twice .*\('existence', 'a', 'Is it\?'\)"),
        (pair("a", "Yes", "No", "ocr"), "unknown MME subtask 'ocr'; allowed: existence, .*, OCR, "),
        ([{"image": "a"}], "MME record 0 has no category"),
        ([{"category": "count", "image": "a", "answer": "yes"}] * 2, r"\('count', 'a'\) has no prediction"),
        (
            [row | {"answer": "1"} for row in pair("a", "Yes", "No")],
            r"\('existence', 'a'\): unknown label '1'",
        ),
    ],
)
def test_errors_name_the_record(records, message):
    with pytest.raises(ValueError, match=message):
        mme.score(records)


def test_a_prediction_that_is_no_text_is_named():
    with pytest.raises(TypeError, match=r"\('existence', 'a'\): an answer must be text, got None"):
        mme.score(pair("a", None, "No"))


ANSWERS = st.sampled_from(["Yes", "No", "hm"])


@given(st.lists(st.tuples(ANSWERS, ANSWERS, st.sampled_from(["count", "OCR"]))), st.randoms())
def test_order_does_not_matter(images, random):
    records = [row for i, (yes, no, name) in enumerate(images) for row in pair(f"{i}", yes, no, name)]
    shuffled = list(records)
    random.shuffle(shuffled)
    assert mme.score(shuffled) == mme.score(records)


def test_statistic_is_the_score_of_summed_pairs():
    records = everything("Yes", "Yes") + pair("x", "Yes", "No") + pair("y", "hm", "No", "OCR")
    pairs = mme.pairs(records).values()
    sums = {name: np.array([sum(row[name] for row in pairs)]) for name in next(iter(pairs))}
    result = mme.score(records)
    for name in mme.TOTALS:
        assert mme.statistic(name)(sums) == pytest.approx([result[name]])
    assert mme.statistic("OCR")(sums) == pytest.approx([result["subtasks"]["OCR"]["score"]])


def test_unknown_statistic_names_the_allowed_ones():
    with pytest.raises(ValueError, match="'total'; allowed: perception, cognition, hallucination, existence"):
        mme.statistic("total")


def test_the_task_leaves_out_a_question_whose_partner_a_limit_cut_off():
    from hallu_tasks.mme import task

    doc = {"image_id": 1, "category": "existence", "answer": "Yes"}
    records = [
        task.process_results({**doc, "image_id": image, "question": f"{image} {number}"}, ["Yes"])["existence"]
        for image, number in ((1, 1), (1, 2), (2, 1))
    ]
    with pytest.warns(UserWarning, match="1 question"):
        assert task.existence(records) == 200
