"""TextVQA: leave-one-out accuracy, the normaliser, and its agreement with the one in lmms-eval."""

from __future__ import annotations

import copy
import importlib.util
import statistics
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hallu_tasks.scoring import paired, textvqa


def ten(said: str, times: int) -> list[str]:
    """Ten answers of which this many are `said`."""
    return [said] * times + [f"other {i}" for i in range(10 - times)]


@pytest.mark.parametrize(
    ("matches", "expected"),
    [(0, 0.0), (1, 30.0), (2, 60.0), (3, 90.0), (4, 100.0), (5, 100.0), (7, 100.0), (10, 100.0)],
)
def test_accuracy_by_matches_of_ten(matches, expected):
    assert textvqa.accuracy("stop", ten("stop", matches)) == expected
    assert textvqa.record("stop", ten("stop", matches)) == {"questions": 1, "tenths": round(expected / 10), "empty": 0}


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("STOP", "stop"),
        ("1,000", "1000"),
        ("really?", "really"),
        ("dog's", "dog 's"),
        ("rock-n-roll", "rock n roll"),
        ("rock -n-roll", "rock nroll"),
        ("a/b", "b"),
        ("7up!", "7up"),
        ("u.s.a.", "usa"),
        ("3.5", "3.5"),
        ("5.", "5"),
        ("v.8", "v.8"),
        ("none", "0"),
        ("zero", "0"),
        ("ten", "10"),
        ("eleven", "eleven"),
        ("the one and an apple", "1 and apple"),
        ("dont", "don't"),
        ("don't", "don't"),
        ("couldnt've", "couldn't've"),
        ("oclock", "o'clock"),
        ("a\nb\tc", "b c"),
        ("  two   words ", "2 words"),
        ("the", ""),
        ("", ""),
    ],
)
def test_normalize(answer, expected):
    assert textvqa.normalize(answer) == expected


@pytest.mark.parametrize("number", range(11))
def test_number_words_match_digits(number):
    word = "zero one two three four five six seven eight nine ten".split()[number]
    assert textvqa.accuracy(word.capitalize(), [str(number)] * 10) == 100.0


def test_both_sides_are_normalised():
    assert textvqa.accuracy("The Coca-Cola!", ["coca cola"] * 4 + ["pepsi"] * 6) == 100.0
    assert textvqa.accuracy("pepsi", ["Pepsi."] * 2 + ["coke"] * 8) == 60.0


def test_the_answers_are_left_as_they_are():
    answers = ["The STOP!"] * 10
    given_answers = copy.copy(answers)
    textvqa.accuracy("stop", answers)
    assert answers == given_answers


def test_a_prediction_without_text_is_never_right():
    for blank in ("", " ", "\n"):
        assert textvqa.accuracy(blank, ["the"] * 10) == 0.0
        assert textvqa.record(blank, ten("x", 3))["empty"] == 1
    assert textvqa.accuracy("a", ["A"] * 10) == 100.0


def test_score_is_the_mean_over_questions():
    predictions = {1: "stop", 2: "go", 3: "", 4: "two"}
    answers = {4: ten("2", 1), 3: ten("x", 9), 2: ten("go", 4), 1: ten("stop", 2)}
    result = textvqa.score(predictions, answers)
    assert result == {"accuracy": 47.5, "questions_count": 4, "empty_count": 1, "reasons": {}}
    assert textvqa.score(list(predictions.items()), answers) == result
    in_order = list(predictions.values()), [answers[key] for key in predictions]
    assert textvqa.score(*in_order) == result


def test_no_questions_give_none_with_a_reason():
    result = textvqa.score({}, {})
    assert (result["accuracy"], result["questions_count"]) == (None, 0)
    assert result["reasons"] == {"accuracy": "there are no questions"}


def test_records_are_resampled_by_image():
    records = [textvqa.record("stop", ten("stop", matches)) for matches in (0, 1, 2, 3, 4, 5)]
    statistic = textvqa.STATISTICS["accuracy"]
    estimate = paired.estimate(records, statistic=statistic, unit=list("aabbcc"), resamples=20)
    assert estimate.value == pytest.approx(textvqa.aggregate(records)["accuracy"]) == pytest.approx(380 / 6)
    assert estimate.units_count == 3


WORDS = st.sampled_from(["stop", "Stop!", "two", "2", "the stop", "", "can't", "cant"])
QUESTIONS = st.lists(st.tuples(WORDS, st.lists(WORDS, min_size=10, max_size=10)))


@given(QUESTIONS, st.randoms())
def test_order_does_not_matter(questions, random):
    keys = list(range(len(questions)))
    random.shuffle(keys)
    shuffled = {key: questions[key][0] for key in keys}
    answers = {key: random.sample(entry[1], 10) for key, entry in enumerate(questions)}
    first = textvqa.score([said for said, _ in questions], [listed for _, listed in questions])
    assert textvqa.score(shuffled, answers) == first


