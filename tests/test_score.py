"""``hallu score``: the files it reads, what it refuses, and that a score belongs to its question."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

import hallu_tasks
from hallu_tasks.files.image_names import image_number
from hallu_tasks.scoring import amber, chair, mme, opope, paired, pope
from registry.commands import cli

ROOT = Path(hallu_tasks.__file__).parents[1]
QUICK = ("--resamples", "300")

CATEGORIES = {1: "person", 18: "dog", 34: "frisbee", 15: "bench", 6: "bus"}
OBJECTS = {310196: (1, 18, 34), 42: (1, 18, 34), 7: (6,), 8: ()}
"""Images of the truth and the categories annotated in them."""
SENTENCES = {310196: "Two dogs play.", 42: "A dog.", 7: "A red double-decker.", 8: "An empty field."}
EXAMPLE = {310196: "Two dogs play with a frisbee near a bench. A dog jumps.", 42: "A dog."}
"""Dog, frisbee, bench, dog and dog, where there are a dog, a person and a frisbee."""

Row = Mapping[str, Any]


def lines(path: Path, rows: Sequence[Row]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def array(path: Path, rows: Sequence[Row]) -> Path:
    path.write_text(json.dumps(rows, indent=4), encoding="utf-8")
    return path


def run(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str, str]:
    try:
        code = cli.main(["score", *map(str, arguments)])
    except SystemExit as end:
        code = int(end.code or 0)
    out, err = capsys.readouterr()
    return code, out, err


def result(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> dict[str, Any]:
    code, out, err = run(capsys, *arguments, *QUICK, "--json")
    assert (code, err) == (0, "")
    data: dict[str, Any] = json.loads(out)
    return data


def refused(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    code, out, err = run(capsys, *arguments, *QUICK)
    assert (code, out) == (2, "")
    assert err.startswith("hallu: ")
    return err


def values(scores: Mapping[str, Any], *names: str) -> list[float]:
    return [scores[name]["value"] for name in names]


# CHAIR


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HALLU_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def coco(tmp_path: Path) -> tuple[Path, Path]:
    """The annotation files of four images."""
    instances, sentences = tmp_path / "instances.json", tmp_path / "captions.json"
    images = [{"id": image, "file_name": f"COCO_val2014_{image:012}.jpg"} for image in OBJECTS]
    annotations = [{"image_id": i, "category_id": c, "iscrowd": 0} for i, found in OBJECTS.items() for c in found]
    categories = [{"id": number, "name": name} for number, name in CATEGORIES.items()]
    instances.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    described = [{"image_id": image, "id": 0, "caption": text} for image, text in SENTENCES.items()]
    sentences.write_text(json.dumps({"images": images, "annotations": described}))
    return instances, sentences


def captioned(captions: Mapping[Any, object], image: str = "image_id", caption: str = "caption") -> list[Row]:
    return [{image: key, caption: text} for key, text in captions.items()]


def test_chair_of_the_example(capsys: pytest.CaptureFixture[str], tmp_path: Path, coco: tuple[Path, Path]) -> None:
    file = lines(tmp_path / "a.jsonl", captioned(EXAMPLE))
    data = result(capsys, "chair", "--captions", file, "--truth", *coco)
    expected = [20.0, 50.0, 50.0]
    assert values(data, "chair_i", "chair_s", "recall") == pytest.approx(expected)
    assert (data["mode"], data["captions_count"], data["hallucinated_count"]) == ("reference", 2, 1)
    assert data["files"] == {"captions": [str(file)], "truth": [str(path) for path in coco]}


def test_every_way_to_write_captions_scores_the_same(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, coco: tuple[Path, Path]
) -> None:
    named = {f"COCO_val2014_{image:012}.jpg": text for image, text in EXAMPLE.items()}
    folder = {f"val2014/COCO_val2014_{image:012}.jpg": text for image, text in EXAMPLE.items()}
    ways: list[tuple[Path, tuple[str, ...]]] = [
        (array(tmp_path / "1", captioned(EXAMPLE)), ()),
        (lines(tmp_path / "2", captioned({str(image): text for image, text in EXAMPLE.items()})), ()),
        (lines(tmp_path / "3", captioned(named)), ()),
        (array(tmp_path / "4", captioned(folder, "image", "text")), ("--image-key", "image", "--caption-key", "text")),
        (lines(tmp_path / "5", captioned(EXAMPLE)[::-1]), ()),
    ]
    results = [result(capsys, "chair", "--captions", file, "--truth", *coco, *keys) for file, keys in ways]
    for other in results:
        assert {**other, "files": None} == {**results[0], "files": None}


def test_the_mode_is_named_and_counts(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, coco: tuple[Path, Path]
) -> None:
    file = lines(tmp_path / "a.jsonl", captioned({7: "A bus.", 42: "A dog."}))
    given = ("chair", "--captions", file, "--truth", *coco)
    recalls = {}
    for mode in ("reference", "fixed"):
        code, out, _ = run(capsys, *given, "--mode", mode, *QUICK)
        assert code == 0
        assert f"mode {mode}; 2 captions" in out.splitlines()[0]
        (recalls[mode],) = values(result(capsys, *given, "--mode", mode), "recall")
    # The original does not find "bus", so one of four objects is recalled instead of two.
    assert recalls == {"reference": 25.0, "fixed": 50.0}


def test_intervals_of_chair_are_those_of_the_scorers(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, coco: tuple[Path, Path]
) -> None:
    captions = {**EXAMPLE, 7: "A dog on a bench."}
    file = lines(tmp_path / "a.jsonl", captioned(captions))
    data = result(capsys, "chair", "--captions", file, "--truth", *coco, "--seed", "3")
    truth = chair.truth_from_coco(*coco)
    records = {image: chair.record(text, truth[image]) for image, text in captions.items()}
    assert data["chair_s"]["interval"] == pytest.approx(paired.wilson(2, 3))
    drawn = paired.estimate(records, statistic=chair.STATISTICS["chair_i"], resamples=300, seed=3)
    assert data["chair_i"]["interval"] == pytest.approx(drawn.interval)
    assert {name: data[name]["value"] for name in chair.STATISTICS} == pytest.approx(
        {name: chair.score(captions, truth)[name] for name in chair.STATISTICS}
    )


def test_chair_as_text_is_an_aligned_table(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, coco: tuple[Path, Path]
) -> None:
    file = lines(tmp_path / "a.jsonl", captioned(EXAMPLE))
    code, out, _ = run(capsys, "chair", "--captions", file, "--truth", *coco, *QUICK)
    table = [line for line in out.splitlines() if " [" in line]
    assert code == 0
    assert [line.split("  ")[0] for line in table] == [
        "CHAIR_s ↓",
        "CHAIR_i ↓",
        "recall ↑",
        "precision ↑",
        "F1 ↑",
        "mean length",
        "mean mentions",
    ]
    assert len({len(line) - len(line.split("  ", 1)[1].lstrip()) for line in table}) == 1
    assert "CHAIR_i ↓      20.0 [" in out
    assert "1 of 5 mentions are hallucinated; 0 captions name no object" in out
    assert "\x1b" not in out


def test_one_caption_has_no_interval_and_says_why(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, coco: tuple[Path, Path]
) -> None:
    file = lines(tmp_path / "a.jsonl", captioned({42: "Nothing to see."}))
    _, out, _ = run(capsys, "chair", "--captions", file, "--truth", *coco, *QUICK)
    assert "CHAIR_i: N/A, no caption mentions an object" in out
    assert "recall: no interval, a single unit has no spread" in out
    data = result(capsys, "chair", "--captions", file, "--truth", *coco)
    assert data["chair_i"]["value"] is None
    assert data["chair_i"]["reasons"]["value"] == "no caption mentions an object"


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"image_id": 42, "text": "A dog."}], "line 1 has no 'caption'; its keys: image_id, text; .*--caption-key"),
        ([{"id": 42, "caption": "A dog."}], "line 1 has no 'image_id'; its keys: id, caption; .*--image-key"),
        ([{"image_id": "dog.jpg", "caption": "A dog."}], "line 1: image_id 'dog.jpg' is no COCO image id; allowed: "),
        ([{"image_id": True, "caption": "A dog."}], "line 1: image_id True is no COCO image id"),
        ([{"image_id": "7" * 6_000, "caption": "A dog."}], r"line 1: image_id '7+\.\.\.7+' is no COCO image id"),
        ([{"image_id": 42, "caption": ["A dog."]}], r"line 1: the value of 'caption' must be text, got \['A dog.'\]"),
        (captioned(EXAMPLE) + captioned({"42": "A cat."}), "line 3: image id 42 occurs also in .*line 2; keep one"),
        (
            captioned({42: "A dog.", 99: "A cat."}),
            r"1 of 2 captions .*instances.json does not hold \(.*line 2: image id 99\)",
        ),
        (
            captioned({42: "A dog.", 8: "A field."}),
            r"1 of 2 .* without any object .*line 2: image id 8\).*--allow-empty-truth",
        ),
        ([], "a.jsonl is empty; give a JSON list or JSONL of"),
    ],
)
def test_a_bad_caption_is_named_with_its_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, coco: tuple[Path, Path], rows: Sequence[Row], message: str
) -> None:
    file = lines(tmp_path / "a.jsonl", rows)
    err = refused(capsys, "chair", "--captions", file, "--truth", *coco)
    assert str(file) in err
    assert re.search(message, err)


def test_an_empty_truth_can_be_allowed(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, coco: tuple[Path, Path]
) -> None:
    file = lines(tmp_path / "a.jsonl", captioned({42: "A dog.", 8: "A bench."}))
    data = result(capsys, "chair", "--captions", file, "--truth", *coco, "--allow-empty-truth")
    assert values(data, "chair_s") == [50.0]
    assert data["notes"] == ["1 captions are of images without any object; all their mentions are hallucinated"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('[{"image_id": 42, "caption": "A dog."},\n {"image_id": 7, "capt', "line 2: not valid JSON"),
        ('{"image_id": 42, "caption": "A dog."}\n{"image_id": 7, "capt', "line 2: not valid JSON"),
        ('[{"image_id": 42, "caption": "A dog."}, 7]', "entry 2 is a JSON int, not an object"),
        ('"A dog."\n', "line 1 is a JSON str, not an object"),
        ('{\n "images": [], "annotations": []\n}', "is one JSON object with the keys images, annotations; give a JSON"),
        ('{"images": [\n], "annotations": []}', "is one JSON object with the keys images, annotations; give a JSON"),
        ('{"image_id": 42,\n{"image_id": 7}', "line 1: not valid JSON"),
        ("[" * 100_000, "a.json is nested too deeply to be read; it was edited, so write it again"),
        ('{"image_id": ' + "[" * 100_000, "line 1 is nested too deeply to be read"),
        (f'{{"image_id": {"7" * 6_000}}}', "line 1 holds a number that cannot be read"),
        ("[]", "is empty"),
        (b"\xff\xfe", "is not UTF-8 text (byte 0)"),
    ],
)
def test_a_damaged_file_is_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, coco: tuple[Path, Path], content: str | bytes, message: str
) -> None:
    file = tmp_path / "a.json"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    err = refused(capsys, "chair", "--captions", file, "--truth", *coco)
    assert str(file) in err
    assert message in err


def test_a_byte_order_mark_and_other_line_ends_do_no_harm(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, coco: tuple[Path, Path]
) -> None:
    file = lines(tmp_path / "a.jsonl", captioned(EXAMPLE))
    plain = result(capsys, "chair", "--captions", file, "--truth", *coco)
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes().replace(b"\n", b"\r\n"))
    assert result(capsys, "chair", "--captions", file, "--truth", *coco) == plain


def test_annotation_files_that_are_not_the_two_of_coco_are_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, coco: tuple[Path, Path]
) -> None:
    instances, sentences = coco
    file = lines(tmp_path / "a.jsonl", captioned(EXAMPLE))
    order = "--truth takes instances_val2014.json, then captions_val2014.json"
    given = ("chair", "--captions", file, "--truth")
    for truth, message in (
        ((instances, instances), f"{instances}: annotations[0] has no caption; {order}"),
        ((sentences, instances), f"{sentences} has no 'categories'; "),
        ((instances, tmp_path / "none.json"), f"{tmp_path / 'none.json'} does not exist; {order}"),
        ((tmp_path, sentences), f"{tmp_path} is a folder; {order}"),
    ):
        assert message in refused(capsys, *given, *truth)
    sentences.write_text(sentences.read_text()[:-40])
    assert f"{sentences} is not valid JSON (" in refused(capsys, *given, instances, sentences)
    assert "does not exist; give a JSON list" in refused(
        capsys, "chair", "--captions", tmp_path / "none", "--truth", *coco
    )
    assert f"{tmp_path} is a folder; give a" in refused(capsys, "chair", "--captions", tmp_path, "--truth", *coco)


def test_the_truth_is_read_once(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, coco: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = lines(tmp_path / "a.jsonl", captioned(EXAMPLE))
    first = result(capsys, "chair", "--captions", file, "--truth", *coco)
    monkeypatch.setattr(chair, "truth_from_coco", None)
    assert result(capsys, "chair", "--captions", file, "--truth", *coco) == first
    assert len(list((tmp_path / "cache" / "truth").iterdir())) == 1


def test_missing_data_of_a_mode_are_an_error_with_the_command(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, coco: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(mode: str) -> None:
        raise RuntimeError(f"CHAIR mode {mode} needs NLTK data; run: python -m nltk.downloader wordnet")

    monkeypatch.setattr(chair, "check", missing)
    err = refused(capsys, "chair", "--captions", tmp_path / "a", "--truth", *coco, "--mode", "nltk")
    assert err == "hallu: CHAIR mode nltk needs NLTK data; run: python -m nltk.downloader wordnet\n"


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (310196, 310196),
        ("310196", 310196),
        ("000000310196.jpg", 310196),
        ("COCO_val2014_000000310196", 310196),
        ("/data/COCO_train2014_000000000009.png", 9),
        ("dog", None),
        ("COCO_val2014_", None),
        ("7" * 6_000, None),
        (False, None),
        (3.0, None),
        (None, None),
    ],
)
def test_image_ids(value: object, number: int | None) -> None:
    assert image_number(value) == number


# POPE


def asked(images: int, word: str = "thing", typo: bool = False) -> list[dict[str, Any]]:
    """Six questions an image, yes and no in turn; the same six texts about every image."""
    return [
        {
            "question_id": 6 * image + place + 1,
            "image": f"COCO_val2014_{image:012}.jpg",
            "text": f"Is there a {word} {place} in the {'imange' if typo else 'image'}?",
            "label": ("yes", "no")[place % 2],
        }
        for image in range(images)
        for place in range(6)
    ]


def right(questions: Sequence[Row]) -> list[dict[str, Any]]:
    """Perfect answers, with the questions' texts."""
    return [
        {"question_id": row["question_id"], "prompt": row["text"], "text": row["label"].capitalize()}
        for row in questions
    ]


