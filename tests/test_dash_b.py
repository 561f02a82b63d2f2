"""DASH-B: its scores by hand, its files, and every named error."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hallu_tasks.dash_b import data
from hallu_tasks.data.documents import Unavailable
from hallu_tasks.scoring import dash_b, paired
from registry.commands import cli

LISTS = {
    "no": {"coco": {"dog": ["1.png", "2.png"]}, "objects_365_100": {"bus": ["1.png"]}},
    "yes": {"coco": {"dog": ["1.jpg", "2.jpg"]}, "objects_365_100": {"bus": ["1.jpg"]}},
}
Row = dict[str, Any]


def said(**changed: str) -> list[Row]:
    """Right answers, but for those of the images named as ``no_dog_1``."""
    return [
        {
            "img_id": name,
            "object_name": thing,
            "gt": label,
            "response": changed.get(f"{label}_{thing}_{name[0]}", label.capitalize()),
        }
        for label, sources in LISTS.items()
        for things in sources.values()
        for thing, names in things.items()
        for name in names
    ]


def call(folder: Path, rows: Sequence[Row]) -> list[str]:
    answers = folder / "answers.json"
    answers.write_text(json.dumps(rows))
    lists = []
    for label, content in LISTS.items():
        lists.append(folder / data.FILES[label])
        lists[-1].write_text(json.dumps(content))
    return ["score", "dash_b", "--answers", str(answers), "--images", *map(str, lists), "--resamples", "200"]


def score(capsys: pytest.CaptureFixture[str], folder: Path, rows: Sequence[Row], *more: str) -> tuple[int, str, str]:
    code = cli.main([*call(folder, rows), *more])
    out, err = capsys.readouterr()
    return code, out, err


def test_the_four_scores_by_hand(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    rows = said(no_dog_1="yes", no_dog_2="Yes, I can see one.", yes_bus_1="perhaps")
    code, out, _ = score(capsys, tmp_path, rows, "--json")
    result = json.loads(out)
    assert code == 0
    assert result["accuracy"]["value"] == 50
    assert result["tnr"]["value"] == pytest.approx(100 / 3)
    assert result["tpr"]["value"] == pytest.approx(200 / 3)
    assert result["harmonic_mean"]["value"] == pytest.approx(2 * (1 / 3 * 2 / 3) / (1 / 3 + 2 / 3) * 100)
    assert result["yes_ratio"]["value"] == pytest.approx(400 / 6)
    assert result["unparsed_count"] == 1 and result["policy"] == "contains"
    assert result["tnr"]["interval"] == pytest.approx(paired.wilson(1, 3))
    assert "3 images without and 3 with their object; DASH-B has 1,341" in result["notes"][-1]


def test_what_is_printed(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, out, _ = score(capsys, tmp_path, said())
    assert code == 0
    assert out.startswith("DASH-B in percent; policy contains; 6 questions\n")
    assert "TNR ↑            100.0 [43.9, 100.0]" in out


def test_a_mean_of_nothing_right_is_zero_and_of_one_side_alone_undefined() -> None:
    wrong = [dash_b.record("yes", "no"), dash_b.record("no", "yes")]
    assert dash_b.aggregate(wrong)["harmonic_mean"] == 0
    alone = dash_b.aggregate(wrong[:1])
    assert alone["harmonic_mean"] is None and alone["reasons"]["harmonic_mean"] == "there is no image with its object"
    sums = {name: np.array([1.0, 1.0]) for name in ("absent", "true_negative", "true_positive")}
    values = dash_b.harmonic_mean({**sums, "present": np.array([1.0, 0.0])})
    assert values[0] == 100 and np.isnan(values[1])


def test_records_of_two_policies_are_refused() -> None:
    with pytest.raises(ValueError, match="different yes/no policies"):
        dash_b.aggregate([dash_b.record("yes", "no"), dash_b.record("yes", "no", "strict")])


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        (said()[1:], "answers 5 of 6 questions (not '1.png of 'dog' (no)'"),
        ([*said(), said()[0]], "1.png of 'dog' (no) is answered twice"),
        ([{**said()[0], "object_name": "cat"}, *said()[1:]], "1.png of 'cat' (no) is not in"),
        ([{**said()[0], "gt": "yes"}, *said()[1:]], "1.png of 'dog' (yes) is not in"),
        ([{**said()[0], "gt": "maybe"}, *said()[1:]], "unknown label 'maybe'"),
        ([{"img_id": "1.png"}], "gt"),
    ],
)
def test_answers_that_do_not_fit_are_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, rows: list[Row], problem: str
) -> None:
    code, out, err = score(capsys, tmp_path, rows)
    assert (code, out) == (2, "")
    assert problem in err.replace('"', "'")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ([], "holds a list in the place of an object"),
        ({"coco": []}, "holds a list in the place of an object"),
        ({"coco": {"dog": "1.png"}}, "coco, dog is not a list of file names"),
        ({"coco": {"dog": [1]}}, "coco, dog is not a list of file names"),
        ({"coco": {"dog": ["1.png", "1.png"]}}, "lists an image of an object twice"),
    ],
)
def test_lists_in_another_form_are_named(tmp_path: Path, content: object, problem: str) -> None:
    path = tmp_path / "list.json"
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=problem):
        data.listed(str(path), "no")


# Documents


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder with three images on either side."""
    monkeypatch.setenv("HALLU_DATA", str(tmp_path))
    monkeypatch.setattr(data, "COUNT", 3)
    for label, side in (("no", "neg"), ("yes", "pos")):
        (tmp_path / "dash_b").mkdir(exist_ok=True)
        (tmp_path / "dash_b" / data.FILES[label]).write_text(json.dumps(LISTS[label]))
        for source, things in LISTS[label].items():
            for thing, names in things.items():
                for name in names:
                    path = tmp_path / "dash_b" / "images" / side / source / thing / name
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(b"picture")
    return tmp_path / "dash_b"


def test_documents_are_the_lists_in_turn_with_the_official_question(small: Path) -> None:
    folder = data.every.folder()
    assert folder is not None
    found = data.every.local(folder)
    assert [row["answer"] for row in found.rows] == ["no", "yes"] * 3
    assert found.rows[4]["question"] == "Can you see a bus in this image? Please answer only with yes or no."
    assert found.rows[4]["image_id"] == "neg/objects_365_100/bus/1.png"
    assert found.rows[4]["image"] == small / "images" / "neg" / "objects_365_100" / "bus" / "1.png"
    assert found.facts["documents"] == "6 images, half of them with the object; 2 objects"


def test_a_missing_image_and_another_number_are_named(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = data.every.folder()
    assert folder is not None
    (small / "images" / "pos" / "coco" / "dog" / "2.jpg").unlink()
    with pytest.raises(Unavailable, match="2 of 3 images; the first missing one is coco/dog/2.jpg"):
        data.every.local(folder)
    monkeypatch.setattr(data, "COUNT", 1341)
    with pytest.raises(ValueError, match="lists 3 images instead of 1,341"):
        data.every.local(folder)
