"""OPOPE: captions as answers to POPE's questions, F_beta by hand, and words instead of letters."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hallu_tasks.scoring import chair, opope, paired, pope, vocabulary


def question(name: str, label: str, image: str = "1.jpg") -> dict[str, str]:
    article = "an" if name[0] in "aeiou" else "a"
    return {"question_id": 1, "image": image, "text": f"Is there {article} {name} in the image?", "label": label}


# Questions


def test_every_category_can_be_asked_for():
    categories = vocabulary.coco().categories
    assert len(categories) == 80
    for name in categories:
        assert opope.asked(question(name, "yes")["text"]) == opope.asked(name) == name


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Is there a dining table in the imange?", "dining table"),
        ("is there an apple in the image", "apple"),
        (" Is  there a hot dog in the image ?", "hot dog"),
        ("Snowboard", "snowboard"),
    ],
)
def test_spellings_of_a_question(text, expected):
    assert opope.asked(text) == expected


@pytest.mark.parametrize("text", ["Is there a puppy in the image?", "Is there a lamp in the image?", "", "What is it?"])
def test_a_question_about_anything_else_is_named(text):
    with pytest.raises(ValueError, match="does not ask for a COCO category; allowed are POPE's questions") as error:
        opope.asked(text)
    assert repr(text) in str(error.value)


@given(st.text(st.characters()).filter(lambda text: text.strip().lower() not in vocabulary.coco().categories))
def test_every_other_text_is_a_named_error(text):
    with pytest.raises(ValueError, match="does not ask for a COCO category"):
        opope.asked(text)


# Answers


@pytest.mark.parametrize(
    ("caption", "name", "says_yes"),
    [
        ("A black cat sleeps.", "cat", 1),
        ("Two kittens and puppies.", "cat", 1),
        ("The house is located in the city.", "cat", 0),
        ("A cattle truck.", "cat", 0),
        ("Scattered carpets", "car", 0),
        ("A hot dog on a bun.", "dog", 0),
        ("A hot dog on a bun.", "hot dog", 1),
        ("A man and his dog.", "person", 1),
        ("", "person", 0),
    ],
)
def test_a_caption_says_yes_when_it_mentions_the_object(caption, name, says_yes):
    entry = opope.record(caption, question(name, "yes")["text"], "yes")
    assert (entry["predicted_yes"], entry["true_positive"]) == (says_yes, says_yes)
    assert opope.record(caption, name, "no")["false_positive"] == says_yes


def test_the_matcher_is_that_of_chair_and_its_mode():
    for mode, says_yes in (("reference", 0), ("fixed", 1)):
        entry = opope.record("A bus.", "bus", "yes", mode)
        assert (entry["predicted_yes"], entry["mode"]) == (says_yes, mode)


def test_no_letters_of_another_word_are_an_object():
    plain = {"caption": "The located scattered cattle education vacation catalogue is delicate."}
    questions = [question("cat", "no", "caption")]
    assert opope.score(plain, questions)["false_positive_count"] == 0


# Scores

CAPTIONS = {"1.jpg": "A dog chases a cat near a bench.", "2.jpg": "A man on a bench.", "3.jpg": "Unused."}
QUESTIONS = [
    question("dog", "yes"),
    question("person", "yes"),
    question("cat", "no"),
    question("car", "no"),
    question("bench", "yes", "2.jpg"),
    question("dog", "no", "2.jpg"),
]


def test_scores_by_hand():
    result = opope.score(CAPTIONS, QUESTIONS)
    assert result["accuracy"] == pytest.approx(400 / 6)
    assert result["precision"] == result["recall"] == pytest.approx(200 / 3)
    assert result["f_beta"] == pytest.approx(200 / 3)
    assert result["yes_ratio"] == 50.0
    confusion = ("true_positive", "false_positive", "false_negative", "true_negative", "questions")
    assert [result[f"{name}_count"] for name in confusion] == [2, 1, 1, 2, 6]
    assert (result["beta"], result["mode"], result["reasons"]) == (0.2, "reference", {})
    assert opope.score(list(CAPTIONS.items()), QUESTIONS) == result


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1))
def test_f_beta_is_the_weighted_harmonic_mean(pairs):
    records = [opope.record("a dog" if says else "", "dog", "yes" if label else "no") for says, label in pairs]
    result = opope.aggregate(records)
    precision, recall = result["precision"], result["recall"]
    if precision and recall:
        weight = opope.BETA**2
        assert result["f_beta"] == pytest.approx((1 + weight) * precision * recall / (weight * precision + recall))
    elif precision is not None or recall is not None:
        assert result["f_beta"] == 0.0
    else:
        assert result["f_beta"] is None
    assert {name for name, value in result.items() if value is None} == set(result["reasons"])


def test_precision_leads():
    precise = opope.aggregate([opope.record("a dog", "dog", "yes")] + [opope.record("", "dog", "yes")] * 3)
    broad = opope.aggregate([opope.record("a dog", "dog", "yes")] + [opope.record("a dog", "dog", "no")] * 3)
    assert (precise["precision"], precise["recall"]) == (broad["recall"], broad["precision"]) == (100.0, 25.0)
    assert precise["f_beta"] == pytest.approx(2600 / 29)
    assert broad["f_beta"] == pytest.approx(2600 / 101)


def test_the_scores_are_those_of_pope_with_the_mentions_as_answers():
    answers = [
        "Yes" if opope.asked(entry["text"]) in chair.objects(CAPTIONS[entry["image"]]) else "No" for entry in QUESTIONS
    ]
    expected = pope.score(answers, [entry["label"] for entry in QUESTIONS])
    result = opope.score(CAPTIONS, QUESTIONS)
    for name in ("accuracy", "precision", "recall", "yes_ratio", "true_negative_count"):
        assert result[name] == expected[name]


def test_an_empty_caption_answers_no():
    result = opope.score({"1.jpg": ""}, QUESTIONS[:4])
    assert (result["accuracy"], result["recall"], result["f_beta"], result["precision"]) == (50.0, 0.0, 0.0, None)
    assert result["reasons"] == {"precision": "no caption mentions an object that is asked for"}


def test_no_questions_give_none_with_reasons():
    result = opope.score(CAPTIONS, [], "fixed")
    assert {name for name, value in result.items() if value is None} == set(opope.STATISTICS) == set(result["reasons"])
    assert result["mode"] == "fixed"


@given(st.lists(st.sampled_from(range(len(QUESTIONS))), unique=True), st.randoms())
def test_order_does_not_matter(chosen, random):
    first = opope.score(CAPTIONS, [QUESTIONS[i] for i in sorted(chosen)])
    images = list(CAPTIONS.items())
    random.shuffle(images)
    assert opope.score(dict(images), [QUESTIONS[i] for i in chosen]) == first


@given(st.text(st.characters()))
def test_every_text_is_a_caption(caption):
    assert opope.record(caption, "dog", "no")["questions"] == 1


def test_strategies_and_their_mean():
    result = opope.score_by_strategy(CAPTIONS, {"random": QUESTIONS[:2], "popular": QUESTIONS[:1]})
    assert list(result["strategies"]) == ["popular", "random"]
    assert result["strategies"]["popular"]["f_beta"] == 100.0
    assert result["strategies"]["random"] == opope.score(CAPTIONS, QUESTIONS[:2])
    assert result["f_beta_mean_of_strategies"] == pytest.approx((100 + 2600 / 27) / 2)
    assert result["f_beta_pooled"] == result["pooled"]["f_beta"] == pytest.approx(5200 / 53)
    assert (result["beta"], result["mode"], result["reasons"]) == (0.2, "reference", {})


def test_an_undefined_strategy_leaves_the_mean_undefined_with_a_reason():
    silent = [question("car", "no")]
    result = opope.score_by_strategy(CAPTIONS, {"random": silent, "popular": QUESTIONS})
    assert result["f_beta_mean_of_strategies"] is None
    assert result["reasons"] == {"f_beta_mean_of_strategies": "no F_beta for random"}
    nothing = opope.score_by_strategy(CAPTIONS, {})
    assert nothing["reasons"].keys() == {"f_beta_mean_of_strategies", "f_beta_pooled"}


def test_records_are_resampled_by_image():
    records = [opope.record(CAPTIONS[entry["image"]], entry["text"], entry["label"]) for entry in QUESTIONS]
    printed = opope.score(CAPTIONS, QUESTIONS)
    for name, statistic in opope.STATISTICS.items():
        unit = [entry["image"] for entry in QUESTIONS]
        estimate = paired.estimate(records, statistic=statistic, unit=unit, resamples=20)
        assert estimate.value == pytest.approx(printed[name])
        assert estimate.units_count == 2


# Errors


@pytest.mark.parametrize(
    ("captions", "questions", "message"),
    [
        ({}, QUESTIONS, "images without a caption: '1.jpg', '2.jpg'; caption every image"),
        ({10**30: "a dog"}, QUESTIONS[:1], "images without a caption: '1.jpg'"),
        ([("1.jpg", "a"), ("1.jpg", "b")], QUESTIONS[:1], "captions hold a key more than once: '1.jpg'"),
        (["a dog"], QUESTIONS[:1], "captions must have images"),
        (CAPTIONS, QUESTIONS[:1] * 2, r"occur twice \(image, category\): \('1.jpg', 'dog'\); .*score_by_strategy"),
        (CAPTIONS, [{"image": "1.jpg", "text": "dog"}], "question 0 has no label"),
        (CAPTIONS, [question("dog", "maybe")], r"image '1.jpg', 'Is there a dog .*: unknown label 'maybe'"),
        (CAPTIONS, [question("lamp", "no")], "'Is there a lamp in the image\\?' does not ask"),
    ],
)
def test_errors_name_the_entry(captions, questions, message):
    with pytest.raises(ValueError, match=message):
        opope.score(captions, questions)


def test_what_is_no_text_is_named():
    with pytest.raises(TypeError, match=r"image '1.jpg', .*: a caption must be text, got None"):
        opope.score({"1.jpg": None}, QUESTIONS[:1])
    with pytest.raises(TypeError, match="a question must be text, got 5"):
        opope.record("a dog", 5, "yes")


def test_unknown_mode_names_the_allowed_ones():
    for call in (opope.score, opope.score_by_strategy):
        with pytest.raises(ValueError, match="'opera'; allowed: reference, fixed, nltk"):
            call({}, {}, "opera")


def test_records_of_different_modes_do_not_add():
    with pytest.raises(ValueError, match="fixed, reference"):
        opope.aggregate(opope.record("a bus", "bus", "yes", mode) for mode in ("reference", "fixed"))


def test_the_scorer_imports_no_heavy_package():
    code = (
        "import sys\n"
        "from hallu_tasks.scoring import opope\n"
        "opope.record('a dog', 'dog', 'yes')\n"
        "heavy = {'torch', 'transformers', 'lmms_eval', 'hallu_models', 'nltk', 'spacy', 'scipy'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