def old_and_new(seed: int = 332) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Random questions as the two releases have them: 3,000, and 2,910 without some that are to be denied."""
    new = asked(500)
    dropped = set(random.Random(seed).sample(range(1, 3000, 2), 90))
    kept = [row for place, row in enumerate(new) if place not in dropped]
    return [{**row, "question_id": number} for number, row in enumerate(kept, start=1)], new


def test_perfect_answers_to_the_older_release_score_100_and_by_position_51(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    old, new = old_and_new()
    by_position = pope.score([row["label"] for row in old], [row["label"] for row in new][: len(old)])
    assert by_position["accuracy"] == pytest.approx(51.3, abs=0.05)
    answered = lines(tmp_path / "answers.jsonl", right(old))
    for questions in (lines(tmp_path / "old.json", old), array(tmp_path / "old_array.json", old)):
        data = result(capsys, "pope", "--answers", answered, "--questions", questions)
        assert values(data["pooled"], "accuracy", "f1") == [100.0, 100.0]
    err = refused(capsys, "pope", "--answers", answered, "--questions", lines(tmp_path / "new.json", new))
    assert "answers.jsonl does not answer the questions of" in err
    assert "90 questions have no answer (question_id 2911, 2912, 2913, 2914, 2915 and 85 more)" in err
    assert "answers are to another question of the same id" in err
    assert "older release with 2,910 random questions, the other of the newer with 3,000" in err


def test_answers_without_ids_are_refused_for_the_other_release(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    old, new = old_and_new()
    said = lines(tmp_path / "a", [{"question": row["text"], "answer": row["label"]} for row in old])
    assert values(
        result(capsys, "pope", "--answers", said, "--questions", lines(tmp_path / "old", old))["pooled"], "accuracy"
    ) == [100.0]
    err = refused(capsys, "pope", "--answers", said, "--questions", lines(tmp_path / "new", new))
    assert "has no question_id and does not repeat the questions" in err
    assert "older release with 2,910" in err


def test_every_way_to_write_answers_scores_the_same_in_any_order(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    questions = asked(5)
    said = [(row, ("Yes.", "No, there is none.")[row["question_id"] % 3 == 0]) for row in questions]
    ask = "Answer the question using a single word or phrase."
    ways: list[list[dict[str, Any]]] = [
        [{"question_id": q["question_id"], "text": a} for q, a in said],
        [{"question_id": str(q["question_id"]), "prompt": f"{q['text']}\n{ask}", "text": a} for q, a in said],
        [{"question_id": q["question_id"], "question": q["text"].lower(), "answer": a} for q, a in said],
        [{"question_id": q["question_id"], "text": q["text"], "answer": a, "label": "no"} for q, a in said],
        [{"image": q["image"], "question": q["text"].replace("image?", "imange?"), "answer": a} for q, a in said],
    ]
    files = [lines(tmp_path / "questions.json", questions), array(tmp_path / "array.json", asked(5, typo=True))]
    results = []
    for number, way in enumerate(ways):
        shuffled = random.Random(number).sample(way, len(way))
        for file, source in zip((lines(tmp_path / f"{number}", way), array(tmp_path / f"{number}s", shuffled)), files):
            results.append(result(capsys, "pope", "--answers", file, "--questions", source)["pooled"])
    for other in results:
        assert other == results[0]
    labels = [row["label"] for row in questions]
    assert values(results[0], "accuracy", "f1") == pytest.approx(
        [pope.score([answer for _, answer in said], labels)[name] for name in ("accuracy", "f1")]
    )


def test_bare_answers_keep_the_order_or_ask_no_text_twice(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    def bare(questions: Sequence[Row]) -> list[Row]:
        return [{"question": row["text"], "answer": row["label"]} for row in questions]

    once = asked(1)
    file = lines(tmp_path / "a", bare(once)[::-1])
    data = result(capsys, "pope", "--answers", file, "--questions", lines(tmp_path / "q", once))
    assert values(data["pooled"], "accuracy") == [100.0]
    # Place 0 is asked about both images, and now with different labels.
    twice = [*once, {**once[0], "question_id": 7, "image": "COCO_val2014_000000000009.jpg", "label": "no"}]
    questions = lines(tmp_path / "q", twice)
    data = result(capsys, "pope", "--answers", lines(tmp_path / "a", bare(twice)), "--questions", questions)
    assert values(data["pooled"], "accuracy") == [100.0]
    file = lines(tmp_path / "a", bare(twice)[::-1])
    err = refused(capsys, "pope", "--answers", file, "--questions", questions)
    assert f"line by line (first at {file}, line 2)" in err
    assert "'Is there a thing 0 in the image?', asked 2 times, cannot be told apart" in err


def test_what_an_answer_file_does_not_carry_is_noted(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    source = lines(tmp_path / "q", asked(2))
    ways: list[tuple[list[Row], list[str]]] = [
        ([{"question_id": row["question_id"], "text": "Yes"} for row in asked(2)], ["by question_id alone"]),
        ([{"question": row["text"], "answer": "Yes"} for row in asked(2)], ["only the order tells equal texts apart"]),
        ([{"question": row["text"], "image": row["image"], "answer": "Yes"} for row in asked(2)], []),
        (list(right(asked(2))), []),
    ]
    for rows, expected in ways:
        given = ("pope", "--answers", lines(tmp_path / "a", rows), "--questions", source)
        notes = result(capsys, *given)["notes"]
        assert [note.endswith(end) for note, end in zip(notes, expected, strict=True)] == [True] * len(expected)
        assert [f"Note: {note}" in run(capsys, *given, *QUICK)[1] for note in notes] == [True] * len(expected)


def test_strategies_stand_beside_their_mean_f1_and_the_pooled_value(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    names = ("random", "popular", "adversarial")
    files: list[str | Path] = ["pope", "--answers"]
    questions = {name: asked(4, name) for name in names}
    labels, said = {}, {}
    for number, name in enumerate(names):
        rows = right(questions[name])
        # More and more denials, so that the strategies differ.
        rows = [{**row, "text": "No" if row["question_id"] % 6 <= number else row["text"]} for row in rows]
        files.append(lines(tmp_path / f"answers_{name}.jsonl", rows))
        for question, row in zip(questions[name], rows):
            key = pope.question_key(name, question["question_id"], question["text"])
            labels[key], said[key] = question["label"], row["text"]
    files += ["--questions", *(lines(tmp_path / f"coco_pope_{name}.json", questions[name]) for name in names)]
    data = result(capsys, *files)
    expected = pope.score_by_strategy(said, labels)
    assert list(data["strategies"]) == list(names)
    for name in names:
        assert data["strategies"][name]["f1"]["value"] == pytest.approx(expected["strategies"][name]["f1"])
        assert data["strategies"][name]["questions_count"] == 24
    for name in ("f1_mean_of_strategies", "f1_pooled"):
        assert data[name]["value"] == pytest.approx(expected[name])
        assert data[name]["interval"][0] <= data[name]["value"] <= data[name]["interval"][1]
    assert data["f1_mean_of_strategies"]["value"] != pytest.approx(data["f1_pooled"]["value"])
    assert (data["policy"], data["images_count"], data["pooled"]["questions_count"]) == ("official", 4, 72)
    code, out, _ = run(capsys, *files, *QUICK)
    assert code == 0
    assert out.startswith("POPE in percent; policy official; 72 questions on 4 images\n")
    (head,) = [line for line in out.splitlines() if line.split() == [*names, "all", "pooled"]]
    (row,) = [line for line in out.splitlines() if line.startswith("accuracy")]
    assert [row[head.index(name) - 2 : head.index(name)] for name in names] == ["  "] * 3
    assert "mean F1 of the strategies ↑  " in out
    assert "F1 of all questions pooled ↑  " in out
    assert max(len(line) for line in out.splitlines() if not line.startswith(("answers", "questions"))) <= 100


def test_many_question_files_go_into_further_tables(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    names = [f"{source}_pope_{name}" for source in ("coco", "gqa") for name in ("adversarial", "popular", "random")]
    questions = asked(2)
    answer_files = [lines(tmp_path / f"answers_{name}", right(questions)) for name in names]
    question_files = [lines(tmp_path / f"{name}.json", questions) for name in names]
    given = ("pope", "--answers", *answer_files, "--questions", *question_files)
    assert list(result(capsys, *given)["strategies"]) == names
    out = run(capsys, *given, *QUICK)[1]
    assert [line.split() for line in out.splitlines() if "_pope_" in line and "/" not in line] == [
        names[:4],
        [*names[4:], "all", "pooled"],
    ]


def test_pope_resamples_images(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    questions = asked(6)
    rows = [{**row, "text": "No" if row["question_id"] <= 12 else row["text"]} for row in right(questions)]
    file = lines(tmp_path / "a", rows)
    data = result(capsys, "pope", "--answers", file, "--questions", lines(tmp_path / "q", questions))
    records = {row["question_id"]: pope.record(row["text"], q["label"]) for row, q in zip(rows, questions)}
    unit = {row["question_id"]: int(row["image"][-7:-4]) for row in questions}
    drawn = paired.estimate(records, statistic=pope.STATISTICS["accuracy"], unit=unit, resamples=300)
    assert data["pooled"]["accuracy"]["interval"] == pytest.approx(drawn.interval)
    assert data["pooled"]["accuracy"]["method"] == "percentile bootstrap over units"


def test_the_policy_is_named_and_counts(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    questions = asked(2)
    rows = [{**row, "text": "NO" if row["text"] == "No" else "perhaps"} for row in right(questions)]
    file, source = lines(tmp_path / "a", rows), lines(tmp_path / "q", questions)
    found = {}
    for policy in ("official", "words"):
        data = result(capsys, "pope", "--answers", file, "--questions", source, "--policy", policy)
        assert data["policy"] == policy
        found[policy] = (*values(data["pooled"], "accuracy"), data["pooled"]["unparsed_count"])
    # Official reads both as yes; words reads NO and leaves "perhaps" unparsed.
    assert found == {"official": (50.0, 0), "words": (50.0, 6)}
    code, _, err = run(capsys, "pope", "--answers", file, "--questions", source, "--policy", "exact")
    assert code == 2
    assert "official" in err and "strict" in err


QUESTION = asked(1)[0]
SAID = {"question_id": 1, "text": "Yes"}


@pytest.mark.parametrize(
    ("said", "questions", "message"),
    [
        ([SAID, SAID], [QUESTION], "a, line 2: question_id 1 occurs also in .*a, line 1; keep one answer"),
        ([SAID], [QUESTION, QUESTION], "q, line 2: question_id 1 occurs also in .*q, line 1; "),
        (
            [{"question_id": 2, "text": "Yes"}],
            [QUESTION],
            r"1 answers are to questions that are not in it \(.*line 1, q",
        ),
        ([{**SAID, "prompt": "Is there a cat?"}], [QUESTION], "another question of the same id .*'Is there a cat.'"),
        ([{**SAID, "image": "1.jpg"}], [QUESTION], "another question of the same id"),
        (
            [{"question": "Is there a cat?", "answer": "No"}],
            [QUESTION],
            "1 answers are to questions that are not in it",
        ),
        ([{"question_id": 1}], [QUESTION], "a, line 1 has no 'text'; its keys: question_id; give a JSON list"),
        ([{"text": "Yes"}], [QUESTION], "a, line 1 has no 'question_id'; its keys: text"),
        (
            [{"question_id": "one", "text": "Yes"}],
            [QUESTION],
            "a, line 1: question_id must be a whole number, got 'one'",
        ),
        ([{"question_id": "7" * 6_000, "text": "Yes"}], [QUESTION], r"a, line 1: question_id must be .*7\.\.\.7"),
        ([{"question_id": 1, "text": None}], [QUESTION], "a, line 1: the value of 'text' must be text, got None"),
        ([SAID, {"question": "Is it?", "answer": "No"}], [QUESTION], "line 2 has no question_id, but .*line 1 has one"),
        ([QUESTION], [QUESTION], "a holds the questions themselves; give a JSON list"),
        (
            [SAID],
            [SAID],
            "^hallu: [^ ]*q, line 1 has no 'label'; its keys: question_id, text; give a question file of the benchmark",
        ),
        ([SAID], [{**QUESTION, "label": "maybe"}], "q, line 1: unknown label 'maybe'; allowed: yes, no"),
        ([SAID], asked(1), r"5 questions have no answer \(question_id 2, 3, 4, 5, 6\). Finish the run"),
    ],
)
def test_answers_that_do_not_fit_are_named(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    said: Sequence[Row],
    questions: Sequence[Row],
    message: str,
) -> None:
    files = lines(tmp_path / "a", said), lines(tmp_path / "q", questions)
    err = refused(capsys, "pope", "--answers", files[0], "--questions", files[1])
    assert re.search(message, err)


def test_answers_decided_by_default_are_counted_and_many_are_a_warning(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    source = lines(tmp_path / "q", asked(10))
    for count, key in ((0, None), (3, "notes"), (60, "warnings")):
        said = [{**row, "text": "perhaps" if row["question_id"] <= count else row["text"]} for row in right(asked(10))]
        given = ("pope", "--answers", lines(tmp_path / "a", said), "--questions", source)
        data = result(capsys, *given)
        assert data["pooled"]["by_default_count"] == data["strategies"]["q"]["by_default_count"] == count
        found = {name: [text for text in data[name] if "by default" in text] for name in ("warnings", "notes")}
        assert found == {name: found[name] if name == key else [] for name in found}
        text = run(capsys, *given, *QUICK)[1]
        assert re.search(rf"^by default +{count}$", text, re.MULTILINE)
        if key:
            (said_once,) = found[key]
            assert said_once.startswith(f"{count} of 60 answers ({100 * count / 60:.3g} %)")
            assert f"{'Warning' if key == 'warnings' else 'Note'}: {said_once}\n" in text


def test_blank_answers_are_counted(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    source = lines(tmp_path / "q", asked(2))
    blank = [{**row, "text": " \n" if row["question_id"] < 4 else row["text"]} for row in right(asked(2))]
    given = ("pope", "--answers", lines(tmp_path / "a", blank), "--questions", source)
    for policy, what in (("official", "reads them as yes"), ("words", "cannot read them")):
        (note,) = [text for text in result(capsys, *given, "--policy", policy)["notes"] if "blank" in text]
        assert note == f"3 of 12 answers of {tmp_path / 'a'} are blank; policy {policy} {what}"
        assert f"Note: {note}\n" in run(capsys, *given, "--policy", policy, *QUICK)[1]


def test_files_that_do_not_pair_are_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    questions = [lines(tmp_path / f"coco_pope_{name}.json", asked(1)) for name in ("random", "popular")]
    said = [lines(tmp_path / f"answers_{name}.jsonl", right(asked(1))) for name in ("popular", "random")]
    err = refused(capsys, "pope", "--answers", said[0], "--questions", *questions)
    assert "1 answer files for 2 question files; give one answer file for each" in err
    err = refused(capsys, "pope", "--answers", *said, "--questions", *questions)
    assert f"{said[0]} (popular) stands beside {questions[0]} (random)" in err
    err = refused(capsys, "pope", "--answers", said[0], said[0], "--questions", *questions)
    assert "files given twice" in err
    assert "does not exist; give a question file" in refused(
        capsys, "pope", "--answers", said[1], "--questions", tmp_path / "none"
    )


# OPOPE


def about(*asked: tuple[int, str, str]) -> list[Row]:
    """Questions by image, object and answer."""
    return [
        {"question_id": number, "image": f"COCO_val2014_{image:012}.jpg", "text": f"Is there a {name} in the image?"}
        | {"label": label}
        for number, (image, name, label) in enumerate(asked, start=1)
    ]


SEEN = (42, "dog", "yes"), (42, "bench", "no"), (7, "bus", "yes"), (7, "cat", "no")
DETAILED = {42: "Two dogs on a bench.", "COCO_val2014_000000000007.jpg": "Buses, located here."}
"""Dog and bench, of which the bench is not there; a bus, and no cat in "located"."""


def test_opope_of_the_example(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = lines(tmp_path / "captions.jsonl", captioned(DETAILED))
    source = lines(tmp_path / "coco_pope_random.json", about(*SEEN))
    found = result(capsys, "opope", "--captions", file, "--questions", source)
    pooled = found["pooled"]
    # Two right of three that are named; both that are there are named: F_0.2 = 1.04 * 2 / (3 + 0.04 * 2).
    assert values(pooled, "accuracy", "precision", "recall", "f_beta") == pytest.approx(
        [75.0, 200 / 3, 100.0, 208 / 3.08]
    )
    assert (found["mode"], found["beta"], found["images_count"], pooled["questions_count"]) == ("reference", 0.2, 2, 4)
    out = run(capsys, "opope", "--captions", file, "--questions", source, *QUICK)[1]
    assert out.startswith("OPOPE in percent; mode reference; 4 questions on 2 images\n")
    assert "F_0.2 ↑      67.5 [" in out
    assert "mean F_0.2" not in out


def test_strategies_of_opope_stand_beside_their_mean_and_all_questions_pooled(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = lines(tmp_path / "captions.jsonl", captioned(DETAILED))
    asked_for = {"random": SEEN, "popular": (*SEEN[:3], (7, "person", "no"), (42, "cup", "yes"))}
    sources = [lines(tmp_path / f"coco_pope_{name}.json", about(*rows)) for name, rows in asked_for.items()]
    given = ("opope", "--captions", file, "--questions", *sources)
    found = result(capsys, *given, "--seed", "3")
    captions = {42: "Two dogs on a bench.", 7: "Buses, located here."}
    rows = {
        name: [{"image": image, "text": thing, "label": label} for image, thing, label in listed]
        for name, listed in asked_for.items()
    }
    expected = opope.score_by_strategy(captions, rows)
    for name in asked_for:
        assert found["strategies"][name]["f_beta"]["value"] == pytest.approx(expected["strategies"][name]["f_beta"])
    for name in ("f_beta_mean_of_strategies", "f_beta_pooled"):
        assert found[name]["value"] == pytest.approx(expected[name])
    assert found["f_beta_mean_of_strategies"]["value"] != pytest.approx(found["f_beta_pooled"]["value"])
    records = [
        opope.record(captions[image], thing, label) for listed in asked_for.values() for image, thing, label in listed
    ]
    unit = [image for listed in asked_for.values() for image, *_ in listed]
    drawn = paired.estimate(records, statistic=opope.STATISTICS["f_beta"], unit=unit, resamples=300, seed=3)
    assert found["f_beta_pooled"]["interval"] == pytest.approx(drawn.interval)
    out = run(capsys, *given, *QUICK)[1]
    assert "mean F_0.2 of the strategies ↑" in out and "F_0.2 of all questions pooled ↑" in out


@pytest.mark.parametrize(
    ("captions", "questions", "message"),
    [
        (
            {42: "A dog."},
            SEEN,
            r"2 of 4 questions are about images that .*captions.jsonl does not describe \(first .*line 3",
        ),
        ({42: "A dog."}, [(42, "puppy", "no")], "random.json, line 1: question 'Is there a puppy .* COCO category"),
        ({42: "A dog."}, [SEEN[0], SEEN[0]], "questions that occur twice"),
    ],
)
def test_questions_that_captions_cannot_answer_are_named(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    captions: Mapping[Any, object],
    questions: Sequence[tuple[int, str, str]],
    message: str,
) -> None:
    file = lines(tmp_path / "captions.jsonl", captioned(captions))
    source = lines(tmp_path / "coco_pope_random.json", about(*questions))
    assert re.search(message, refused(capsys, "opope", "--captions", file, "--questions", source))
    assert "files given twice" in refused(capsys, "opope", "--captions", file, "--questions", source, source)


# MME


def answered(folder: Path, subtask: str, *lines: Sequence[str]) -> Path:
    folder.mkdir(exist_ok=True)
    text = "".join("\t".join(line) + "\n" for line in lines)
    (folder / f"{subtask}.txt").write_text(text, encoding="utf-8")
    return folder


def pair(image: str, first: str = "Yes", second: str = "No") -> list[tuple[str, str, str, str]]:
    """An image's two questions, to be affirmed and denied, with two predictions."""
    return [
        (image, f"Is it {x}? Please answer yes or no.", y, p) for x, y, p in (("a", "Yes", first), ("b", "No", second))
    ]


