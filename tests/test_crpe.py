"""CRPE's existence subset: its scores by hand, its files, and every named error."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import official
import pytest

from hallu_tasks.crpe import data, task
from hallu_tasks.data.documents import Unavailable
from hallu_tasks.scoring.choices import CRPE
from registry.commands import cli

Row = dict[str, Any]


def queries() -> list[Row]:
    """Two questions in four orders."""
    return official.crpe_rows()[0][:8]


def said(**changed: str) -> list[Row]:
    """Right answers, but for those of the questions named as ``q3``."""
    return [
        {"question_id": row["question_id"], "text": changed.get(f"q{row['question_id']}", row["correct_option"])}
        for row in queries()
    ]


def lines(path: Path, rows: list[Row]) -> str:
    path.write_text("\n".join(map(json.dumps, rows)) + "\n")
    return str(path)


def score(capsys: pytest.CaptureFixture[str], folder: Path, rows: list[Row], *more: str) -> tuple[int, str, str]:
    answers, asked = lines(folder / "answers.jsonl", rows), lines(folder / data.FILE, queries())
    code = cli.main(["score", "crpe", "--answers", answers, "--questions", asked, "--resamples", "200", *more])
    out, err = capsys.readouterr()
    return code, out, err


def test_one_wrong_order_spoils_the_question(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    wrong = "ABCD".replace(queries()[2]["correct_option"], "")[0]
    code, out, _ = score(capsys, tmp_path, said(q2=wrong), "--json")
    result = json.loads(out)
    assert code == 0
    assert result["circular_accuracy"]["value"] == 50
    assert result["accuracy"]["value"] == 87.5
    assert (result["questions_count"], result["sets_count"], result["unparsed_count"]) == (8, 2, 0)
    assert result["policy"] == "exact"


def test_the_official_rule_takes_a_letter_and_nothing_else(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    right = queries()[0]["correct_option"]
    rows = said(q0=f"{right}.")
    result = json.loads(score(capsys, tmp_path, rows, "--json")[1])
    assert result["circular_accuracy"]["value"] == 50 and result["unparsed_count"] == 1
    assert "1 of 8 answers (12.5 %) cannot be read under policy exact and are wrong" in result["warnings"][0]
    result = json.loads(score(capsys, tmp_path, rows, "--json", "--policy", "first")[1])
    assert result["circular_accuracy"]["value"] == 100 and result["unparsed_count"] == 0


def test_an_interval_is_over_images(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Both questions are about one image, so nothing can be said of others."""
    assert len({row["image"] for row in queries()}) == 1
    result = json.loads(score(capsys, tmp_path, said(), "--json")[1])
    assert result["circular_accuracy"]["interval"] is None


def test_what_is_printed(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, out, _ = score(capsys, tmp_path, said())
    assert code == 0
    assert out.startswith("CRPE existence in percent; policy exact; 8 questions in 2 sets of 4\n")
    assert "circular accuracy ↑  100.0" in out


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        (said()[1:], "answers 7 of 8 questions (not '0'); a part of the questions is another benchmark"),
        ([*said(), said()[0]], "question 0 is answered twice"),
        ([{"question_id": 99, "text": "A"}], "question 99 is not in"),
        ([{"question_id": 0, "answer": "A"}], "has no 'text'"),
    ],
)
def test_answers_that_do_not_fit_are_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, rows: list[Row], problem: str
) -> None:
    code, out, err = score(capsys, tmp_path, rows)
    assert (code, out) == (2, "")
    assert problem in err


def changed(**fields: Any) -> Callable[[list[Row]], list[Row]]:
    return lambda rows: [{**rows[0], **fields}, *rows[1:]]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda rows: rows[:-1], "holds 7 questions, not a multiple of 4"),
        (lambda rows: [*rows[1:], rows[0]], "line 1: this question and the next 3 are not one question"),
        (changed(image="coco/val2017/other.jpg"), "line 1: this question and the next 3 are not one question"),
        (changed(category="subject"), "line 1 is about relations"),
        (changed(correct_option="E"), "correct_option is 'E'; allowed: A, B, C, D"),
        (changed(text="Which?\nA. a dog\nB. a cat"), "has the options A, B instead of A, B, C, D"),
        (changed(question_id=1), "has a question_id twice"),
        (lambda rows: [{"question_id": 0}], "has no 'category'"),
    ],
)
def test_questions_in_another_form_are_named(
    tmp_path: Path, change: Callable[[list[Row]], list[Row]], problem: str
) -> None:
    path = lines(tmp_path / data.FILE, change(queries()))
    with pytest.raises(ValueError, match=problem):
        data.questions(path)


