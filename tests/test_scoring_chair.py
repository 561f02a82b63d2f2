"""CHAIR: the matcher word by word, the scores by hand, the truth from COCO files, and every named error."""

from __future__ import annotations

import copy
import importlib.util
import json
import subprocess
import sys
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hallu_tasks.scoring import chair, vocabulary, words

CAPTION = "Two dogs play with a frisbee near a bench. A dog jumps."
TRUTH = {"dog", "person", "frisbee"}


# The matcher


def test_objects_are_categories_in_order_of_mention_with_duplicates():
    assert chair.objects(CAPTION) == ["dog", "frisbee", "bench", "dog"]


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("A traffic light and hot dogs.", ["traffic light", "hot dog"]),
        ("hot, dog", ["dog"]),
        ("A baby bird, an adult zebra and a baby cow.", ["bird", "zebra", "cow"]),
        ("a baby animal with a baby", ["person"]),
        ("a passenger jet over a passenger train", ["airplane", "train"]),
        ("He wears a bow tie.", ["tie"]),
        ("The toilet seat is up.", ["toilet"]),
        ("home plate", []),
        ("The batter stands at home plate.", []),
        ("train tracks", []),
        ("a train on a train track", ["train"]),
        ("two wine glasses and a wine glass", ["wine glass", "wine glass"]),
        ("a dining table", ["dining table"]),
        ("cell phone phone", ["cell phone", "cell phone"]),
        ("a plate, a lamp, a cloud", []),
        ("", []),
    ],
)
def test_neighbouring_words_merge_left_to_right(caption: str, expected: list[str]):
    assert chair.objects(caption) == expected


def test_a_seat_is_no_chair_when_a_toilet_occurs_anywhere():
    assert chair.objects("the seat by the window") == ["chair"]
    assert chair.objects("the seat of the toilet, a stool") == ["toilet", "chair"]
    assert chair.objects("a seat, a toilet seat") == ["toilet"]
    assert chair.objects("a urinal and a seat") == ["toilet", "chair"]


@pytest.mark.parametrize("mode", ["reference", "fixed"])
@pytest.mark.parametrize(
    ("plural", "category"),
    [
        *[(plural, "person") for plural in ("men", "women", "people", "children", "grandchildren")],
        *[(plural, "person") for plural in ("policemen", "servicemen", "gentlemen", "babies", "ladies")],
        ("geese", "bird"),
        ("mice", "mouse"),
        ("knives", "knife"),
        ("pocketknives", "knife"),
        ("calves", "cow"),
        ("oxen", "cow"),
        ("kine", "cow"),
        ("dobermen", "dog"),
        ("skis", "skis"),
        ("puppies", "dog"),
        ("couches", "couch"),
        ("benches", "bench"),
        ("toothbrushes", "toothbrush"),
        ("buffaloes", "cow"),
        ("buses", "bus"),
        ("minibuses", "bus"),
        ("vases", "vase"),
        ("horses", "horse"),
        ("tvs", "tv"),
        ("scissors", "scissors"),
    ],
)
def test_plurals(plural: str, category: str, mode: str):
    assert chair.objects(f"some {plural} here", mode) == [category]


@pytest.mark.parametrize(
    ("word", "category"),
    [
        ("bus", "bus"),
        ("minibus", "bus"),
        ("airbus", "airplane"),
        ("ties", "tie"),
        ("canoes", "boat"),
        ("magpies", "bird"),
        ("collies", "dog"),
        ("doggies", "dog"),
        ("thieves", "person"),
    ],
)
def test_blind_spots_of_the_reference_are_seen_when_fixed(word: str, category: str):
    assert chair.objects(f"the {word} there") == []
    assert chair.objects(f"the {word} there", "fixed") == [category]


def test_the_blind_spots_are_exactly_the_documented_ones():
    known = vocabulary.coco().single_words
    forms = {form.lower() for word in known for form in (word, word + "s", word + "es", word[:-1] + "ies")}
    lost = {form for form in forms if chair.objects(form) != chair.objects(form, "fixed")}
    assert lost == words.BLIND_SPOTS - {"thieves"} | {"cheesecake", "cheesecakes", "iphone", "iphones"}