def test_mme_of_the_example(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    folder = answered(tmp_path / "results", "existence", *pair("1.jpg"), *pair("2.jpg", second="Yes\tthere is"))
    data = result(capsys, "mme", "--results", folder)
    existence = data["subtasks"]["existence"]
    assert existence["score"]["value"] == 125.0
    assert (existence["accuracy"], existence["accuracy_plus"], existence["questions_count"]) == (75.0, 50.0, 4)
    assert existence["score"]["interval"] == [50.0, 200.0]
    assert data["subtasks_present"] == ["existence"]
    assert data["perception"] is None and "posters" in data["reasons"]["perception"]
    _, out, _ = run(capsys, "mme", "--results", folder, *QUICK)
    assert out.startswith("MME in points, accuracy in percent; policy prefix; 4 questions on 2 images\n")
    assert "existence  125.0 [50.0, 200.0]  75.0      50.0       4 of 60    0\n" in out
    assert "Note: published numbers are over all questions; 1 subtasks have others, first existence: 4 of 60\n" in out
    assert "hallucination (of 800)  N/A, subtasks without questions: count, position, color\n" in out


def test_totals_of_a_whole_folder(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for subtask in mme.SUBTASKS:
        answered(tmp_path / "r", subtask, *pair("0001.png"), *pair("0002.png", "No", "No"))
    data = result(capsys, "mme", "--results", tmp_path / "r")
    assert [data[name]["value"] for name in mme.TOTALS] == [1250.0, 500.0, 500.0]
    assert (data["questions_count"], data["unparsed_count"]) == (56, 0)
    # The four hallucination subtasks share their two images; names of other subtasks mean other images.
    assert data["hallucination"]["interval"] == [200.0, 800.0]
    assert data["cognition"]["interval"][0] > 200.0
    out = run(capsys, "mme", "--results", tmp_path / "r", *QUICK)[1]
    assert "perception (of 2000)    1250.0 [" in out
    assert max(len(line) for line in out.splitlines() if str(tmp_path) not in line) <= 100


def test_a_part_of_mme_does_not_pass_for_the_whole(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for subtask in mme.HALLUCINATION:
        answered(tmp_path / "r", subtask, *(line for image in range(30) for line in pair(f"{image}.jpg")))
    whole = result(capsys, "mme", "--results", tmp_path / "r")
    assert (whole["hallucination"]["value"], whole["notes"]) == (800.0, [])
    assert whole["subtasks"]["color"]["questions_official_count"] == 60
    out = run(capsys, "mme", "--results", tmp_path / "r", *QUICK)[1]
    assert re.search(r"hallucination \(of 800\) +800\.0 \[800\.0, 800\.0\]\n", out)
    answered(tmp_path / "r", "color", *pair("1.jpg"))
    answered(tmp_path / "r", "count", *(line for image in range(59) for line in pair(f"{image}.jpg")))
    part = result(capsys, "mme", "--results", tmp_path / "r")
    assert part["notes"] == ["published numbers are over all questions; 2 subtasks have others, first count: 118 of 60"]
    out = run(capsys, "mme", "--results", tmp_path / "r", *QUICK)[1]
    # The numbers of questions agree in sum, and it is still another benchmark.
    assert "800.0 [800.0, 800.0] over 240 of 240 questions\n" in out


def test_what_macos_adds_to_an_archive_is_left_out(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    folder = answered(tmp_path / "r", "count", *pair("1.jpg"))
    expected = result(capsys, "mme", "--results", folder)
    (folder / "._count.txt").write_bytes(b"\x00\x05\x16\x07")
    assert result(capsys, "mme", "--results", folder) == expected


@pytest.mark.parametrize(
    ("subtask", "rows", "message"),
    [
        ("existence", pair("1.jpg")[:1], "existence.txt: MME questions without their partner .*'1.jpg', 'Is it a"),
        ("existence", [*pair("1.jpg"), pair("1.jpg")[0]], "existence.txt, line 3 repeats line 1, .*keep one answer to"),
        ("existence", [pair("1.jpg")[0]] * 2, "existence.txt, line 2 repeats line 1, 'Is it a.*' about '1.jpg'; keep"),
        (
            "existence",
            [*pair("1.jpg"), ("1.jpg", "Is it c?", "No", "No")],
            "existence.txt, line 3 is a third question about '1.jpg', after lines 1 and 2; an image has two",
        ),
        ("existence", [("1.jpg", "Is it a?", "Yes")], "existence.txt, line 1 has 3 of 4 fields; a line is image, q"),
        ("existence", [("1.jpg", "Is it a?", "Maybe", "Yes")], "existence.txt, line 1: unknown label 'Maybe'"),
        ("existence", [], "existence.txt is empty"),
        ("existense", pair("1.jpg"), "no subtask of MME: 'existense.txt'; allowed, each with .txt: existence, count"),
    ],
)
def test_a_bad_result_of_mme_is_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, subtask: str, rows: Sequence[Sequence[str]], message: str
) -> None:
    err = refused(capsys, "mme", "--results", answered(tmp_path / "results", subtask, *rows))
    assert re.search(message, err)


def test_a_folder_without_results_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert "none does not exist; --results takes" in refused(capsys, "mme", "--results", tmp_path / "none")
    assert "holds no <subtask>.txt; allowed: existence" in refused(capsys, "mme", "--results", tmp_path)
    (tmp_path / "file").touch()
    assert "file is a file; --results takes the folder" in refused(capsys, "mme", "--results", tmp_path / "file")


# AMBER


SCENES = {1: (["dog", "person", "grass"], ["bench", "cat"]), 2: (["dog"], ["cat"])}
"""What is true of each image, and what models tend to invent."""
QUESTIONS = {
    3: ("discriminative-hallucination", "no", 1),
    4: ("discriminative-attribute-state", "yes", 1),
    5: ("discriminative-attribute-state", "no", 1),
    6: ("relation", "no", 2),
}
"""Type, answer, and the image that is asked about."""
DESCRIPTIONS = {1: "A man walks a dog near a bench. Blue sky.", 2: "A dog."}
"""Of the nouns person, dog, bench, sky and dog one is invented; sky is safe."""
YES_NO = {3: "No.", 4: "Yes", 5: "Yes", 6: "It is red."}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """AMBER's data folder with two images and four questions."""
    folder = tmp_path / "AMBER" / "data"
    (folder / "query").mkdir(parents=True)
    scenes = [
        {"id": number, "type": "generative", "truth": true, "hallu": hallu} for number, (true, hallu) in SCENES.items()
    ]
    asked = [{"id": number, "type": kind, "truth": truth} for number, (kind, truth, _) in QUESTIONS.items()]
    relation = {"dog": [], "person": ["man"], "grass": [], "bench": [], "cat": [], "sky": []}
    images = {**{number: number for number in SCENES}, **{number: image for number, (*_, image) in QUESTIONS.items()}}
    queries = [{"id": number, "image": f"AMBER_{image}.jpg", "query": "?"} for number, image in images.items()]
    array(folder / "annotations.json", [*scenes, *asked])
    array(folder / "query" / "query_all.json", queries)
    (folder / "relation.json").write_text(json.dumps(relation))
    (folder / "safe_words.txt").write_text("sky\n")
    return folder


def responded(responses: Mapping[Any, object]) -> list[Row]:
    return [{"id": number, "response": text} for number, text in responses.items()]


def test_amber_of_the_example(capsys: pytest.CaptureFixture[str], tmp_path: Path, data: Path) -> None:
    file = array(tmp_path / "a.json", responded({**DESCRIPTIONS, **YES_NO}))
    found = result(capsys, "amber", "--responses", file, "--data", data)
    described, answered = found["generative"], found["discriminative"]
    assert values(described, "chair", "cover", "hal", "cog") == pytest.approx([20.0, 75.0, 50.0, 100 / 3])
    assert (described["mode"], described["similarity"], described["responses_count"]) == ("reference", "none", 2)
    # Three labels are no; "No." is the one no that is said, and it is right.
    assert values(answered, "accuracy", "precision", "recall", "f1") == pytest.approx([50.0, 100.0, 100 / 3, 50.0])
    assert [answered[f"always_no_{name}"] for name in ("accuracy", "f1")] == pytest.approx([75.0, 600 / 7])
    assert (answered["policy"], answered["unparsed_count"], answered["images_count"]) == ("words", 1, 2)
    assert values(answered["groups"]["state"], "accuracy", "recall") == [50.0, 0.0]
    assert answered["groups"]["action"]["accuracy"] is None
    assert found["notes"] == []
    assert set(found["files"]) == {"responses", "annotations", "vocabulary", "queries"}


def test_amber_as_text_has_the_baseline_beside_each_score(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, data: Path
) -> None:
    file = array(tmp_path / "a.json", responded({**DESCRIPTIONS, **YES_NO}))
    code, out, _ = run(capsys, "amber", "--responses", file, "--data", data, *QUICK)
    assert code == 0
    assert "generative; mode reference, similarity none; 2 of 2 images described\n" in out
    assert 'discriminative, "no" is positive; policy words; 4 of 4 questions answered on 2 images\n' in out
    cells = [re.split(" {2,}", line) for line in out.splitlines()]
    (head,) = [line for line in cells if line[1:2] == ["accuracy ↑"]]
    assert head == ["", "accuracy ↑", 'always "no"', "F1 ↑", 'always "no"']
    row, _ = [line for line in cells if line[0] == "all"]
    assert [row[2], row[4]] == ["75.0", "85.7"]
    names = [line[0] for line in cells if line[0] in ("all", *amber.GROUPS)]
    assert names == ["all", "existence", "attribute", "state", "relation"] * 2
    assert "1 of 5 nouns are hallucinated; 0 responses have none, 0 are blank" in out
    assert "state, precision: N/A, no answer is no" in out
    assert max(len(line) for line in out.splitlines() if str(tmp_path) not in line) <= 100


def test_intervals_of_amber_are_over_images(capsys: pytest.CaptureFixture[str], tmp_path: Path, data: Path) -> None:
    responses = {**DESCRIPTIONS, **YES_NO}
    file = lines(tmp_path / "a.jsonl", responded(responses))
    found = result(capsys, "amber", "--responses", file, "--data", data, "--seed", "3")
    annotated = amber.read_annotations(data / "annotations.json")
    vocabulary = amber.read_vocabulary(data / "relation.json", data / "safe_words.txt")
    described = {
        number: amber.record_generative(text, annotated.scenes[number], vocabulary)
        for number, text in DESCRIPTIONS.items()
    }
    answered = {
        number: amber.record_discriminative(text, annotated.questions[number]) for number, text in YES_NO.items()
    }
    unit = {number: image for number, (*_, image) in QUESTIONS.items()}
    for name, scores, records, units in (
        ("cover", found["generative"], described, None),
        ("f1", found["discriminative"], answered, unit),
        ("attribute.accuracy", found["discriminative"]["groups"]["attribute"], answered, unit),
    ):
        drawn = paired.estimate(records, statistic=amber.STATISTICS[name], unit=units, resamples=300, seed=3)
        assert scores[name.split(".")[-1]]["interval"] == pytest.approx(drawn.interval)
    assert found["generative"]["hal"]["interval"] == pytest.approx(paired.wilson(1, 2))


def test_hal_is_the_share_of_responses_that_say_anything(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, data: Path
) -> None:
    blank = responded({**DESCRIPTIONS, 2: " \n"})
    hal = result(capsys, "amber", "--responses", array(tmp_path / "a", blank), "--data", data)["generative"]["hal"]
    assert (hal["value"], hal["interval"]) == (100.0, pytest.approx(paired.wilson(1, 1)))
    silent = responded({1: "", 2: ""})
    described = result(capsys, "amber", "--responses", array(tmp_path / "a", silent), "--data", data)["generative"]
    assert described["hal"]["reasons"]["value"] == "there are no responses that say anything"
    assert described["responses_empty_count"] == 2


def test_each_half_alone_needs_its_own_files(capsys: pytest.CaptureFixture[str], tmp_path: Path, data: Path) -> None:
    answers_alone = lines(tmp_path / "answers", responded({str(number): text for number, text in YES_NO.items()}))
    given = ("amber", "--annotations", data / "annotations.json", "--responses")
    found = result(capsys, *given, answers_alone)
    assert found["generative"] is None
    assert found["discriminative"]["f1"]["value"] == 50.0
    assert found["discriminative"]["f1"]["interval"] is None
    assert found["notes"] == ["no intervals for the answers; --queries names the image of each question"]
    out = run(capsys, *given, answers_alone, *QUICK)[1]
    assert "all        50.0 [N/A]" in out and "are not known" not in out
    assert "state, precision: N/A, no answer is no\n" in out and "no interval" not in out.split("\n\n", 1)[1]
    queries = ("--queries", data / "query" / "query_all.json")
    assert result(capsys, *given, answers_alone, *queries)["discriminative"]["f1"]["interval"] is not None
    described = lines(tmp_path / "described", responded(DESCRIPTIONS))
    assert "give --relation and --safe-words, or --data" in refused(capsys, *given, described)
    words = ("--relation", data / "relation.json", "--safe-words", data / "safe_words.txt")
    found = result(capsys, *given, described, *words)
    assert found["discriminative"] is None
    assert values(found["generative"], "chair") == [20.0]


def test_a_part_of_the_benchmark_is_noted(capsys: pytest.CaptureFixture[str], tmp_path: Path, data: Path) -> None:
    file = array(tmp_path / "a.json", responded({1: DESCRIPTIONS[1], 3: "No"}))
    assert result(capsys, "amber", "--responses", file, "--data", data)["notes"] == [
        "1 of 2 images are described; published numbers are over all of them",
        "1 of 4 questions are answered; published numbers are over all of them",
    ]
    out = run(capsys, "amber", "--responses", file, "--data", data, *QUICK)[1]
    assert "1 of 2 images described\n" in out and "1 of 4 questions answered on 1 images\n" in out


def test_the_rules_of_amber_are_named_and_count(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = array(tmp_path / "a.json", responded({**DESCRIPTIONS, **YES_NO}))
    given = ("amber", "--responses", file, "--data", data)
    found = result(capsys, *given, "--policy", "official")["discriminative"]
    # "No." and "It is red." are neither.
    assert (found["policy"], found["unparsed_count"], *values(found, "accuracy")) == ("official", 2, 25.0)

    def missing(mode: str, similarity: str) -> None:
        raise RuntimeError(f"AMBER mode {mode} with {similarity} needs data; run: python -m nltk.downloader wordnet")

    monkeypatch.setattr(amber, "check", missing)
    err = refused(capsys, *given, "--mode", "nltk", "--similarity", "spacy")
    assert err == "hallu: AMBER mode nltk with spacy needs data; run: python -m nltk.downloader wordnet\n"


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"id": 1, "text": "A dog."}], "line 1 has no 'response'; its keys: id, text; give a JSON list or JSONL of"),
        ([{"response": "A dog."}], "line 1 has no 'id'; its keys: response; give"),
        ([{"id": "AMBER_1.jpg", "response": ""}], "line 1: id must be a whole number, got 'AMBER_1.jpg'; give"),
        ([{"id": "7" * 6_000, "response": ""}], r"line 1: id must be a whole number, got '7+\.\.\.7+'; give"),
        ([{"id": True, "response": ""}], "line 1: id must be a whole number, got True"),
        ([{"id": 1, "response": None}], "line 1: the value of 'response' must be text, got None"),
        (responded({1: "A", "1": "B"}), "line 2: id 1 occurs also in .*line 1; keep one response"),
        (
            responded({1: "A", 7: "B", 15221: "C"}),
            r"2 of 3 responses are to ids that .*annotations.json does not hold: 7, 15221 \(first in .*line 2\); give",
        ),
        ([], "is empty; give a JSON list"),
    ],
)
def test_a_bad_response_is_named_with_its_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, data: Path, rows: Sequence[Row], message: str
) -> None:
    err = refused(capsys, "amber", "--responses", lines(tmp_path / "a.jsonl", rows), "--data", data)
    assert re.search(message, err)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "annotations.json",
            '[{"id": 1, "type"',
            r"is not valid JSON \(.*\); .* so fetch it again; --annotations takes AMBER's annotations.json",
        ),
        (
            "annotations.json",
            '[{"id": 1, "type": "count", "truth": "no"}]',
            "unknown type 'count'; allowed: generative",
        ),
        ("relation.json", "[]", "holds a list, expected words .*; --relation and --safe-words take"),
        ("relation.json", None, "relation.json does not exist; --relation and --safe-words take"),
        ("relation.json", '{"dog": []}', "vocabulary does not list: .*'person'.*annotations.json and relation.json of"),
        ("query/query_all.json", '[{"id": 3, "image": "a.jpg"}]', "does not hold the ids 4, 5, 6; --queries takes"),
        ("query/query_all.json", None, "query_all.json does not exist; --queries takes"),
        ("safe_words.txt", None, "safe_words.txt does not exist; --relation and --safe-words take"),
    ],
)
def test_a_bad_data_file_of_amber_is_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, data: Path, name: str, content: str | None, message: str
) -> None:
    (data / name).unlink() if content is None else (data / name).write_text(content)
    file = array(tmp_path / "a.json", responded({**DESCRIPTIONS, **YES_NO}))
    assert re.search(message, refused(capsys, "amber", "--responses", file, "--data", data))


