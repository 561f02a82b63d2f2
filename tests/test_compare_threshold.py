"""``hallu compare`` without the threshold: rows, the verdict ``threshold moved``, what is said of missing margins."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from written_runs import STRATEGIES, WITHOUT_MARGINS, Arm, write

from hallu_tasks.compare.comparison import THRESHOLD_MOVED, MetricRow, RunComparison
from hallu_tasks.compare.compute import compare
from hallu_tasks.runs.results import read
from registry.commands import cli

IMAGES = range(80)
POPE = "hallu_demo_pope"
ROWS = ["auroc", "accuracy_at_yes_ratio", "f1_at_yes_ratio"]
Margin = Callable[[str, int, str], float]
"""Of a task, the number of its document, and the right answer."""


def noise(task: str, document: int) -> float:
    return float(np.random.default_rng([len(task), document]).normal())


def base(task: str, document: int, right: str) -> float:
    """A model that seldom says yes."""
    return (1.5 if right.lower().startswith("yes") else -1.5) + 1.3 * noise(task, document) - 1.2


ARMS: dict[str, Margin] = {
    "base": base,
    "moved": lambda task, document, right: base(task, document, right) + 1.2,
    "better": lambda task, document, right: (
        base(task, document, right) + (1.5 if right.lower().startswith("yes") else -1.5)
    ),
    "same": base,
}


def arm(name: str, tasks: Sequence[str] = (POPE,), **given: Any) -> Arm:
    """Its answers are the signs of its margins."""
    margin = ARMS[name]

    def lines(task: str, made: list[dict[str, Any]]) -> list[dict[str, Any]]:
        for line in made:
            value = margin(task, line["doc_id"], line["target"])
            line["token_counts"][0]["margin"] = value
        return made

    def said(task: str, document: int, right: str) -> str:
        return "Yes" if margin(task, document, right) > 0 else "No"

    def questions(task: str) -> Callable[[int, str], str]:
        # Six questions an image, three of either answer: which one is asked is told by counting.
        asked: dict[tuple[int, str], int] = {}

        def answer(image: int, right: str) -> str:
            turn = asked.get((image, right), 0)
            asked[image, right] = turn + 1
            return said(task, 6 * image + 2 * turn + (right != "Yes"), right)

        return answer

    made = {task: questions(task) for task in tasks}
    by_strategy = {task.rpartition("_")[2]: made[task] for task in tasks if task in STRATEGIES}
    return Arm(
        f"llava_{name}",
        name,
        tasks=tasks,
        images=IMAGES,
        pope=made.get(POPE, lambda image, right: right),
        mme=made.get("hallu_demo_mme", lambda image, right: right),
        strategy=lambda strategy, image, right: by_strategy[strategy](image, right),
        other=lambda task, image: said(task, image, "No"),
        **{"lines": lines, "hallu": {"margins": {"yes": ["Yes"], "no": ["No"]}}, **given},
    )


@pytest.fixture
def compared(tmp_path: Path) -> Callable[..., RunComparison]:
    def made(*arms: Arm, **given: Any) -> RunComparison:
        paths = [write(tmp_path / f"{number}_{one.model}", one) for number, one in enumerate(arms)]
        return compare([read(str(path)) for path in paths], **{"resamples": 1000, **given})

    return made


def rows(comparison: RunComparison, block: int = 0) -> dict[str, MetricRow]:
    return {row.metric.name: row for row in comparison.blocks[block].rows}


def verdicts(row: MetricRow) -> list[str | None]:
    return [contrast.verdict for contrast in row.contrasts]


def edited(change: Callable[[int, dict[str, Any]], None], name: str = "moved", **given: Any) -> Arm:
    """An arm whose samples were changed after they were made."""
    whole = arm(name, **given)

    def lines(task: str, made: list[dict[str, Any]]) -> list[dict[str, Any]]:
        for place, line in enumerate(whole.lines(task, made)):
            change(place, line)
        return made

    return replace(whole, lines=lines)


# Rows and verdicts


def test_accuracy_that_moves_without_auroc_is_a_moved_threshold(compared: Callable[..., RunComparison]) -> None:
    comparison = compared(*map(arm, ARMS))
    found = rows(comparison)
    assert list(found)[-3:] == ROWS
    assert verdicts(found["accuracy"]) == ["better", "better", "no difference"]
    assert verdicts(found["auroc"]) == [THRESHOLD_MOVED, "better", "no difference"]
    assert verdicts(found["accuracy_at_yes_ratio"]) == ["no difference", "better", "no difference"]
    assert [one.side for one in found["auroc"].contrasts] == ["no difference", "better", "no difference"]
    assert not comparison.notes


def test_the_values_are_those_of_the_margins(compared: Callable[..., RunComparison]) -> None:
    found = rows(compared(arm("base"), arm("moved")))
    asked = [(6 * image + place, "Yes" if place % 2 == 0 else "No") for image in IMAGES for place in range(6)]
    yes, no = ([base(POPE, document, right) for document, right in asked if right == label] for label in ("Yes", "No"))
    expected = 100 * np.mean([[one > other for other in no] for one in yes])
    assert [one.value for one in found["auroc"].estimates] == pytest.approx([expected, expected])
    # At its own yes ratio the baseline has the accuracy of its answers, and so has it with all margins moved.
    accuracy = found["accuracy"].estimates[0].value
    assert [one.value for one in found["accuracy_at_yes_ratio"].estimates] == pytest.approx([accuracy, accuracy])
    f1 = found["f1"].estimates[0].value
    assert [one.value for one in found["f1_at_yes_ratio"].estimates] == pytest.approx([f1, f1])


def test_holm_s_correction_is_over_auroc_and_accuracy_and_f1_is_not_tested_again(
    compared: Callable[..., RunComparison],
) -> None:
    comparison = compared(arm("base"), arm("better"))
    found = rows(comparison)
    assert comparison.p_values_count == 5
    assert not found["f1_at_yes_ratio"].tested
    assert found["f1_at_yes_ratio"].contrasts[0].p_holm is None
    assert found["f1_at_yes_ratio"].contrasts[0].result.difference is not None


@pytest.mark.parametrize(
    ("task", "moved"),
    [("hallu_demo_mme", "existence"), ("hallu_amber_discriminative", "accuracy"), ("hallu_hallusion", "aAcc")],
)
def test_every_yes_no_benchmark_has_the_rows(task: str, moved: str, compared: Callable[..., RunComparison]) -> None:
    found = rows(compared(arm("base", (task,)), arm("moved", (task,))))
    assert list(found)[-3:] == ROWS and moved in found
    if task == "hallu_demo_mme":
        assert verdicts(found["auroc"]) == [THRESHOLD_MOVED]
    else:  # All labels are no: nothing tells right from wrong.
        assert found["auroc"].estimates[0].value is None
        assert found["accuracy_at_yes_ratio"].contrasts[0].result.difference == 0


def test_a_group_has_the_mean_of_its_strategies(compared: Callable[..., RunComparison]) -> None:
    groups = {"hallu_pope": STRATEGIES}
    comparison = compared(*(arm(name, STRATEGIES, groups=groups) for name in ("base", "moved")), every_metric=True)
    group, *alone = ({row.metric.name: row for row in block.rows} for block in comparison.blocks)
    assert [group[name].metric.label for name in ROWS] == [
        "mean AUROC",
        "mean same-ratio accuracy",
        "mean same-ratio F1",
    ]
    for name in ROWS:
        values = [one[name].estimates[1].value for one in alone]
        assert len(values) == 3 and group[name].estimates[1].value == pytest.approx(np.mean(values))
    shown = rows(compared(*(arm(name, STRATEGIES, groups=groups) for name in ("base", "moved"))))
    assert verdicts(shown["auroc"]) == [THRESHOLD_MOVED]


def test_one_arm_alone_has_values(compared: Callable[..., RunComparison]) -> None:
    found = rows(compared(arm("base")))
    assert all(len(found[name].estimates) == 1 and not found[name].contrasts for name in ROWS)


def test_an_infinite_margin_is_the_largest_and_those_before_the_cut_tell_them_apart(
    compared: Callable[..., RunComparison],
) -> None:
    def cut(place: int, line: dict[str, Any]) -> None:
        counted = line["token_counts"][0]
        if abs(counted["margin"]) > 1:
            counted["uncut"] = counted["margin"]
            counted["margin"] = "inf" if counted["margin"] > 0 else "-inf"

    def tied(place: int, line: dict[str, Any]) -> None:
        cut(place, line)
        line["token_counts"][0].pop("uncut", None)

    whole, told, ties = arm("moved"), edited(cut), edited(tied)
    comparison = compared(whole, told, ties)
    values = [one.value for one in rows(comparison)["auroc"].estimates]
    assert values[0] == values[1] > values[2]  # type: ignore[operator]
    (note,) = comparison.notes
    assert "margins of llava_moved" in note and "are infinite and tie" in note and "a smaller beta" in note


# How it is printed


def printed(capsys: pytest.CaptureFixture[str], *call: object) -> str:
    assert cli.main(["compare", *map(str, call), "--resamples", "1000"]) == 0
    return capsys.readouterr().out


def test_text_markdown_json_and_page_say_it(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    paths = [write(tmp_path / name, arm(name)) for name in ("base", "moved")]
    page = tmp_path / "page.html"
    text = printed(capsys, *paths, "--html", page)
    (line,) = [one for one in text.splitlines() if one.startswith("AUROC ↑")]
    assert line.endswith(THRESHOLD_MOVED)
    (line,) = [one for one in text.splitlines() if one.startswith("same-ratio F1 ↑")]
    assert "N/A" not in line and line.endswith("]")
    assert "AUROC: how well margins" in text and "same-ratio: the arm's threshold" in text
    (line,) = [one for one in printed(capsys, *paths, "--markdown").splitlines() if one.startswith("| AUROC ↑")]
    assert line.endswith(f"| {THRESHOLD_MOVED} |")
    assert THRESHOLD_MOVED in page.read_text() and "AUROC" in page.read_text()
    (block,) = json.loads(printed(capsys, *paths, "--json"))["tasks"]
    row = {row["metric"]: row for row in block["metrics"]}["auroc"]
    assert row["differences"]["llava_moved"]["verdict"] == THRESHOLD_MOVED
    assert "AUROC" in printed(capsys, *paths, "--latex")


def test_arms_in_lines_of_their_own_say_it_too(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    paths = [write(tmp_path / name, arm(name)) for name in ARMS]
    assert THRESHOLD_MOVED in printed(capsys, *paths)
    assert THRESHOLD_MOVED in printed(capsys, *paths, "--markdown")


# What is said where margins cannot be compared


def without(place: int, line: dict[str, Any]) -> None:
    del line["token_counts"][0]["margin"]


def some_without(place: int, line: dict[str, Any]) -> None:
    if place < 10:
        line["token_counts"] = [{"input_tokens": 7, "output_tokens": 2, "no_margin": "neither can be said"}]


def many_without(place: int, line: dict[str, Any]) -> None:
    if place % 2:
        some_without(0, line)


def contradicting(place: int, line: dict[str, Any]) -> None:
    if place % 8 == 0:
        line["token_counts"][0]["margin"] *= -1


def broken(place: int, line: dict[str, Any]) -> None:
    line["token_counts"][0]["margin"] = float("nan") if place % 2 else "much"


@pytest.mark.parametrize(
    ("change", "note"),
    [
        (
            without,
            "AUROC is left out: llava_moved recorded no margins of yes and no, and the other arms did; rerun with",
        ),
        (
            many_without,
            "AUROC is left out: 240 of 480 answers of llava_moved have no margin (.*: neither can be said);",
        ),
        (contradicting, "AUROC is left out: 60 of 480 answers of llava_moved are not what margins say (.*ask for one"),
        (broken, "AUROC is left out: 480 of 480 answers of llava_moved have no margin (.*its margin is no number"),
    ],
)
def test_margins_that_cannot_be_compared_are_named_with_the_way_out(
    change: Callable[[int, dict[str, Any]], None], note: str, compared: Callable[..., RunComparison]
) -> None:
    comparison = compared(arm("base"), edited(change))
    (found,) = comparison.notes
    before, _, behind = note.partition("(.*")
    assert before.rstrip() in found and behind in found, found
    assert not set(ROWS) & set(rows(comparison))
    assert verdicts(rows(comparison)["accuracy"]) == ["better"]


@pytest.mark.parametrize("change", [without, many_without, contradicting, broken])
def test_arms_that_have_margins_keep_their_rows_beside_one_that_has_none(
    change: Callable[[int, dict[str, Any]], None], compared: Callable[..., RunComparison]
) -> None:
    both, three = compared(arm("base"), arm("moved")), compared(arm("base"), edited(change), arm("moved"))
    (note,) = three.notes
    assert "AUROC of " in note and " is left out: " in note
    for name in ROWS:
        own, other = (rows(one)[name] for one in (both, three))
        assert other.estimates[0] == own.estimates[0] and other.estimates[2] == own.estimates[1]
        assert (other.estimates[1].value, other.contrasts[0].result.difference) == (None, None)
        assert other.contrasts[1].result.difference == own.contrasts[0].result.difference


def test_runs_of_an_earlier_version_are_compared_as_before(compared: Callable[..., RunComparison]) -> None:
    comparison = compared(edited(without, "base"), edited(without))
    assert comparison.notes == (WITHOUT_MARGINS,)
    assert list(rows(comparison)) == ["accuracy", "f1", "yes_ratio"]


def test_a_few_questions_without_a_margin_are_left_out_in_all_arms(compared: Callable[..., RunComparison]) -> None:
    comparison = compared(arm("base"), edited(some_without))
    (note,) = comparison.notes
    assert "AUROC is without these questions: 10 of 480 answers of llava_moved" in note
    assert rows(comparison)["auroc"].contrasts[0].result.difference == 0


def test_margins_of_other_tokens_are_compared_and_named(compared: Callable[..., RunComparison]) -> None:
    tokens: Mapping[str, Any] = {"margins": {"yes": ["▁Yes"], "no": ["▁No"]}}
    comparison = compared(arm("base"), arm("moved", hallu=tokens))
    (note,) = comparison.notes
    assert note.startswith("margins of llava_moved are of other tokens than those of llava_base")
    assert set(ROWS) <= set(rows(comparison))
