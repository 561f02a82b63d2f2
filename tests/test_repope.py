"""RePOPE: POPE's answers under labels made again, by ``hallu score repope`` and in ``hallu compare``."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from written_runs import STRATEGIES, Arm, write

from hallu_tasks.compare.comparison import RunComparison
from hallu_tasks.compare.compute import compare
from hallu_tasks.pope import answers, relabelled
from hallu_tasks.pope import task as pope_task
from hallu_tasks.report import as_json, cells
from hallu_tasks.runs.results import read
from hallu_tasks.scoring import pope
from registry.commands import cli

NAMES = ("random", "popular", "adversarial")
IMAGES = 40
LEFT_OUT, TURNED = 7, 12

DATA = Path(os.environ.get("HALLU_TEST_DATA", ""), "pope")
published = pytest.mark.skipif(
    not (DATA / "coco_repope_random.json").is_file(),
    reason="RePOPE's files are not here: HALLU_TEST_DATA names the folder with pope/coco_repope_random.json",
)

Row = dict[str, Any]


def asked() -> list[Row]:
    """The questions of `written_runs`: six an image, yes and no in turn."""
    return [
        {
            "question_id": 6 * image + place + 1,
            "image": f"COCO_val2014_{image:012}.jpg",
            "text": f"Is there a {place} in the image?",
            "label": ("yes", "no")[place % 2],
        }
        for image in range(IMAGES)
        for place in range(6)
    ]


def again(rows: Sequence[Row] = ()) -> list[Row]:
    """RePOPE's: the first questions left out, the next ones with the other label."""
    kept = [dict(row) for row in (rows or asked())[LEFT_OUT:]]
    for row in kept[:TURNED]:
        row["label"] = {"yes": "no", "no": "yes"}[row["label"]]
    return kept