@pytest.mark.parametrize(
    ("caption", "reference", "fixed"),
    [
        ("a motor bike", [], ["motorcycle"]),
        ("motor bikes", [], ["motorcycle"]),
        ("a slice of cheesecake", [], ["cake"]),
        ("my iPhone", [], ["cell phone"]),
        ("two iPhones", [], ["cell phone"]),
        ("a stove top oven", ["oven", "oven"], ["oven"]),
        ("a stove", ["oven"], ["oven"]),
        ("three bow ties", ["tie"], ["tie"]),
    ],
)
def test_vocabulary_slips(caption: str, reference: list[str], fixed: list[str]):
    assert chair.objects(caption) == reference
    assert chair.objects(caption, "fixed") == fixed


@pytest.mark.parametrize("word", ["glass", "sports", "tennis", "mens", "clothes", "skies", "taxies", "bu", "s"])
def test_a_plural_is_reduced_only_to_a_known_word(word: str):
    known = vocabulary.coco().single_words
    assert words.singular(word, known) == word


# Tokens


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("The dog's bowl isn't full.", ["the", "dog", "'s", "bowl", "is", "n't", "full", "."]),
        ("A black-and-white cat/dog", ["a", "black-and-white", "cat/dog"]),
        ("file_name 3.5 t.v", ["file_name", "3.5", "t.v"]),
        ("Dogs, cats; (birds)!", ["dogs", ",", "cats", ";", "(", "birds", ")", "!"]),
        ("**Dog**\n\n- cat", ["*", "*", "dog", "*", "*", "-", "cat"]),
        ("They cannot, gonna", ["they", "can", "not", ",", "gon", "na"]),
        ("we've we'll I'm he'd they're", ["we", "'ve", "we", "'ll", "i", "'m", "he", "'d", "they", "'re"]),
        ("wait... no--yes", ["wait", "...", "no", "--", "yes"]),
        ("", []),
    ],
)
def test_tokens(caption: str, expected: list[str]):
    assert words.tokens(caption) == expected


def test_a_clock_inside_o_clock_is_no_clock():
    assert chair.objects("It is ten o'clock.") == []
    assert chair.objects("The clock's hands") == ["clock"]


@pytest.mark.parametrize(
    "sentence",
    [
        "two dogs play with a frisbee near a bench.",
        "the dog's bowl isn't full, but it can't cannot be seen!",
        "women's bags: gonna 'tis they've we'll i'm he'd",
        "kids' toys & 50% of $5 things?",
        "a stop-sign [red] shouldn't've rock'n'roll (and/or) _this_ **one**",
    ],
)
def test_tokens_are_those_of_treebank(sentence: str):
    destructive = pytest.importorskip("nltk.tokenize.destructive")
    assert words.tokens(sentence) == destructive.NLTKWordTokenizer().tokenize(sentence)


@given(st.text())
def test_every_text_has_objects(caption: str):
    assert set(chair.objects(caption)) <= vocabulary.coco().categories


@given(st.lists(st.sampled_from([*vocabulary.coco().categories, "a", "and", "home", "baby", "."])))
def test_case_does_not_matter(parts: list[str]):
    caption = " ".join(parts)
    assert chair.objects(caption.upper()) == chair.objects(caption)


@pytest.mark.parametrize("mode", ["reference", "fixed"])
@given(st.text(alphabet=st.sampled_from("İΣ aDogscat'trfflih-.,\n")) | st.text())
def test_mentions_are_the_objects_with_their_places(mode: str, caption: str):
    found = chair.mentions(caption, mode)
    assert [mention.category for mention in found] == chair.objects(caption, mode)
    for mention in found:
        assert 0 <= mention.start < mention.end <= len(caption)
        assert not caption[mention.start].isspace() and not caption[mention.end - 1].isspace()


@pytest.mark.parametrize("mode", ["reference", "fixed"])
def test_a_name_of_two_words_may_end_the_caption(mode: str):
    assert chair.mentions("a traffic light", mode) == [("traffic light", 2, 15)]


def test_a_mention_is_all_of_its_words():
    caption = "İt's a Traffic\nlight; two DOGS' toilet seat, and a man."
    assert [(mention.category, caption[mention.start : mention.end]) for mention in chair.mentions(caption)] == [
        ("traffic light", "Traffic\nlight"),
        ("dog", "DOGS"),
        ("toilet", "toilet seat"),
        ("person", "man"),
    ]