def test_a_truncated_file_of_responses_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path, data: Path) -> None:
    file = array(tmp_path / "a.json", responded(DESCRIPTIONS))
    file.write_text(file.read_text()[:-20])
    assert "not valid JSON" in refused(capsys, "amber", "--responses", file, "--data", data)
    assert "does not exist; give a JSON list" in refused(
        capsys, "amber", "--responses", tmp_path / "none", "--data", data
    )


def test_where_the_data_of_amber_are(capsys: pytest.CaptureFixture[str], tmp_path: Path, data: Path) -> None:
    file = array(tmp_path / "a.json", responded(YES_NO))
    given = ("amber", "--responses", file)
    assert "give --data FOLDER, or --annotations FILE" in refused(capsys, *given)
    assert f"{tmp_path} is a folder; --annotations takes" in refused(capsys, *given, "--annotations", tmp_path)
    err = refused(capsys, *given, "--data", data.parent)
    assert f"{data.parent} holds no annotations.json; --data takes" in err and f"; give --data {data}\n" in err
    assert "none is no folder; --data takes" in refused(capsys, *given, "--data", tmp_path / "none")
    assert "none does not exist; --annotations takes" in refused(capsys, *given, "--annotations", tmp_path / "none")
    other = array(tmp_path / "other.json", [{"id": 3, "type": "relation", "truth": "yes"}])
    found = result(
        capsys,
        "amber",
        "--responses",
        array(tmp_path / "b", responded({3: "Yes"})),
        "--data",
        data,
        "--annotations",
        other,
    )
    assert found["discriminative"]["groups"]["relation"]["accuracy"]["value"] == 100.0


