"""AMBER: nouns and scores by hand, the always-no baseline, what the official script gets wrong, named errors."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hallu_tasks.scoring import amber, amber_nouns, paired, words

RELATION = {
    "sky": [],
    "grass": ["ground"],
    "ground": ["floor"],
    "person": ["people", "individual", "man", "woman"],
    "dog": [],
    "cat": [],
    "glass": [],
    "bus": [],
    "rack": ["shelf"],
    "ship": ["boat"],
    "strawberry": [],
    "bench": ["chair"],
    "sunglasses": [],
    "ebook": ["e-book", "book"],
    "television": ["TV", "screen"],
    "light": [],
    "watch": [],
    "can": [],
    "hot": [],
}
SAFE = ["light", "individual"]
VOCABULARY = amber.read_vocabulary(RELATION, SAFE)
SCENE = amber.Scene(("dog", "grass", "person"), ("cat", "bench"))
RESPONSE = "A man walks two dogs on the grass near a chair and a cat. The light is soft."


def nouns(response: str, mode: str = "reference") -> list[str]:
    return amber.nouns(response, VOCABULARY, mode)


def record(response: str, scene: amber.Scene = SCENE, **rules: str) -> dict:
    return amber.record_generative(response, scene, VOCABULARY, **rules)


def generative(responses: dict[int, str], scene: amber.Scene = SCENE, **rules: str) -> dict:
    return amber.score_generative(
        responses, amber.Annotations(dict.fromkeys(responses, scene), {}), VOCABULARY, **rules
    )


# Nouns


def test_nouns_are_those_of_the_vocabulary_in_order_with_duplicates():
    assert nouns(RESPONSE) == ["man", "dog", "grass", "chair", "cat", "light"]
    assert nouns("a dog, a zebra, a dog") == ["dog", "dog"]


def test_hallucinated_nouns_are_named_and_found_in_the_response():
    scene = amber.Scene(("dog", "grass"), ())
    response = "Two Dogs, two men, a man's cat and TVs."
    found = record(response, scene)
    assert found["hallucinated_nouns"] == ["TV", "cat", "man"] and found["hallucinated"] == 4
    assert [
        (response[start:end], noun) for start, end, noun in amber.places(response, found["hallucinated_nouns"])
    ] == [
        ("men", "man"),
        ("man", "man"),
        ("cat", "cat"),
        ("TVs", "TV"),
    ]
    assert amber.places(response, []) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("two men and women", ["man", "woman"]),
        ("many people", ["people"]),
        ("glasses, buses and a bus", ["glass", "bus", "bus"]),
        ("strawberries", ["strawberry"]),
        ("sunglasses", ["sunglasses"]),
        ("an e-book", ["e-book"]),
        ("a tv, a TV, two TVs", ["TV", "TV", "TV"]),
        ("the dog's bowl", ["dog"]),
        ("DOGS. Dogs", ["dog", "dog"]),
        ("", []),
        ("catalogue", []),
    ],
)
def test_singulars_and_spellings(text, expected):
    assert nouns(text) == expected


def test_what_an_untagged_text_hears_and_misses():
    assert nouns("He can watch a hot, light wall") == ["watch", "light"]
    assert nouns("two cans") == ["can"]
    assert nouns("the shelf and the shelves") == ["shelf"]


@given(st.text(st.characters()))
def test_every_text_has_nouns(text):
    assert set(nouns(text)) <= VOCABULARY.nouns
    entry = record(text)
    assert 0 <= entry["hallucinated"] <= entry["nouns"]
    assert 0 <= entry["covered"] <= entry["truth"] == 3
    assert 0 <= entry["marked"] <= entry["targets"] == 2


# Generative


def test_one_response_by_hand():
    assert record(RESPONSE) == {
        "responses": 1,
        "responses_answered": 1,
        "responses_hallucinated": 1,
        "responses_without_nouns": 0,
        "nouns": 6,
        "hallucinated": 2,
        "hallucinated_nouns": ["cat", "chair"],
        "covered": 3,
        "truth": 3,
        "marked": 2,
        "targets": 2,
        "length": 20,
        "mode": "reference",
        "similarity": "none",
    }
    result = generative({1: RESPONSE})
    assert result["chair"] == pytest.approx(100 / 3)
    assert (result["cover"], result["hal"], result["cog"], result["mean_length"]) == (100.0, 100.0, 100.0, 20.0)


def test_two_responses_by_hand():
    result = generative({1: RESPONSE, 2: "A dog."})
    assert result["chair"] == pytest.approx(200 / 7)
    assert result["cover"] == pytest.approx(400 / 6)
    assert (result["hal"], result["cog"]) == (50.0, 50.0)
    assert (result["responses_count"], result["nouns_count"], result["hallucinated_count"]) == (2, 7, 2)
    assert (result["mode"], result["similarity"], result["reasons"]) == ("reference", "none", {})


def test_a_safe_word_is_a_noun_but_never_hallucinated_and_covers_nothing():
    entry = record("an individual in the light")
    assert (entry["nouns"], entry["hallucinated"], entry["covered"]) == (2, 0, 0)


def test_a_noun_that_is_neither_true_nor_a_target_is_hallucinated_and_marks_nothing():
    entry = record("a ship")
    assert (entry["hallucinated"], entry["marked"]) == (1, 0)


def test_truth_comes_before_targets():
    entry = record("a dog", amber.Scene(("dog",), ("dog",)))
    assert (entry["covered"], entry["hallucinated"], entry["marked"]) == (1, 0, 0)


@pytest.mark.parametrize(
    ("truth", "response", "covered"),
    [
        (("person",), "a woman and people", 1),
        (("grass", "ground"), "the ground", 1),
        (("grass", "ground"), "grass on the ground", 1),
        (("ground", "grass"), "grass and a floor", 2),
        (("ship", "ship"), "a ship and a boat", 1),
    ],
)
def test_a_noun_covers_the_first_word_that_has_it_as_an_associate_before_the_word_itself(truth, response, covered):
    assert record(response, amber.Scene(truth, ()))["covered"] == covered


def test_a_perfect_model_has_hal_0():
    result = generative(dict.fromkeys(range(1, 1005), "A man and his dog on the grass."))
    assert (result["hal"], result["chair"], result["cog"], result["cover"]) == (0.0, 0.0, 0.0, 100.0)
    assert generative({1: "A dog."})["hal"] == 0.0


def test_a_capital_hides_no_noun():
    entry = record("Cats and Dogs")
    assert (entry["nouns"], entry["hallucinated"], entry["covered"]) == (2, 1, 1)


def test_a_blank_response_is_neither_hallucinated_nor_free_of_it():
    result = generative({1: RESPONSE, 2: "", 3: " \n"})
    assert result["hal"] == 100.0
    assert (result["responses_count"], result["responses_empty_count"]) == (3, 2)
    assert result["responses_without_nouns_count"] == 2
    assert result["cover"] == pytest.approx(100 / 3)
    nothing = generative({1: "", 2: ""})
    assert {name for name, value in nothing.items() if value is None} == {"chair", "hal"} == set(nothing["reasons"])
    assert nothing["cover"] == 0.0


def test_a_response_that_names_nothing_counts_as_not_hallucinated():
    result = generative({1: "What a lovely day."})
    assert (result["hal"], result["chair"]) == (0.0, None)
    assert result["reasons"] == {"chair": "no response names an object of the vocabulary"}


def test_an_empty_truth_and_no_targets_give_none_with_a_reason():
    result = generative({1: "a dog"}, amber.Scene((), ()))
    assert (result["cover"], result["cog"], result["chair"]) == (None, None, 100.0)
    assert result["reasons"].keys() == {"cover", "cog"}


def test_no_responses_give_none_with_reasons():
    result = generative({}, mode="reference")
    scores = {"chair", "cover", "hal", "cog", "mean_length"}
    assert {name for name, value in result.items() if value is None} == scores == set(result["reasons"])
    assert amber.aggregate_generative([])["mode"] is None


TEXTS = st.sampled_from([RESPONSE, "A dog.", "", "a ship and a cat", "nothing", "Some people on a bench"])


@given(st.lists(TEXTS), st.randoms())
def test_order_of_responses_does_not_matter(responses, random):
    shuffled = list(enumerate(responses))
    random.shuffle(shuffled)
    assert generative(dict(shuffled)) == generative(dict(enumerate(responses)))


@given(TEXTS, st.sampled_from(["dog", "grass", "man"]))
def test_a_further_true_word_never_hurts(response, true):
    before, after = (generative({1: text}) for text in (response, f"{response} {true}"))
    assert before["chair"] is None or after["chair"] <= before["chair"]
    assert after["cover"] >= before["cover"]


# Similarity


@pytest.fixture
def fresh():
    """Forget what was loaded, before and after."""
    caches = (amber_nouns._spacy, amber_nouns._vector, amber_nouns._cosine, words._nltk)
    for cache in caches:
        cache.cache_clear()
    yield
    for cache in caches:
        cache.cache_clear()


@pytest.fixture
def spacy(monkeypatch, fresh):
    """A spaCy for which a boat is a ship, a floor nearly a sky, and a screen a cat."""
    alike = {("boat", "ship"): 0.9, ("floor", "sky"): 0.8, ("screen", "cat"): 0.85}

    def pipeline(word):
        return SimpleNamespace(
            word=word, similarity=lambda other: alike.get((word, other.word), float(word == other.word))
        )

    monkeypatch.setitem(sys.modules, "spacy", SimpleNamespace(load=lambda name: pipeline))


@pytest.mark.usefixtures("spacy")
def test_a_similar_true_word_covers_and_is_safe():
    scene = amber.Scene(("sky", "glass"), ("cat",))
    ship = amber.read_vocabulary({**RELATION, "ship": []} | {"boat": []}, SAFE)
    scene_with_ship = amber.Scene(("ship", "sky"), ("cat",))
    for similarity, safe in (("none", 0), ("spacy", 1)):
        entry = amber.record_generative("a boat", scene_with_ship, ship, similarity=similarity)
        assert (entry["covered"], entry["hallucinated"]) == (safe, 1 - safe)
        assert entry["similarity"] == similarity
    assert record("a floor", scene, similarity="spacy")["hallucinated"] == 1


@pytest.mark.usefixtures("spacy")
def test_a_similar_target_is_marked():
    scene = amber.Scene(("sky",), ("cat",))
    assert record("a screen", scene)["marked"] == 0
    entry = record("a screen", scene, similarity="spacy")
    assert (entry["marked"], entry["hallucinated"]) == (1, 1)
    assert generative({1: "a screen"}, scene, similarity="spacy")["similarity"] == "spacy"


@pytest.mark.usefixtures("fresh")
def test_missing_spacy_and_missing_vectors_name_the_command(monkeypatch):
    def load(name):
        raise OSError(name)

    for module in (None, SimpleNamespace(load=load)):
        monkeypatch.setitem(sys.modules, "spacy", module)
        with pytest.raises(RuntimeError, match=r"run: pip install spacy && python -m spacy download en_core_web_lg"):
            amber.check(similarity="spacy")
        with pytest.raises(RuntimeError, match="spacy download"):
            generative({}, similarity="spacy")


# NLTK


@pytest.mark.usefixtures("fresh")
def test_nltk_mode_tags_the_text_as_written(monkeypatch):
    tags = {"Dogs": "NNS", "cats": "NNS", "watch": "VB", "men": "NNS", "can": "MD"}
    lemmas = {"cats": "cat"}
    stub = SimpleNamespace(
        word_tokenize=str.split,
        pos_tag=lambda tokens: [(token, tags.get(token, "NN")) for token in tokens],
        WordNetLemmatizer=lambda: SimpleNamespace(lemmatize=lambda word, pos="n": lemmas.get(word, word)),
    )
    monkeypatch.setitem(sys.modules, "nltk", stub)
    text = "Dogs and men can watch cats on TV"
    assert nouns(text, "nltk") == ["cat", "TV"]
    assert nouns(text) == ["dog", "man", "watch", "cat", "TV"]
    assert record(text, mode="nltk")["mode"] == generative({1: text}, mode="nltk")["mode"] == "nltk"


@pytest.mark.usefixtures("fresh")
def test_missing_nltk_is_an_error_with_the_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "nltk", None)
    with pytest.raises(RuntimeError, match=r'^AMBER mode "nltk" needs NLTK: pip install nltk'):
        amber.check("nltk")


def test_nltk_mode_with_its_data():
    try:
        amber.check("nltk")
    except RuntimeError as missing:
        pytest.skip(str(missing))
    assert nouns("He can watch two cats.", "nltk") == ["cat"]


# Discriminative

COMPOSITION = {
    ("discriminative-hallucination", "no"): 4924,
    ("discriminative-attribute-state", "yes"): 2382,
    ("discriminative-attribute-state", "no"): 2382,
    ("discriminative-attribute-number", "yes"): 1036,
    ("discriminative-attribute-number", "no"): 1036,
    ("discriminative-attribute-action", "yes"): 396,
    ("discriminative-attribute-action", "no"): 396,
    ("discriminative-relation", "yes"): 975,
    ("relation", "no"): 689,
}


def official() -> amber.Annotations:
    """The questions as the official file counts them."""
    listed = [amber.Question(*key) for key, count in COMPOSITION.items() for _ in range(count)]
    return amber.Annotations({}, dict(enumerate(listed, start=1005)))


def answered(rule, policy: str = "words") -> dict:
    annotations = official()
    return amber.score_discriminative(
        {key: rule(question) for key, question in annotations.questions.items()}, annotations, policy
    )


def test_the_official_composition_and_its_groups():
    result = answered(lambda question: "No")
    counts = {name: group["questions_count"] for name, group in result["groups"].items()}
    assert result["questions_count"] == 14216
    assert counts == {
        "existence": 4924,
        "attribute": 7628,
        "state": 4764,
        "number": 2072,
        "action": 792,
        "relation": 1664,
    }
    assert tuple(counts) == amber.GROUPS


def rounded(result: dict, prefix: str = "") -> list[float]:
    return [round(result[prefix + name], 1) for name in ("accuracy", "precision", "recall", "f1")]


@pytest.mark.parametrize("policy", amber.POLICIES)
def test_always_no(policy):
    result = answered(lambda question: "No", policy)
    assert rounded(result) == [66.3, 66.3, 100.0, 79.7]
    f1 = {name: round(group["f1"], 1) for name, group in result["groups"].items()}
    assert (f1["existence"], f1["attribute"], f1["relation"]) == (100.0, 66.7, 58.6)


def test_the_baseline_stands_beside_every_result():
    perfect = answered(lambda question: question.truth.capitalize())
    assert rounded(perfect) == [100.0] * 4
    assert rounded(perfect, "always_no_") == [66.3, 66.3, 100.0, 79.7]
    f1 = {name: round(group["always_no_f1"], 1) for name, group in perfect["groups"].items()}
    assert (f1["existence"], f1["attribute"], f1["relation"]) == (100.0, 66.7, 58.6)
    assert [f1[name] for name in ("state", "number", "action")] == [66.7] * 3


@pytest.mark.parametrize("policy", amber.POLICIES)
def test_always_yes(policy):
    result = answered(lambda question: "Yes", policy)
    assert round(result["accuracy"], 1) == 33.7
    assert (result["f1"], result["recall"], result["precision"]) == (0.0, 0.0, None)
    assert result["reasons"] == {"precision": "no answer is no"}
    assert result["groups"]["existence"]["accuracy"] == 0.0


def test_a_perfect_model_that_ends_its_answers_with_a_period_is_perfect():
    result = answered(lambda question: f"{question.truth.capitalize()}.")
    assert rounded(result) == [100.0] * 4
    assert result["policy"] == "words"
    literal = answered(lambda question: f"{question.truth.capitalize()}.", "official")
    assert (literal["accuracy"], literal["f1"], literal["policy"]) == (0.0, 0.0, "official")
    assert literal["unparsed_count"] == literal["questions_count"] == 14216


@pytest.mark.parametrize(
    ("answer", "by_words", "by_official"),
    [
        ("Yes", "yes", "yes"),
        ("No", "no", "no"),
        ("Yes.", "yes", None),
        ("no", "no", None),
        ("NO", "no", None),
        ("No, it is not.", "no", None),
        (" No", "no", None),
        ("yes and no", None, None),
        ("There is a dog.", None, None),
        ("", None, None),
    ],
)
def test_policies(answer, by_words, by_official):
    for policy, expected in (("words", by_words), ("official", by_official)):
        for truth in ("yes", "no"):
            entry = amber.record_discriminative(answer, amber.Question("relation", truth), policy)
            assert entry["correct"] == int(expected == truth)
            assert entry["predicted_no"] == int(expected == "no")
            assert entry["unparsed"] == int(expected is None)
            assert entry["policy"] == policy


def test_scores_by_hand_with_no_as_the_positive_class():
    kinds = ["relation", "discriminative-attribute-state", "discriminative-hallucination", "relation"]
    truth = ["no", "yes", "no", "no"]
    questions = {i: amber.Question(kind, y) for i, (kind, y) in enumerate(zip(kinds, truth, strict=True))}
    answers = {0: "No.", 1: "no", 2: "hm", 3: "Yes"}
    result = amber.score_discriminative(answers, amber.Annotations({}, questions))
    assert (result["accuracy"], result["precision"], result["unparsed_count"]) == (25.0, 50.0, 1)
    assert result["recall"] == pytest.approx(100 / 3)
    assert result["f1"] == pytest.approx(40.0)
    assert result["groups"]["relation"]["recall"] == 50.0
    assert result["groups"]["state"] == result["groups"]["attribute"]
    assert result["groups"]["number"]["f1"] is None
    assert result["groups"]["number"]["reasons"]["always_no_f1"] == "there are no questions"


def test_f1_is_exact_and_not_from_rounded_values():
    questions = {i: amber.Question("discriminative-hallucination", "no") for i in range(3)}
    result = amber.score_discriminative(dict.fromkeys(questions, "No"), amber.Annotations({}, questions))
    assert result["groups"]["existence"]["f1"] == result["f1"] == 100.0


def test_no_answers_give_none_with_reasons():
    result = amber.score_discriminative({}, official(), "official")
    none = {name for name, value in result.items() if value is None}
    assert none == set(result["reasons"])
    assert {"accuracy", "f1", "always_no_f1"} <= none
    assert result["policy"] == "official"


ANSWERS = st.tuples(st.sampled_from(["Yes", "No.", "hm"]), st.sampled_from(list(COMPOSITION)))


@given(st.lists(ANSWERS), st.sampled_from(amber.POLICIES), st.randoms())
def test_order_of_answers_does_not_matter(answers, policy, random):
    annotations = amber.Annotations({}, {i: amber.Question(*key) for i, (_, key) in enumerate(answers)})
    pairs = [(i, answer) for i, (answer, _) in enumerate(answers)]
    first = amber.score_discriminative(dict(pairs), annotations, policy)
    random.shuffle(pairs)
    assert amber.score_discriminative(pairs, annotations, policy) == first
    for result in (first, *first["groups"].values()):
        assert {name for name, value in result.items() if value is None} - {"policy"} == set(result["reasons"])


@given(st.text(st.characters()), st.sampled_from(amber.POLICIES))
def test_every_answer_is_read_without_an_error(answer, policy):
    entry = amber.record_discriminative(answer, amber.Question("relation", "no"), policy)
    assert entry["correct"] + entry["unparsed"] <= 1


# Intervals


def test_records_are_resampled_by_image():
    questions = [amber.Question(*key) for key in COMPOSITION] * 2
    answers = ["No", "Yes", "hm"] * 6
    records = [
        amber.record_discriminative(answer, question) for answer, question in zip(answers, questions, strict=True)
    ]
    printed = amber.aggregate_discriminative(records)
    for name in ("accuracy", "precision", "recall", "f1", "always_no_f1"):
        statistic = amber.STATISTICS[name]
        estimate = paired.estimate(records, statistic=statistic, unit=list("aaabbbcccdddeeefff"), resamples=10)
        assert estimate.value == pytest.approx(printed[name])
        assert estimate.units_count == 6
    in_group = paired.estimate(records, statistic=amber.STATISTICS["attribute.f1"], resamples=10)
    assert in_group.value == pytest.approx(printed["groups"]["attribute"]["f1"])


def test_two_runs_of_descriptions_compare():
    a = {i: record(RESPONSE if i % 2 else "A dog.") for i in range(8)}
    b = {i: record("A dog.") for i in range(8)}
    printed = amber.aggregate_generative(a.values())
    for name in ("chair", "cover", "hal", "cog", "mean_length"):
        result = paired.compare(a, b, statistic=amber.STATISTICS[name], resamples=20)
        assert result.a.value == pytest.approx(printed[name])
    hal = paired.compare_proportions(a, b, outcome="responses_hallucinated", resamples=20)
    assert hal.difference == -50.0
    other = {key: entry | {"similarity": "spacy"} for key, entry in b.items()}
    with pytest.raises(ValueError, match="similarity 'none' and 'spacy'"):
        paired.compare(a, other, statistic=amber.STATISTICS["chair"], resamples=10)


# Files

ENTRIES = [
    {"id": 1, "type": "generative", "truth": ["dog", "grass"], "hallu": ["cat"]},
    {"id": 1005, "type": "discriminative-hallucination", "truth": "no"},
    {"id": 1006, "type": "relation", "truth": "no"},
    {"id": 1007, "type": "discriminative-relation", "truth": "yes"},
]


def test_annotations_by_id():
    read = amber.read_annotations(ENTRIES)
    assert read.scenes == {1: amber.Scene(("dog", "grass"), ("cat",))}
    assert read.questions[1005] == amber.Question("discriminative-hallucination", "no")
    assert read.questions.keys() == {1005, 1006, 1007}


def test_files_and_parsed_objects_read_the_same(tmp_path):
    paths = {name: tmp_path / name for name in ("annotations.json", "relation.json", "query.json", "responses.json")}
    queries = [{"id": 1, "image": "AMBER_1.jpg", "query": "Describe this image."}]
    responses = [{"id": 1, "response": RESPONSE}]
    for path, content in zip(paths.values(), (ENTRIES, RELATION, queries, responses), strict=True):
        path.write_text(json.dumps(content), encoding="utf-8")
    safe = tmp_path / "safe_words.txt"
    safe.write_text("light\n\nindividual\r\n", encoding="utf-8")
    assert amber.read_annotations(str(paths["annotations.json"])) == amber.read_annotations(ENTRIES)
    assert amber.read_vocabulary(paths["relation.json"], safe) == VOCABULARY
    assert amber.read_images(paths["query.json"]) == amber.read_images(queries) == {1: "AMBER_1.jpg"}
    assert amber.read_responses(paths["responses.json"]) == amber.read_responses(responses) == {1: RESPONSE}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda e: e[0].pop("truth"), r"annotations\[0\] has no truth"),
        (lambda e: e[1].pop("id"), r"annotations\[1\] has no id"),
        (lambda e: e[0].pop("hallu"), r"annotations\[0\] \(id 1\): hallu must be a list of words, got None"),
        (lambda e: e[0].update(truth="dog"), r"annotations\[0\] \(id 1\): truth must be a list of words, got 'dog'"),
        (lambda e: e[0].update(truth=["dog", 3]), r"\(id 1\): truth must be text, got 3"),
        (
            lambda e: e[2].update(truth="maybe"),
            r"annotations\[2\] \(id 1006\): unknown label 'maybe'; allowed: yes, no",
        ),
        (lambda e: e[2].update(type="colour"), r"\(id 1006\): unknown type 'colour'; allowed: generative, discrim"),
        (lambda e: e[2].update(type=["relation"]), r"unknown type \['relation'\]"),
        (lambda e: e[2].update(id="1006"), r"annotations\[2\]: id must be a whole number, got '1006'"),
        (lambda e: e[2].update(id=True), "id must be a whole number, got True"),
        (lambda e: e[2].update(id=1005), "annotations: ids that occur more than once: 1005; keep one"),
        (lambda e: e.append(7), r"annotations\[4\] is a int, expected an object"),
    ],
)
def test_annotation_errors_name_the_file_and_the_entry(change, message):
    entries = copy.deepcopy(ENTRIES)
    change(entries)
    with pytest.raises(ValueError, match=message):
        amber.read_annotations(entries)


@pytest.mark.parametrize(
    ("read", "content", "message"),
    [
        (amber.read_annotations, "{", "file.json is not valid JSON"),
        (amber.read_annotations, "{}", "file.json holds a dict, expected a list"),
        (amber.read_annotations, "3", "file.json holds a int, expected a list"),
        (amber.read_images, '[{"id": 1}]', r"file.json\[0\] has no image"),
        (amber.read_images, '[{"id": 1, "image": 5}]', r"file.json\[0\] \(id 1\): image must be text, got 5"),
        (amber.read_responses, '[{"id": 1, "response": null}]', r"\(id 1\): response must be text, got None"),
        (amber.read_responses, '[{"id": 1, "response": "a"}, {"id": 1, "response": "b"}]', "more than once: 1"),
        (lambda path: amber.read_vocabulary(path, []), "[]", "file.json holds a list, expected words with lists"),
        (
            lambda path: amber.read_vocabulary(path, []),
            '{"a": "b"}',
            r"file.json: 'a' must be a list of words, got 'b'",
        ),
    ],
)
def test_file_errors_name_the_file(tmp_path, read, content, message):
    path = tmp_path / "file.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        read(path)


def test_safe_words_that_are_no_text_are_named(tmp_path):
    path = tmp_path / "safe_words.txt"
    path.write_bytes(b"light\xff")
    with pytest.raises(ValueError, match="safe_words.txt is not UTF-8 text"):
        amber.read_vocabulary(RELATION, path)
    with pytest.raises(ValueError, match="safe_words must be text, got 5"):
        amber.read_vocabulary(RELATION, [5])


# Errors


ANNOTATIONS = amber.read_annotations(ENTRIES)


def describe(responses) -> dict:
    return amber.score_generative(responses, ANNOTATIONS, VOCABULARY)


def answer(responses) -> dict:
    return amber.score_discriminative(responses, ANNOTATIONS)


@pytest.mark.parametrize(
    ("score", "responses", "message"),
    [
        (describe, {"1": "a dog"}, r"do not hold: '1'; ids match exactly \(5 is not '5'\)"),
        (describe, {10**30: "a dog"}, f"do not hold: {10**30}"),
        (answer, {-(2**64): "No"}, f"do not hold: -{2**64}"),
        (describe, {1005: "No"}, r"not those of entries to describe: 1005; use amber.score_discriminative"),
        (answer, {1: "a dog"}, r"not those of entries to answer: 1; use amber.score_generative"),
        (describe, [(1, "a"), (1, "b")], "responses hold a key more than once: 1"),
        (answer, ["No"], "responses must have ids"),
    ],
)
def test_errors_name_the_id(score, responses, message):
    with pytest.raises(ValueError, match=message):
        score(responses)


@pytest.mark.parametrize(("score", "key"), [(describe, 1), (answer, 1005)])
def test_a_response_that_is_no_text_is_named(score, key):
    with pytest.raises(TypeError, match=f"not for ids {key}"):
        score({key: None})


def test_a_record_of_what_is_no_text_is_refused():
    with pytest.raises(TypeError, match="must be text, got 3"):
        record(3)
    with pytest.raises(TypeError, match="must be text, got None"):
        amber.record_discriminative(None, amber.Question("relation", "no"))


def test_annotated_words_that_the_vocabulary_does_not_list_are_named():
    with pytest.raises(ValueError, match=r"does not list: 'zebra', 'boat'; use annotations.json and relation.json"):
        record("a dog", amber.Scene(("dog", "zebra"), ("boat",)))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: amber.check("spacy"), "unknown AMBER mode 'spacy'; allowed: reference, nltk"),
        (lambda: amber.check(similarity="glove"), "unknown AMBER similarity 'glove'; allowed: none, spacy"),
        (lambda: generative({}, mode="official"), "unknown AMBER mode 'official'"),
        (lambda: amber.score_discriminative({}, ANNOTATIONS, "pope"), "policy 'pope'; allowed: words, official"),
        (lambda: amber.record_discriminative("No", amber.Question("generative", "no")), "question type 'generative'"),
    ],
)
def test_unknown_names_are_answered_with_the_allowed_ones(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_records_of_different_rules_do_not_add():
    question = amber.Question("relation", "no")
    with pytest.raises(ValueError, match="different policy cannot be added: official, words"):
        amber.aggregate_discriminative(amber.record_discriminative("No", question, p) for p in amber.POLICIES)
    with pytest.raises(ValueError, match="different mode cannot be added: nltk, reference"):
        amber.aggregate_generative([record("a dog"), record("a dog") | {"mode": "nltk"}])


def test_the_scorer_imports_no_heavy_package():
    code = (
        "import sys\n"
        "from hallu_tasks.scoring import amber\n"
        "amber.nouns('a dog', amber.read_vocabulary({'dog': []}, []))\n"
        "heavy = {'torch', 'transformers', 'lmms_eval', 'hallu_models', 'nltk', 'spacy', 'scipy'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