def test_mentions_have_no_places_in_nltk_mode():
    with pytest.raises(ValueError, match="allowed: reference, fixed"):
        chair.mentions("a dog", "nltk")


# Scores


def test_one_caption_by_hand():
    result = chair.score({1: CAPTION}, {1: TRUTH})
    assert result["chair_i"] == 25.0
    assert result["chair_s"] == 100.0
    assert result["recall"] == pytest.approx(200 / 3)
    assert result["precision"] == pytest.approx(200 / 3)
    assert result["f1"] == pytest.approx(200 / 3)
    assert result["mean_length"] == 14
    assert result["mean_mentions"] == 4
    assert result["mentions_count"] == 4
    assert result["hallucinated_count"] == 1
    assert result["captions_count"] == 1
    assert result["captions_without_objects_count"] == 0
    assert result["mode"] == "reference"
    assert result["reasons"] == {}


def test_two_captions_by_hand():
    result = chair.score({1: CAPTION, 2: "A dog."}, {1: TRUTH, 2: TRUTH})
    assert (result["chair_i"], result["chair_s"], result["recall"]) == (20.0, 50.0, 50.0)
    assert result["precision"] == 75.0
    assert result["f1"] == pytest.approx(60.0)


def test_record_of_one_caption():
    assert chair.record(CAPTION, TRUTH) == {
        "captions": 1,
        "captions_hallucinated": 1,
        "captions_without_objects": 0,
        "mentions": 4,
        "hallucinated": 1,
        "distinct": 3,
        "correct": 2,
        "truth": 3,
        "length": 14,
        "mode": "reference",
    }


def test_a_caption_with_several_hallucinations_is_one_hallucinated_caption():
    result = chair.score({1: "a cat, a car, a dog", 2: "a dog"}, {1: {"dog"}, 2: {"dog"}})
    assert result["chair_s"] == 50.0
    assert result["chair_i"] == 50.0


def test_nothing_mentioned_gives_none_with_a_reason():
    result = chair.score({1: "A nice scene."}, {1: {"dog"}})
    assert result["chair_i"] is None
    assert result["precision"] is None
    assert result["chair_s"] == result["recall"] == result["f1"] == 0.0
    assert result["captions_without_objects_count"] == 1
    assert result["reasons"].keys() == {"chair_i", "precision"}
    assert "mentions" in result["reasons"]["chair_i"]


def test_no_caption_gives_none_with_a_reason():
    result = chair.score({}, {1: {"dog"}}, mode="fixed")
    undefined = {name for name, value in result.items() if value is None}
    assert undefined == set(chair.STATISTICS) == set(result["reasons"])
    assert result["captions_count"] == 0
    assert result["mode"] == "fixed"


CAPTIONS = [
    CAPTION,
    "A dog.",
    "Nothing here.",
    "a car on a train track",
    "two cats and a couch",
    "bus and buses",
]
TRUTHS = [TRUTH, {"cat"}, {"car", "bus"}]


@given(st.lists(st.tuples(st.sampled_from(CAPTIONS), st.sampled_from(TRUTHS)), min_size=1), st.randoms())
def test_order_does_not_matter(documents, random):
    shuffled = list(enumerate(documents))
    random.shuffle(shuffled)
    truth = {image_id: objects for image_id, (_, objects) in shuffled}
    ordered = chair.score({i: caption for i, (caption, _) in enumerate(documents)}, truth)
    assert chair.score({i: caption for i, (caption, _) in shuffled}, truth) == ordered


@given(st.lists(st.sampled_from(CAPTIONS), min_size=1), st.sampled_from(sorted(TRUTH)))
def test_a_further_correct_mention_never_raises_chair_i(captions: list[str], correct: str):
    truth = dict.fromkeys(range(len(captions)), TRUTH)
    before = chair.score(dict(enumerate(captions)), truth)["chair_i"]
    after = chair.score(dict(enumerate([*captions[:-1], f"{captions[-1]} . {correct}"])), truth)["chair_i"]
    assert before is None or after <= before


@given(st.lists(st.sampled_from(CAPTIONS)))
def test_score_is_the_aggregate_of_records(captions: list[str]):
    truth = dict.fromkeys(range(len(captions)), TRUTH)
    summed = chair.aggregate([chair.record(caption, TRUTH) for caption in captions])
    assert chair.score(dict(enumerate(captions)), truth) == {**summed, "mode": "reference"}