# Documents


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HALLU_DATA", str(tmp_path))
    return official.crpe(tmp_path)


def read() -> Any:
    place = data.exist.folder()
    assert place is not None
    return data.exist.local(place)


def test_documents_are_the_file_as_it_stands(folder: Path) -> None:
    found = read()
    assert [row["question"] for row in found.rows] == [row["text"] for row in official.crpe_rows()[0]]
    assert [row["answer"] for row in found.rows[:4]] == ["A", "D", "C", "B"]
    assert [row["circle"] for row in found.rows[:8]] == [0, 0, 0, 0, 1, 1, 1, 1]
    assert found.rows[0]["options"][0] == official.scene(0)["objects"][0]
    assert found.rows[0]["image"] == folder / "coco" / "val2017" / "000000000000.jpg"
    assert found.facts["documents"] == "48 questions (12 in 4 orders each) on 6 images"


def test_images_may_lie_below_the_benchmark_s_own_folder(folder: Path) -> None:
    (folder / "coco").rename(folder / "crpe" / "coco")
    assert read().rows[0]["image"] == folder / "crpe" / "coco" / "val2017" / "000000000000.jpg"


def test_missing_images_are_named_with_where_to_get_them(folder: Path) -> None:
    (folder / "coco" / "val2017" / "000000000003.jpg").unlink()
    with pytest.raises(Unavailable, match=r"5 of 6 images; the first missing one is 000000000003.jpg"):
        read()
    (folder / "coco").rename(folder / "elsewhere")
    with pytest.raises(
        Unavailable, match=r"(?s)has no folder coco.*huggingface.co/datasets/OpenGVLab/CRPE.*val2017.zip"
    ):
        read()


def test_a_list_of_other_questions_beside_the_file_is_named(folder: Path) -> None:
    lines(folder / "crpe" / data.META, official.crpe_rows()[1][:11])
    with pytest.raises(ValueError, match=r"crpe_exist_meta.jsonl lists 11 questions, crpe_exist.jsonl has 12"):
        read()


def test_what_an_image_path_leads_out_of_the_folder_is_refused(folder: Path) -> None:
    rows = [{**row, "image": "../../secret/0.jpg"} for row in queries()[:4]]
    lines(folder / "crpe" / data.FILE, rows)
    (folder / "crpe" / data.META).unlink()
    (folder.parent / "secret").mkdir()
    (folder.parent / "secret" / "0.jpg").write_bytes(b"picture")
    with pytest.raises(ValueError, match="leads out of"):
        read()


# Task


def test_a_limited_run_leaves_out_the_last_question_with_a_warning() -> None:
    doc = {"image_id": "1.jpg", "options": ["a", "b", "c", "d"]}
    records = [
        task.process_results({**doc, "circle": place // 4, "answer": letter}, ["A"])["accuracy"]
        for place, letter in enumerate("AAAABC")
    ]
    with pytest.warns(UserWarning, match="2 question.s. of sets that are not whole left out; use a --limit"):
        assert task.circular_accuracy(records) == 100
    assert task.accuracy(records) == 100
    assert task.circular_accuracy([]) is None


def test_sets_with_too_many_answers_are_an_error() -> None:
    one = CRPE.record("A", "A", "abcd", 7, "exact")
    with pytest.raises(ValueError, match=r"sets that do not have 4 answers \(circle, answers\): \(7, 5\)"):
        CRPE.aggregate([one] * 5)
    with pytest.raises(ValueError, match="different multiple-choice policies"):
        CRPE.aggregate([one, {**one, "policy": "first"}, one, one])