# The command


def test_help_teaches_with_examples(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "--help")
    assert code == 0
    for benchmark in ("chair", "pope", "opope", "mme", "amber"):
        assert f"hallu score {benchmark} --" in out
        code, own, _ = run(capsys, benchmark, "--help")
        assert code == 0
        assert f"examples:\n  hallu score {benchmark} --" in own
        assert max(map(len, own.splitlines())) <= 120
    assert '{"image_id": 310196, "caption": "A dog ..."}' in run(capsys, "chair", "--help")[1]


@pytest.mark.parametrize("arguments", [(), ("amber",), ("chair",), ("pope", "--answers", "a")])
def test_a_bad_call_exits_2(capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]) -> None:
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (2, "")
    assert "usage: hallu score" in err


def test_settings_of_the_bootstrap_are_checked_and_written_down(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    folder = answered(tmp_path / "r", "count", *pair("1.jpg"), *pair("2.jpg", "No"))
    data = result(capsys, "mme", "--results", folder, "--seed", "5")
    assert (data["confidence"], data["resamples"], data["seed"]) == (95.0, 300, 5)
    assert "--seed -1: a whole number" in refused(capsys, "mme", "--results", folder, "--seed", "-1")
    code, _, err = run(capsys, "mme", "--results", folder, "--resamples", "0")
    assert code == 2
    assert "resamples must be at least 1" in err
    code, _, err = run(capsys, "mme", "--results", folder, "--resamples", "1000001")
    assert code == 2
    assert "1,000,001 resamples are too many: from 1,000,000 on, an interval changes in digits that no table" in err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_disk_is_named(tmp_path: Path) -> None:
    folder = answered(tmp_path / "r", "count", *pair("1.jpg"))
    command = [sys.executable, "-m", "registry.commands.cli", "score", "mme", "--results", str(folder), *QUICK]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    assert (done.returncode, done.stderr) == (2, "hallu: the output cannot be written: No space left on device\n")


def test_scoring_loads_no_model_library(tmp_path: Path) -> None:
    folder = answered(tmp_path / "r", "count", *pair("1.jpg"))
    script = (
        "import sys\n"
        "from registry.commands.cli import main\n"
        f"assert main(['score', 'mme', '--results', {str(folder)!r}, '--json']) == 0\n"
        "heavy = ('torch', 'transformers', 'lmms_eval', 'evaluate', 'hallu_models', 'nltk')\n"
        "print(sorted(name for name in sys.modules if name.split('.')[0] in heavy))"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


# Margins


def test_answers_of_pope_with_margins_have_an_auroc(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    questions = asked(4)
    source = lines(tmp_path / "q", questions)
    generator = random.Random(3)
    rows = [{**row, "margin": generator.gauss(1 if row["text"] == "Yes" else -1, 1)} for row in right(questions)]
    rows[0]["margin"], rows[1]["margin"] = "inf", "-inf"
    given = ("pope", "--answers", lines(tmp_path / "a", rows), "--questions", source)
    found = result(capsys, *given)["pooled"]["auroc"]
    yes, no = ([float(row["margin"]) for row in rows if row["text"] == text] for text in ("Yes", "No"))
    pairs = [(one > other) + (one == other) / 2 for one in yes for other in no]
    assert found["value"] == pytest.approx(100 * sum(pairs) / len(pairs))
    assert "AUROC ↑" in run(capsys, *given, *QUICK)[1]
    plain = ("pope", "--answers", lines(tmp_path / "b", right(questions)), "--questions", source)
    assert "auroc" not in result(capsys, *plain)["pooled"]


@pytest.mark.parametrize(
    ("margins", "message"),
    [
        ({0: 1.5}, "1 of 12 answers have a margin; write one into every line or into none"),
        ({2: "much"}, "line 3: 'margin' must be a number, got 'much'; a margin is"),
        ({2: float("nan")}, "line 3: 'margin' must be a number, got nan"),
        ({2: True}, "line 3: 'margin' must be a number, got True"),
    ],
)
def test_a_bad_margin_is_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, margins: Mapping[int, Any], message: str
) -> None:
    questions = asked(2)
    rows = [{**row, **({"margin": margins[at]} if at in margins else {})} for at, row in enumerate(right(questions))]
    file, source = lines(tmp_path / "a", rows), lines(tmp_path / "q", questions)
    code, out, err = run(capsys, "pope", "--answers", file, "--questions", source)
    assert (code, out) == (2, "") and message in err


def test_responses_of_amber_with_margins_have_an_auroc(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, data: Path
) -> None:
    margins = {number: 2.0 if QUESTIONS[number][1] == "yes" else -1.0 for number in YES_NO}
    rows = [{**row, "margin": margins[row["id"]]} for row in responded(YES_NO)]
    file = array(tmp_path / "a.json", rows)
    found = result(capsys, "amber", "--responses", file, "--data", data)["discriminative"]
    assert found["auroc"]["value"] == 100.0
    assert "AUROC ↑  100.0" in run(capsys, "amber", "--responses", file, "--data", data, *QUICK)[1]


def test_margins_of_mme_come_in_a_file_of_their_own(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    folder = answered(tmp_path / "results", "existence", *pair("1.jpg"), *pair("2.jpg"))
    rows = [
        {"category": "existence", "image": image, "question": question, "margin": 1.0 if label == "Yes" else -1.0}
        for name in ("1.jpg", "2.jpg")
        for image, question, label, _ in pair(name)
    ]
    given = ("mme", "--results", folder, "--margins")
    assert result(capsys, *given, lines(tmp_path / "m", rows))["auroc"]["value"] == 100.0
    assert "AUROC ↑ of all questions  100.0" in run(capsys, *given, lines(tmp_path / "m", rows), *QUICK)[1]
    other = {**rows[0], "image": "3.jpg"}
    for wrong, message in (
        (rows[1:], "has margins of 3 of 4 answers"),
        ([*rows, rows[0]], "line 5: ('existence', '1.jpg', 'Is it a? Please answer yes or no.') occurs twice"),
        ([*rows, other], "line 5: ('existence', '3.jpg', 'Is it a? Please answer yes or no.') is no question of"),
        ([{**rows[0], "margin": None}], "line 1: ('existence', '1.jpg', 'Is it a? Please answer yes or no.') has no"),
    ):
        code, _, err = run(capsys, *given, lines(tmp_path / "w", wrong))
        assert code == 2 and message in err