def lines(path: Path, rows: Sequence[Row]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def said(rows: Sequence[Row], wrong: int = 0) -> list[Row]:
    """Answers by POPE's labels, the last `wrong` of them turned."""
    turned = {"yes": "No", "no": "Yes"}
    return [
        {
            "question_id": row["question_id"],
            "prompt": row["text"],
            "text": turned[row["label"]] if place >= len(rows) - wrong else row["label"].capitalize(),
        }
        for place, row in enumerate(rows)
    ]


# hallu score repope


def score(capsys: pytest.CaptureFixture[str], *call: object) -> tuple[int, str, str]:
    code = cli.main(["score", "repope", *map(str, call), "--resamples", "100"])
    out, err = capsys.readouterr()
    return code, out, err


def files(folder: Path, rows: Sequence[Row] = ()) -> tuple[str, Path, str, Path, str, Path]:
    return (
        "--answers", lines(folder / "answers.jsonl", said(asked(), wrong=20)),
        "--questions", lines(folder / "pope.json", asked()),
        "--labels", lines(folder / "repope.json", rows or again()),
    )  # fmt: skip


def test_the_same_answers_are_scored_under_both_labels(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, out, _ = score(capsys, *files(tmp_path), "--json")
    assert code == 0
    data = json.loads(out)
    count = 6 * IMAGES - LEFT_OUT
    assert data["pooled"]["questions_count"] == count and data["images_count"] == IMAGES - 1
    assert (data["pooled"]["left_out_count"], data["pooled"]["turned_count"]) == (LEFT_OUT, TURNED)
    assert data["pooled"]["accuracy"]["value"] == pytest.approx(100 * (count - TURNED - 20) / count)
    assert data["pope"]["pooled"]["accuracy"]["value"] == pytest.approx(100 * (1 - 20 / (6 * IMAGES)))
    labels = {row["question_id"]: row["label"] for row in again()}
    spoken = {row["question_id"]: row["text"] for row in said(asked(), wrong=20) if row["question_id"] in labels}
    assert data["pooled"]["f1"]["value"] == pytest.approx(pope.score(spoken, labels)["f1"])


def test_the_table_counts_what_changed(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, out, _ = score(capsys, *files(tmp_path))
    assert code == 0
    rows = [line.split() for line in out.splitlines()]
    assert ["left", "out", str(LEFT_OUT)] in rows and ["other", "label", str(TURNED)] in rows
    before = out.index("the same answers under POPE's own labels, all questions")
    assert "accuracy ↑  91.7" in out[before:]


def test_the_order_of_the_lines_says_nothing(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    first = score(capsys, *files(tmp_path))
    assert score(capsys, *files(tmp_path, again()[::-1])) == first


NOT_ITS_LABELS = [
    ([{**again()[0], "question_id": 999}], "1 of its questions are not in it", "question_id 999"),
    (
        [{**again()[0], "text": "Is there a hat in the image?"}],
        "1 ask something else under the same id",
        "'Is there a 1",
    ),
    ([{**again()[0], "image": "COCO_val2014_000000000009.jpg"}], "1 ask something else under the same id", "about 9"),
]


@pytest.mark.parametrize(("first", "problem", "named"), NOT_ITS_LABELS)
def test_questions_that_pope_does_not_ask_are_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, first: list[Row], problem: str, named: str
) -> None:
    code, _, err = score(capsys, *files(tmp_path, [*first, *again()[1:]]))
    assert code == 2
    assert problem in err and named in err
    assert f"{tmp_path / 'repope.json'} (233 questions) does not relabel {tmp_path / 'pope.json'} (240)" in err


def test_pope_s_own_labels_are_not_taken_for_repope_s(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, _, err = score(capsys, *files(tmp_path, asked()))
    assert code == 2
    assert f"{tmp_path / 'repope.json'} has the labels of {tmp_path / 'pope.json'}" in err


def test_files_in_another_order_or_number_are_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    by_name = {
        kind: [lines(tmp_path / f"coco_{kind}_{name}.json", rows) for name in NAMES]
        for kind, rows in (("answers", said(asked())), ("pope", asked()), ("repope", again()))
    }
    call = ("--answers", *by_name["answers"], "--questions", *by_name["pope"], "--labels")
    code, _, err = score(capsys, *call, *by_name["repope"][::-1])
    assert code == 2 and "give the label files in the order of the question files" in err
    code, _, err = score(capsys, *call, *by_name["repope"][:2])
    assert code == 2 and "2 label files for 3 question files" in err
    code, out, _ = score(capsys, *call, *by_name["repope"], "--json")
    assert code == 0 and list(json.loads(out)["strategies"]) == list(NAMES)


@published
@pytest.mark.parametrize(
    ("name", "count", "turned"), [("random", 2774, 144), ("popular", 2727, 178), ("adversarial", 2684, 172)]
)
def test_the_published_files_leave_out_and_turn_as_many_as_the_paper_says(name: str, count: int, turned: int) -> None:
    paths = [str(DATA / f"coco_{kind}_{name}.json") for kind in ("pope", "repope")]
    own, other = (answers.questions(path, name) for path in paths)
    found = relabelled.beside(own, other, *paths)
    relabelled.complete(paths[1], name, other)
    assert (len(found.questions), found.left_out, found.turned) == (count, 3000 - count, turned)


@published
def test_published_labels_score_perfect_answers_to_pope_as_far_as_they_agree(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    rows = [json.loads(line) for line in (DATA / "coco_pope_random.json").read_text().splitlines() if line]
    call = ("--questions", DATA / "coco_pope_random.json", "--labels", DATA / "coco_repope_random.json", "--json")
    code, out, _ = score(capsys, "--answers", lines(tmp_path / "answers", said(rows)), *call)
    data = json.loads(out)
    assert code == 0
    assert data["pooled"]["accuracy"]["value"] == pytest.approx(100 * (1 - 144 / 2774))
    assert data["pope"]["pooled"]["accuracy"]["value"] == 100


# hallu compare

BASE = Arm(tasks=STRATEGIES, groups={"hallu_pope": STRATEGIES})
VHR = replace(BASE, model="llava_vhr", method="vhr", strategy=lambda name, image, right: right if image < 30 else "Yes")


@pytest.fixture
def labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder with RePOPE's files for the questions of `written_runs`."""
    monkeypatch.setenv("HALLU_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(relabelled, "COUNTS", dict.fromkeys(NAMES, len(again())))
    folder = tmp_path / "data" / "repope"
    for number, name in enumerate(NAMES):
        # The files must differ; the order of the lines says nothing.
        rows = again()
        lines(folder / f"coco_repope_{name}.json", [*rows[number:], *rows[:number]])
    return folder


def compared(folder: Path, *arms: Arm, **given: Any) -> RunComparison:
    paths = [write(folder / "runs" / str(number), arm) for number, arm in enumerate(arms)]
    return compare([read(str(path)) for path in paths], **{"resamples": 200, **given})


def test_the_group_is_scored_again_where_the_labels_are(tmp_path: Path, labels: Path) -> None:
    comparison = compared(tmp_path, BASE, VHR)
    own, other = comparison.blocks
    assert (other.task, other.benchmark.title, other.rescored) == ("hallu_repope", "RePOPE", "hallu_pope")
    assert [row.metric.name for row in other.rows] == [row.metric.name for row in own.rows]
    count = 3 * len(again())
    assert (other.documents_count, other.images_count) == (count, IMAGES - 1)
    accuracy = next(row for row in other.rows if row.metric.name == "accuracy")
    assert accuracy.estimates[0].value == pytest.approx(100 * (count - 3 * TURNED) / count)
    assert cells.title(other).endswith("; the answers of hallu_pope scored again")
    assert comparison.p_values_count == 8
    task = json.loads(as_json(comparison))["tasks"][1]
    assert (task["task"], task["answers_of"], task["subtasks"]) == ("hallu_repope", "hallu_pope", list(own.tasks))


def test_single_strategies_are_scored_again_too(tmp_path: Path, labels: Path) -> None:
    blocks = compared(tmp_path, BASE, VHR, every_metric=True, resamples=1000).blocks
    assert [block.task for block in blocks] == [
        "hallu_pope", "hallu_repope", "hallu_pope_adversarial", "hallu_repope_adversarial", "hallu_pope_popular",
        "hallu_repope_popular", "hallu_pope_random", "hallu_repope_random",
    ]  # fmt: skip
    single = next(block for block in blocks if block.task == "hallu_repope_random")
    expected = [
        pope.record(row["label"].capitalize(), other["label"]) for row, other in zip(asked()[LEFT_OUT:], again())
    ]
    assert {row.metric.name: row.estimates[0].value for row in single.rows if row.metric.name != "unparsed_count"} == {
        name: pytest.approx(value)
        for name, value in pope.aggregate(expected).items()
        if name in {row.metric.name for row in single.rows} - {"unparsed_count"}
    }


def test_without_labels_nothing_is_scored_again(tmp_path: Path, labels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in labels.iterdir():
        path.unlink()
    labels.rmdir()
    comparison = compared(tmp_path, BASE, VHR)
    assert [block.task for block in comparison.blocks] == ["hallu_pope"] and "repope" not in str(comparison.notes)
    monkeypatch.delenv("HALLU_DATA")
    assert [block.task for block in compared(tmp_path, BASE, VHR).blocks] == ["hallu_pope"]


def test_labels_that_cannot_be_used_are_named_and_the_rest_is_compared(tmp_path: Path, labels: Path) -> None:
    def notes(*names: str) -> str:
        comparison = compared(tmp_path, BASE, VHR)
        assert [block.task for block in comparison.blocks] == ["hallu_pope"]
        return "\n".join(comparison.notes)

    path = labels / "coco_repope_adversarial.json"
    rows = again()
    lines(path, rows[1:])
    assert "hallu_repope is left out: " in notes() and "holds 232 questions instead of 233" in notes()
    path.unlink()
    assert "has no file coco_repope_adversarial.json" in notes()
    lines(path, [{**row, "text": row["text"].replace("Is there", "Can you see")} for row in rows])
    assert "hallu_repope is left out: it labels none of the questions of hallu_pope_adversarial" in notes()


def test_questions_that_were_not_asked_are_counted(tmp_path: Path, labels: Path) -> None:
    some = [replace(arm, images=range(30)) for arm in (BASE, VHR)]
    comparison = compared(tmp_path, *some)
    assert "hallu_repope: 180 of its 699 questions were not asked in hallu_pope" in comparison.notes

    def limited(data: dict[str, Any]) -> None:
        for task in STRATEGIES:
            data["n-samples"][task]["original"] = 6 * IMAGES

    comparison = compared(tmp_path, *(replace(arm, change=limited) for arm in some))
    assert not any("were not asked" in note for note in comparison.notes)
    assert comparison.blocks[1].limited == (519, 699)


def test_runs_of_the_tasks_themselves_are_not_scored_again(
    tmp_path: Path, labels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import written_runs

    def own(arm: Arm) -> list[dict[str, Any]]:
        made = []
        for number, row in enumerate(again()):
            doc = {"image_id": str(int(row["image"][-7:-4])), "question": row["text"], "answer": row["label"]}
            answer = row["label"].capitalize()
            made.append(
                written_runs.line(number, doc, answer, row["label"], pope_task.process_relabelled(doc, [answer]))
            )
        return made

    for name in ("hallu_repope_random", "hallu_repope_popular", "hallu_repope_adversarial"):
        monkeypatch.setitem(written_runs.LINES, name, own)
        monkeypatch.setitem(written_runs.METADATA, name, written_runs.METADATA["hallu_demo_pope"])
    arms = [replace(arm, tasks=(*STRATEGIES, "hallu_repope_random")) for arm in (BASE, VHR)]
    blocks = compared(tmp_path, *arms).blocks
    assert [(block.task, block.benchmark.title, block.rescored) for block in blocks] == [
        ("hallu_pope", "POPE", ""),
        ("hallu_repope_random", "RePOPE", ""),
    ]
    assert blocks[1].rows[0].estimates[0].value == 100