def test_truth_may_hold_more_images():
    assert chair.score({1: CAPTION}, {1: TRUTH, 2: set()})["captions_count"] == 1


# Errors


def test_unknown_mode_names_the_allowed_ones():
    for call in (
        chair.check,
        lambda mode: chair.objects("a dog", mode),
        lambda mode: chair.score({}, {}, mode),
    ):
        with pytest.raises(ValueError, match="'opera'; allowed: reference, fixed, nltk"):
            call("opera")


def test_unknown_image_id_is_named():
    with pytest.raises(ValueError, match=r"without a truth: '1'.*42 is not '42'"):
        chair.score({"1": CAPTION}, {1: TRUTH})


def test_repeated_image_id_is_named():
    with pytest.raises(ValueError, match="more than once: 7;"):
        chair.score([(7, "a dog"), (8, "a cat"), (7, "a dog")], {7: TRUTH, 8: TRUTH})


def test_empty_truth_is_named():
    with pytest.raises(ValueError, match="truth is empty: 2;.*allow_empty_truth=True"):
        chair.score({1: CAPTION, 2: "A dog."}, {1: TRUTH, 2: set()})


def test_empty_truth_can_be_allowed_and_makes_every_mention_a_hallucination():
    result = chair.score({1: "A dog.", 2: "A dog."}, {1: {"dog"}, 2: set()}, allow_empty_truth=True)
    assert (result["chair_s"], result["chair_i"], result["recall"]) == (50.0, 50.0, 100.0)


def test_caption_that_is_no_text_is_named():
    with pytest.raises(TypeError, match="image ids 2"):
        chair.score({1: CAPTION, 2: None}, {1: TRUTH, 2: TRUTH})
    with pytest.raises(TypeError, match="got None"):
        chair.record(None, TRUTH)


def test_truth_outside_the_categories_is_named():
    with pytest.raises(ValueError, match="not COCO categories: 'puppy'"):
        chair.record("a dog", {"dog", "puppy"})


def test_truth_as_a_string_is_refused_because_membership_would_search_in_it():
    with pytest.raises(TypeError, match="'hot dog'"):
        chair.record("a dog", "hot dog")


def test_records_of_different_modes_do_not_add():
    records = [chair.record("a bus", {"bus"}, mode) for mode in ("reference", "fixed")]
    with pytest.raises(ValueError, match="fixed, reference"):
        chair.aggregate(records)


def test_long_lists_of_bad_ids_are_cut():
    with pytest.raises(ValueError, match="0, 1, 2, 3, 4 and 95 more"):
        chair.check_images(range(100), {})


# Truth from COCO


@pytest.fixture
def coco() -> tuple[dict, dict]:
    instances = {
        "images": [{"id": 42}, {"id": 73}, {"id": 9}],
        "categories": [{"id": 1, "name": "person"}, {"id": 18, "name": "dog"}, {"id": 6, "name": "bus"}],
        "annotations": [
            {"image_id": 42, "category_id": 18, "iscrowd": 0},
            {"image_id": 42, "category_id": 1, "iscrowd": 1},
            {"image_id": 73, "category_id": 6, "iscrowd": 0},
        ],
    }
    captions = {
        "annotations": [
            {"image_id": 42, "id": 1, "caption": "A dog catches a frisbee."},
            {"image_id": 42, "id": 2, "caption": "People on a bench"},
            {"image_id": 73, "id": 3, "caption": "Men in ties"},
        ]
    }
    return instances, captions


def test_truth_joins_annotations_crowds_and_captions(coco):
    assert chair.truth_from_coco(*coco) == {
        42: {"dog", "person", "frisbee", "bench"},
        73: {"bus", "person"},
        9: set(),
    }


def test_truth_reads_captions_under_the_mode(coco):
    assert chair.truth_from_coco(*coco, mode="fixed")[73] == {"bus", "person", "tie"}