@given(st.text(st.characters()), st.lists(st.text(st.characters()), min_size=10, max_size=10))
def test_every_text_is_scored_without_an_error(prediction, answers):
    assert textvqa.accuracy(prediction, answers) in (0.0, 30.0, 60.0, 90.0, 100.0)


@given(st.text(st.characters()))
def test_a_normalised_answer_has_single_blanks_and_no_articles(text):
    words = textvqa.normalize(text).split(" ")
    assert not {"a", "an", "the"} & set(words)
    assert words == [""] or all(words)


# lmms-eval


@pytest.fixture(scope="module")
def installed():
    """lmms-eval's processor, loaded from its file: importing its package pulls in torch."""
    (folder,) = importlib.util.find_spec("lmms_eval").submodule_search_locations
    path = Path(folder, "tasks", "_task_utils", "vqa_eval_metric.py")
    spec = importlib.util.spec_from_file_location("installed_vqa_eval_metric", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.EvalAIAnswerProcessor()


def test_contractions_agree_with_lmms_eval(installed):
    for word in {*installed.CONTRACTIONS, *installed.CONTRACTIONS.values(), *textvqa._RESTORED, *textvqa._CONTRACTED}:
        for text in (word, word.upper(), f"the {word} of it"):
            assert textvqa.normalize(text) == installed(text), text
    assert {key for key in installed.CONTRACTIONS if key.islower()} - set(textvqa._RESTORED) == {"let's", "she's"}


def test_marks_agree_with_lmms_eval(installed):
    for mark in [*installed.PUNCTUATIONS, ".", "'", ":", "&", "$", "%", "#", "*", "~", "^", "|"]:
        for text in (
            mark,
            f"a1{mark}b2",
            f"x {mark}y{mark}z",
            f"x{mark} y{mark}z",
            f"3{mark}5",
            f"{mark}5",
            f"9{mark}",
        ):
            assert textvqa.normalize(text) == installed(text), text


PIECES = st.lists(
    st.sampled_from(
        [*" \n\t.,?!-/'\"();:&", "the", "a", "two", "none", "dont", "can't", "3.5", "1,000", "'s", "Ünï", "x"]
    ),
    max_size=14,
)


@given(text=st.one_of(PIECES.map("".join), st.text(max_size=30)))
def test_every_answer_agrees_with_lmms_eval(installed, text):
    assert textvqa.normalize(text) == installed(text)


@given(said=WORDS.filter(bool), answers=st.lists(WORDS, min_size=10, max_size=10))
def test_accuracy_agrees_with_the_definition(installed, said, answers):
    normal = [installed(answer) for answer in answers]
    left_out = [min(1, (normal[:i] + normal[i + 1 :]).count(installed(said)) / 3) for i in range(10)]
    assert textvqa.accuracy(said, answers) == pytest.approx(100 * statistics.mean(left_out))


# Errors


@pytest.mark.parametrize(
    ("predictions", "answers", "message"),
    [
        ({1: "x", 2: "y"}, {1: ten("x", 1), 3: ten("x", 1)}, "only in predictions: 2; only in answers: 3"),
        ({10**30: "x"}, {1: ten("x", 1)}, f"only in predictions: {10**30}"),
        (["x"], [ten("x", 1)] * 2, "1 predictions do not match 2 answers"),
        ([(1, "x"), (1, "y")], {1: ten("x", 1)}, "predictions hold a key more than once: 1"),
        ({0: "x"}, [ten("x", 1)], "must both have keys or both be plain sequences"),
        ({7: "x"}, {7: ["x"] * 9}, "question 7: a TextVQA question has 10 answers, got 9; use the validation split"),
        ({7: "x"}, {7: []}, "question 7: .* got 0"),
    ],
)
def test_errors_name_the_question(predictions, answers, message):
    with pytest.raises(ValueError, match=message):
        textvqa.score(predictions, answers)


@pytest.mark.parametrize(
    ("prediction", "answers", "message"),
    [
        (None, ten("x", 1), "an answer must be text, got None"),
        ("x", [*ten("x", 1)[:9], 5], "an answer must be text, got 5"),
        ("x", "0123456789", "answers must be a list of 10 texts, got '0123456789'"),
        ("x", None, "answers must be a list of 10 texts, got None"),
    ],
)
def test_what_is_no_text_is_named(prediction, answers, message):
    with pytest.raises(TypeError, match=message):
        textvqa.accuracy(prediction, answers)
    with pytest.raises(TypeError, match=f"question 3: {message}"):
        textvqa.score({3: prediction}, {3: answers})


def test_the_scorer_imports_no_heavy_package():
    code = (
        "import sys\n"
        "from hallu_tasks.scoring import textvqa\n"
        "textvqa.accuracy('x', ['x'] * 10)\n"
        "heavy = {'torch', 'transformers', 'lmms_eval', 'hallu_models', 'nltk', 'spacy', 'scipy'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
