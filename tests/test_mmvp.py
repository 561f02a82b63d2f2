"""MMVP: its scores by hand, its file, and every named error."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import official
import pytest
from lmms_eval.tasks.mmvp import utils

from hallu_tasks.data.documents import Unavailable
from hallu_tasks.mmvp import data, task
from registry.commands import cli

Row = dict[str, str]


def rows() -> list[Row]:
    """Three pairs."""
    return official.mmvp_rows()[:6]


def said(**changed: str) -> list[dict[str, Any]]:
    """Right answers, but for those of the questions named as ``q3``."""
    right = {"(a)": "A", "(b)": "B"}
    return [
        {"question_id": number, "response": changed.get(f"q{number}", right[row["Correct Answer"]])}
        for number, row in enumerate(rows(), start=1)
    ]


def write(path: Path, listed: list[Row]) -> str:
    with path.open("w", newline="", encoding="utf-8-sig") as file:
        writer = csv.DictWriter(file, list(listed[0]))
        writer.writeheader()
        writer.writerows(listed)
    return str(path)


def score(
    capsys: pytest.CaptureFixture[str], folder: Path, answers: list[dict[str, Any]], *more: str
) -> tuple[int, str, str]:
    path, asked = folder / "answers.jsonl", write(folder / data.FILE, rows())
    path.write_text("\n".join(map(json.dumps, answers)))
    code = cli.main(["score", "mmvp", "--answers", str(path), "--questions", asked, "--resamples", "200", *more])
    out, err = capsys.readouterr()
    return code, out, err


def test_a_pair_needs_both_answers(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, out, _ = score(capsys, tmp_path, said(q1="B", q3="both"), "--json")
    result = json.loads(out)
    assert code == 0
    assert result["pair_accuracy"]["value"] == pytest.approx(100 / 3)
    assert result["accuracy"]["value"] == pytest.approx(400 / 6)
    assert (result["questions_count"], result["sets_count"], result["unparsed_count"]) == (6, 3, 0)
    assert result["policy"] == "search"


def test_answers_in_words_need_the_policy_that_reads_them(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    words = said(q1="It shows Yes", q2="No, it does not")
    assert json.loads(score(capsys, tmp_path, words, "--json")[1])["unparsed_count"] == 2
    result = json.loads(score(capsys, tmp_path, words, "--json", "--policy", "first")[1])
    assert (result["pair_accuracy"]["value"], result["unparsed_count"]) == (100, 0)


def test_scores_are_those_of_the_installed_runner() -> None:
    """On one answer to each of the 300 questions, right two times in three."""
    records, theirs = [], []
    for number, row in enumerate(official.mmvp_rows(), start=1):
        right = {"(a)": "A", "(b)": "B"}[row["Correct Answer"]]
        answer = f"({right})" if number % 3 else "The panda"
        doc = {"answer": right, "options": ["Yes", "No"], "image_id": f"{number}.jpg", "pair": (number - 1) // 2}
        records.append(task.process_results(doc, [answer])["accuracy"])
        theirs.append(utils.mmvp_process_results({**row, "Index": number}, [answer])["mmvp_accuracy"])
    assert task.accuracy(records) == pytest.approx(100 * utils.mmvp_aggregate_results(theirs))
    assert task.pair_accuracy(records) == pytest.approx(100 * utils.mmvp_aggregate_pair_results(theirs))


@pytest.mark.parametrize(
    ("answers", "problem"),
    [
        (said()[1:], "answers 5 of 6 questions (not '1')"),
        ([*said(), said()[0]], "question 1 is answered twice"),
        ([{"question_id": 7, "response": "A"}], "question 7 is not in"),
        ([{"question_id": 1, "text": "A"}], "has no 'response'"),
    ],
)
def test_answers_that_do_not_fit_are_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, answers: list[dict[str, Any]], problem: str
) -> None:
    code, out, err = score(capsys, tmp_path, answers)
    assert (code, out) == (2, "")
    assert problem in err


def changed(**fields: str) -> Callable[[list[Row]], list[Row]]:
    return lambda listed: [
        {**listed[0], **{name.replace("_", " "): value for name, value in fields.items()}},
        *listed[1:],
    ]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda listed: listed[:5], "holds 5 questions, which are not pairs"),
        (lambda listed: listed[1:], "question 1 has the number '2'"),
        (changed(Options="(a) Open"), r"question 1 has the options '\(a\) Open' instead of"),
        (changed(Correct_Answer="(c)"), r"the correct answer is '\(c\)'; allowed: \(a\), \(b\)"),
        (
            lambda listed: [{"Index": row["lndex"]} for row in listed],
            "has the columns Index instead of Index, Question",
        ),
    ],
)
def test_a_file_in_another_form_is_named(
    tmp_path: Path, change: Callable[[list[Row]], list[Row]], problem: str
) -> None:
    with pytest.raises(ValueError, match=problem):
        data.questions(write(tmp_path / data.FILE, change(rows())))


def test_the_number_may_be_spelled_as_meant(tmp_path: Path) -> None:
    meant = [{"Index": row["lndex"], **{name: row[name] for name in row if name != "lndex"}} for row in rows()]
    assert data.questions(write(tmp_path / "a.csv", meant)) == data.questions(write(tmp_path / "b.csv", rows()))


# Documents


def read() -> Any:
    place = data.every.folder()
    assert place is not None
    return data.every.local(place)


def test_documents_are_asked_as_the_installed_runner_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HALLU_DATA", str(official.mmvp(tmp_path)))
    found = read()
    post = "\nAnswer with the option's letter from the given choices directly."
    for row, theirs in zip(found.rows, official.mmvp_rows(), strict=True):
        assert row["question"] == utils.mmvp_doc_to_text(theirs, {"post_prompt": post})
        assert row["answer"] == utils.mmvp_doc_to_target(theirs)
    assert [row["pair"] for row in found.rows[:4]] == [0, 0, 1, 1]
    assert found.rows[299]["image"] == tmp_path / "mmvp" / "MMVP Images" / "300.jpg"
    assert found.facts["documents"] == "300 questions on as many images, in 150 pairs"


def test_a_missing_image_and_another_number_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HALLU_DATA", str(official.mmvp(tmp_path)))
    (tmp_path / "mmvp" / "MMVP Images" / "7.jpg").unlink()
    with pytest.raises(Unavailable, match=r"(?s)299 of 300 images; the first missing one is 7.jpg.*datasets/MMVP/MMVP"):
        read()
    write(tmp_path / "mmvp" / data.FILE, rows())
    with pytest.raises(ValueError, match="holds 6 questions instead of 300"):
        read()