def test_truth_from_files(coco, tmp_path):
    paths = [tmp_path / "instances.json", tmp_path / "captions.json"]
    for path, content in zip(paths, coco, strict=True):
        path.write_text(json.dumps(content), encoding="utf-8")
    assert chair.truth_from_coco(paths[0], str(paths[1])) == chair.truth_from_coco(*coco)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda i, c: i.pop("annotations"), "instances_json has no 'annotations'"),
        (lambda i, c: c.pop("annotations"), "captions_json has no 'annotations'"),
        (lambda i, c: c["annotations"][1].pop("caption"), r"captions_json: annotations\[1\] has no caption"),
        (lambda i, c: i["images"].append({"id": 42}), "instances_json: image ids listed more than once: 42"),
        (
            lambda i, c: i["annotations"][0].update(image_id=5),
            "instances_json: image_id .* 5; use both files",
        ),
        (lambda i, c: i["annotations"][0].update(category_id=99), "instances_json: category_id .* 99"),
        (lambda i, c: c["annotations"][0].update(image_id=5), "captions_json: image_id .* 5; use both files"),
        (lambda i, c: i["categories"][0].update(name="human"), "does not know: 'human'"),
        (lambda i, c: i.update(annotations=["x"]), r"instances_json: annotations\[0\] is 'x', expected an object"),
        (lambda i, c: c.update(annotations={"x": 1}), "captions_json: 'annotations' is a dict, expected a list"),
        (
            lambda i, c: i["images"][0].update(id="x"),
            r"instances_json: images\[0\]: id must be a whole number, got 'x'",
        ),
        (lambda i, c: i["annotations"][0].update(image_id=[5]), r"annotations\[0\] .*image_id must be a whole .*\[5\]"),
        (
            lambda i, c: c["annotations"][0].update(caption=5),
            r"captions_json: annotations\[0\] \(image_id \d+\): caption must be text, got 5",
        ),
    ],
)
def test_truth_errors_name_the_file_and_the_entry(coco, change, message):
    instances, captions = copy.deepcopy(coco)
    change(instances, captions)
    with pytest.raises(ValueError, match=message):
        chair.truth_from_coco(instances, captions)


@pytest.mark.parametrize(("content", "message"), [("{", "not valid JSON"), ("[]", "holds a list")])
def test_truth_file_that_is_no_annotation_file_is_named(coco, tmp_path, content, message):
    path = tmp_path / "instances.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=f"instances.json.*{message}"):
        chair.truth_from_coco(path, coco[1])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"images": [', r"is not valid JSON \(.*\); it was cut off or edited, so fetch it again"),
        ('{"images": []}'.encode("utf-16"), r"is not UTF-8 text \(byte 0\); save it as UTF-8"),
        (b"[" * 100_000, "is nested too deeply to be read; it was edited, so fetch it again"),
        (b'{"images": [{"id": ' + b"7" * 6_000, r"holds a number that cannot be read \(.*digits.*so fetch it again"),
    ],
)
def test_truth_file_that_cannot_be_read_is_named_with_the_fix(coco, tmp_path, content, message):
    path = tmp_path / "instances.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"instances.json {message}"):
        chair.truth_from_coco(path, coco[1])


def test_a_byte_order_mark_before_the_truth_does_no_harm(coco, tmp_path):
    path = tmp_path / "instances.json"
    path.write_text(json.dumps(coco[0]), encoding="utf-8-sig")
    assert chair.truth_from_coco(path, coco[1]) == chair.truth_from_coco(*coco)


# The word tables


def test_the_tables_are_the_expected_ones():
    tables = vocabulary.coco()
    assert len(tables.categories) == 80
    assert tables.category["puppy"] == "dog"
    assert tables.merges["toilet seat"] == "toilet"


def test_changed_tables_are_refused_with_file_hashes_and_fix(tmp_path):
    path = tmp_path / "utils.py"
    text = vocabulary.source().read_text(encoding="utf-8")
    path.write_text(text.replace('"puppy": "dog"', '"puppy": "cat"'), encoding="utf-8")
    with pytest.raises(RuntimeError, match=vocabulary.SHA256) as error:
        vocabulary.read(path)
    assert str(path) in str(error.value)
    assert "found" in str(error.value)
    assert "pip install" in str(error.value)


def test_code_beside_the_tables_may_change(tmp_path):
    path = tmp_path / "utils.py"
    path.write_text("# moved\n" + vocabulary.source().read_text(encoding="utf-8") + "\nx = 1\n", encoding="utf-8")
    assert vocabulary.read(path) == vocabulary.coco()


def test_missing_tables_are_named(tmp_path):
    path = tmp_path / "utils.py"
    path.write_text("MSCOCO_OBJECTS = []\n", encoding="utf-8")
    with pytest.raises(RuntimeError, match=r"has no INVERSE_SYNONYM_DICT, DOUBLE_WORD_DICT; .*pip install"):
        vocabulary.read(path)


def test_missing_lmms_eval_is_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RuntimeError, match=r"lmms_eval/tasks/coco_cap_chair/utils\.py .* was not found; .*pip"):
        vocabulary.source()


# NLTK


@pytest.fixture
def fresh_nltk():
    """Forget which NLTK was loaded, before and after."""
    for clear in (words._nltk.cache_clear, chair._reader.cache_clear):
        clear()
    yield
    for clear in (words._nltk.cache_clear, chair._reader.cache_clear):
        clear()


@pytest.mark.usefixtures("fresh_nltk")
def test_missing_nltk_data_is_an_error_with_the_command(monkeypatch):
    def lookup(name):
        def fail(*args, **kwargs):
            raise LookupError(f"Resource {name} not found.\n  >>> import nltk\n  >>> nltk.download('{name}')")

        return fail

    stub = SimpleNamespace(
        word_tokenize=lookup("punkt"),
        pos_tag=lambda tokens: [(token, "NN") for token in tokens],
        WordNetLemmatizer=lambda: SimpleNamespace(lemmatize=lookup("wordnet")),
    )
    monkeypatch.setitem(sys.modules, "nltk", stub)
    with pytest.raises(RuntimeError, match=r"run: python -m nltk\.downloader punkt wordnet$"):
        chair.check("nltk")
    with pytest.raises(RuntimeError, match=r"nltk\.downloader"):
        chair.score({1: CAPTION}, {1: TRUTH}, "nltk")


@pytest.mark.usefixtures("fresh_nltk")
def test_real_nltk_without_data_is_an_error_with_the_command(monkeypatch):
    data = pytest.importorskip("nltk.data")
    monkeypatch.setattr(data, "path", [])
    with pytest.raises(RuntimeError, match=r"nltk\.downloader \w+"):
        words.check_nltk()


@pytest.mark.usefixtures("fresh_nltk")
def test_missing_nltk_is_an_error_with_the_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "nltk", None)
    with pytest.raises(RuntimeError, match="pip install nltk"):
        chair.check("nltk")


@pytest.mark.usefixtures("fresh_nltk")
def test_nltk_mode_lemmatizes_by_part_of_speech(monkeypatch):
    tags = {"men": "NNS", "seated": "VBN", "dogs": "NNS", "on": "IN", "seats": "NNS"}
    lemmas = {("seated", "v"): "seat", ("dogs", "n"): "dog", ("seats", "n"): "seat", ("men", "n"): "men"}
    stub = SimpleNamespace(
        word_tokenize=str.split,
        pos_tag=lambda tokens: [(token, tags.get(token, "NN")) for token in tokens],
        WordNetLemmatizer=lambda: SimpleNamespace(lemmatize=lambda word, pos="n": lemmas.get((word, pos), word)),
    )
    monkeypatch.setitem(sys.modules, "nltk", stub)
    assert chair.objects("Men seated on bus", "nltk") == ["chair", "bus"]
    assert chair.objects("hot dogs on toilet seats", "nltk") == ["hot dog", "toilet"]
    assert chair.score({1: "dogs on seats"}, {1: {"dog"}}, "nltk")["mode"] == "nltk"
    assert chair.record("dogs on seats", {"dog"}, "nltk")["length"] == 3


def test_nltk_mode_with_its_data():
    try:
        chair.check("nltk")
    except RuntimeError as missing:
        pytest.skip(str(missing))
    assert chair.objects("a seated crowd", "nltk") == ["chair"]
    assert chair.objects("a bus", "nltk") == ["bus"]
    assert chair.objects("the men", "nltk") == []


# The package


def test_scorers_import_no_heavy_package():
    code = (
        "import sys\n"
        "from hallu_tasks.scoring import chair, yesno, pope, mme, paired\n"
        "import hallu_tasks\n"
        "chair.objects('a dog')\n"
        "heavy = {'torch', 'transformers', 'lmms_eval', 'hallu_models', 'nltk', 'scipy'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_path_of_the_package_is_printed():
    import hallu_tasks

    done = subprocess.run([sys.executable, "-m", "hallu_tasks"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == hallu_tasks.path()
    assert vocabulary.__file__.startswith(hallu_tasks.path())
