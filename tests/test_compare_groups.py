"""A group in ``hallu compare``: POPE's numbers over its strategies, when they are shown and what is resampled."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from written_runs import IMAGES, STRATEGIES, WITHOUT_MARGINS, Arm, write

from hallu_tasks.compare.comparison import Block, RunComparison
from hallu_tasks.compare.compute import compare
from hallu_tasks.estimates.bootstrap import Bootstrap
from hallu_tasks.pope import score
from hallu_tasks.pope import task as pope_task
from hallu_tasks.pope.answers import PopeQuestion
from hallu_tasks.report.changes import changes
from hallu_tasks.runs.results import Run, read
from hallu_tasks.scoring import paired
from registry.commands import cli

GROUP = "hallu_pope"
IN_ORDER = tuple(sorted(STRATEGIES))
TITLE = "hallu_pope: POPE in percent, means of 3 strategies; 720 questions on 40 images"
TURNED = {"Yes": "No", "No": "Yes"}


def said(strategy: str, image: int, right: str) -> str:
    """Every random answer is right, every popular one yes, every adversarial one no."""
    return {"random": right, "popular": "Yes", "adversarial": "No"}[strategy]


RIGHT = Arm(tasks=STRATEGIES, groups={GROUP: STRATEGIES})
BASE = replace(RIGHT, strategy=said)
VHR = replace(RIGHT, model="llava_vhr", method="vhr")


def guessing(seed: int, arm: Arm = RIGHT) -> Arm:
    generator = random.Random(seed)
    return replace(arm, strategy=lambda strategy, image, right: generator.choice((right, right, "Yes", "Who knows")))


def runs(folder: Path, *arms: Arm) -> list[Run]:
    return [read(str(write(folder / str(number), arm))) for number, arm in enumerate(arms)]


def compared(folder: Path, *arms: Arm, resamples: int = 400, **given: Any) -> RunComparison:
    return compare(runs(folder, *arms), resamples=resamples, **given)


def names(comparison: RunComparison) -> list[str]:
    return [block.task for block in comparison.blocks]


def values(block: Block, arm: int = 0) -> dict[str, float | None]:
    return {row.metric.name: row.estimates[arm].value for row in block.rows}


def printed(capsys: pytest.CaptureFixture[str], *call: object) -> str:
    assert cli.main(["compare", *map(str, call), "--resamples", "400"]) == 0
    return capsys.readouterr().out


# The numbers


def test_values_are_those_of_the_answers(tmp_path: Path) -> None:
    (block,) = compared(tmp_path, BASE, VHR).blocks
    assert [(row.metric.label, row.metric.direction) for row in block.rows] == [
        ("mean F1", "higher"),
        ("pooled F1", "higher"),
        ("mean accuracy", "higher"),
        ("mean yes ratio", None),
    ]
    # Per image: 3 of 3 objects found in two strategies, none in the third; 3 + 6 + 0 times yes.
    assert values(block) == {
        "f1": pytest.approx((100 + 200 / 3 + 0) / 3),
        "f1_pooled": pytest.approx(200 * 6 / (9 + 9)),
        "accuracy": pytest.approx((100 + 50 + 50) / 3),
        "yes_ratio": pytest.approx((50 + 100 + 0) / 3),
    }
    assert values(block, 1) == {"f1": 100, "f1_pooled": 100, "accuracy": 100, "yes_ratio": 50}
    assert block.rows[0].contrasts[0].result.difference == pytest.approx(400 / 9)


def test_strategies_of_other_sizes_count_the_same(tmp_path: Path) -> None:
    arm = replace(BASE, lines=lambda task, lines: lines if task == "hallu_pope_random" else lines[:60])
    (block,) = compared(tmp_path, arm).blocks
    assert values(block)["accuracy"] == pytest.approx((100 + 50 + 50) / 3)
    assert values(block)["f1_pooled"] == pytest.approx(200 * (120 + 30) / (120 + 60 + 120 + 30 + 30))
    assert (block.documents_count, block.images_count) == (360, 40)


def test_values_are_those_that_lmms_eval_prints_for_the_group(tmp_path: Path) -> None:
    arm = guessing(0)
    (run,) = runs(tmp_path, arm)
    (block,) = compare([run], resamples=10).blocks
    records = [[sample.records["f1"] for sample in run.tasks[task].samples.values()] for task in STRATEGIES]
    for name in ("f1", "accuracy", "yes_ratio"):
        score = getattr(pope_task, name)
        assert values(block)[name] == pytest.approx(pope_task.mean([score(one) for one in records], None, None))
    pooled = [pope_task.f1_pooled(one) for one in records]
    assert all(pooled)
    assert values(block)["f1_pooled"] == pytest.approx(pope_task.pool([one for one in pooled if one], None, None))


def test_values_and_intervals_are_those_of_the_same_answers_in_files(tmp_path: Path) -> None:
    (run,) = runs(tmp_path, guessing(1))
    questions, answers = [], {}
    for task in STRATEGIES:
        for number, sample in run.tasks[task].samples.items():
            key = (task.rpartition("_")[2], number, sample.prompt)
            image = sample.records["f1"]["image_id"]
            questions.append(PopeQuestion("", key, image, sample.target.lower(), f"{image}.jpg"))
            answers[key] = sample.answer
    result = score.scores(answers, questions, bootstrap=Bootstrap(resamples=500, seed=3))
    (block,) = compare([run], resamples=500, seed=3).blocks
    rows = {row.metric.name: row.estimates[0] for row in block.rows}
    for name, scored in (("f1", "f1_mean_of_strategies"), ("f1_pooled", "f1_pooled")):
        expected = result[scored].estimate
        assert rows[name].value == pytest.approx(expected.value)
        assert rows[name].interval == pytest.approx(expected.interval)
    assert rows["accuracy"].value == pytest.approx(result["pooled"]["accuracy"].estimate.value)
    assert rows["accuracy"].interval == pytest.approx(result["pooled"]["accuracy"].estimate.interval)


# What is resampled


def test_an_image_is_resampled_with_its_questions_of_all_strategies(tmp_path: Path) -> None:
    arm = replace(RIGHT, images=range(2), strategy=lambda _, image, right: right if image else TURNED[right])
    (block,) = compared(tmp_path, arm).blocks
    rows = {row.metric.name: row.estimates[0] for row in block.rows}
    # Both images, one twice, or the other twice: with questions or strategies apart there would be more.
    assert (rows["accuracy"].value, rows["accuracy"].interval) == (50, (0, 100))
    assert (rows["f1"].value, rows["f1"].interval) == (50, (0, 100))


def test_eighteen_questions_about_one_image_are_not_eighteen_images(tmp_path: Path) -> None:
    turned = replace(VHR, strategy=lambda _, image, right: TURNED[right] if image < 2 else right)
    (block,) = compared(tmp_path, RIGHT, turned).blocks
    for row in block.rows[:3]:
        (contrast,) = row.contrasts
        assert contrast.result.units_count == IMAGES
        assert contrast.result.interval is not None and contrast.result.interval[1] == 0
        assert contrast.verdict == "no difference"
        assert contrast.result.test == "paired percentile bootstrap over units"


def test_a_run_compared_with_itself_shows_nothing(tmp_path: Path) -> None:
    (block,) = compared(tmp_path, guessing(2), guessing(2)).blocks
    results = [row.contrasts[0].result for row in block.rows]
    assert {(one.difference, one.interval, one.p_value) for one in results} == {(0.0, (0.0, 0.0), 1.0)}


# What is shown


def test_strategies_are_shown_on_request_below_their_group(tmp_path: Path) -> None:
    two = compared(tmp_path, BASE, VHR)
    assert names(two) == [GROUP]
    told = "hallu_pope stands for adversarial, popular, random; --all shows each of them too"
    assert two.notes == (told, WITHOUT_MARGINS)
    everything = compared(tmp_path, BASE, VHR, every_metric=True, resamples=2000)
    assert names(everything) == [GROUP, *IN_ORDER]
    assert everything.notes == (WITHOUT_MARGINS,)
    assert everything.blocks[0].tasks == IN_ORDER and everything.blocks[1].tasks == ()


def test_holm_s_correction_is_over_what_is_shown(tmp_path: Path) -> None:
    two = compared(tmp_path, BASE, VHR)
    everything = compared(tmp_path, BASE, VHR, every_metric=True, resamples=2000)
    # Where no answer is yes there is no precision.
    assert (two.p_values_count, everything.p_values_count) == (4, 4 + 3 * 7 - 1)
    (contrast,) = two.blocks[0].rows[0].contrasts
    assert contrast.p_holm == pytest.approx(4 * 2 / 401)
    p_values = {row.metric.name: row.contrasts[0].result.p_value for row in two.blocks[0].rows}
    assert {row.metric.name: row.contrasts[0].p_holm for row in two.blocks[0].rows} == paired.holm(
        {name: p_value for name, p_value in p_values.items() if p_value is not None}
    )


def test_other_tasks_keep_their_place(tmp_path: Path) -> None:
    tasks = ("hallu_demo_chair", "hallu_demo_mme", "hallu_demo_pope", *STRATEGIES)
    comparison = compared(tmp_path, *(replace(arm, tasks=tasks) for arm in (BASE, VHR)), resamples=2000)
    assert names(comparison) == ["hallu_demo_chair", "hallu_demo_pope", GROUP, "hallu_demo_mme"]
    assert list(comparison.tasks) == ["hallu_demo_chair", "hallu_demo_pope", *IN_ORDER, "hallu_demo_mme"]


def test_a_task_that_an_arm_lacks_leaves_the_others_without_a_group(tmp_path: Path) -> None:
    two = STRATEGIES[:2]
    comparison = compared(tmp_path, BASE, replace(VHR, tasks=two, groups={}))
    assert names(comparison) == sorted(two)
    assert comparison.notes == ("hallu_pope_adversarial is left out: only llava_base has it", WITHOUT_MARGINS)


DEMO = ("hallu_demo_chair", "hallu_demo_pope")
NAMED: list[tuple[str, Sequence[Mapping[str, Sequence[str]]], list[str]]] = [
    ("by all arms", [{GROUP: STRATEGIES}] * 2, [GROUP]),
    ("by one arm", [{}, {GROUP: STRATEGIES}], [GROUP]),
    ("by no arm", [{}, {}], [*IN_ORDER]),
    ("in another order", [{GROUP: STRATEGIES}, {GROUP: STRATEGIES[::-1]}], [GROUP]),
    ("for other tasks in another arm", [{GROUP: STRATEGIES}, {GROUP: STRATEGIES[:2]}], [*IN_ORDER]),
    ("under two names", [{GROUP: STRATEGIES}, {"mine": STRATEGIES}], [GROUP]),
    ("below another group", [{"suite": ("hallu_demo_chair", GROUP), GROUP: STRATEGIES}] * 2, [GROUP]),
    ("as tasks", [dict.fromkeys(STRATEGIES, ())] * 2, [*IN_ORDER]),
    ("one task alone", [{"alone": STRATEGIES[:1]}] * 2, [*IN_ORDER]),
    ("two of them", [{"hallu_pope": STRATEGIES[:2]}] * 2, ["hallu_pope_adversarial", "hallu_pope"]),
]


@pytest.mark.parametrize(("groups", "shown"), [case[1:] for case in NAMED], ids=[case[0] for case in NAMED])
def test_a_group_is_one_that_the_runs_were_asked_for(
    tmp_path: Path, groups: Sequence[Mapping[str, Sequence[str]]], shown: list[str]
) -> None:
    arms = [replace(arm, groups=below) for arm, below in zip((BASE, VHR), groups, strict=True)]
    assert names(compared(tmp_path, *arms, resamples=10)) == shown


def test_a_group_of_several_benchmarks_has_no_numbers_of_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arms = [Arm(tasks=DEMO), Arm("llava_vhr", "vhr", tasks=DEMO, caption=lambda image: "A dog.")]
    call = [write(tmp_path / str(number), arm) for number, arm in enumerate(arms)]
    forms = ("--seed=0", "--markdown", "--json", "--all")
    without = [printed(capsys, *call, form) for form in forms]
    for number, arm in enumerate(arms):
        write(tmp_path / str(number), replace(arm, groups={"hallu_demo": DEMO}))
    assert [printed(capsys, *call, form) for form in forms] == without
    assert "subtasks" not in without[2] and "stands for" not in "".join(without)


def test_documents_in_common_are_compared_where_that_is_allowed(tmp_path: Path) -> None:
    arms = runs(tmp_path, BASE, replace(VHR, images=range(30, 50)))
    (block,) = compare(arms, resamples=50, allow_different=["documents"]).blocks
    assert (block.documents_count, block.images_count) == (3 * 6 * 10, 10)
    apart = runs(tmp_path / "apart", BASE, replace(VHR, images=range(40, 50)))
    with pytest.raises(ValueError, match="no document of hallu_pope_adversarial in common"):
        compare(apart, resamples=50, allow_different=["documents"])


# In every form


def seven(folder: Path) -> list[Path]:
    arms = [BASE, VHR, *(guessing(n, Arm(f"llava_{n}", f"m{n}", tasks=STRATEGIES)) for n in range(5))]
    return [write(folder / str(number), arm) for number, arm in enumerate(arms)]


def test_text_and_markdown_have_the_group_s_block(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = seven(tmp_path)
    for chosen in (paths[:1], paths[:2], paths):
        text = printed(capsys, *chosen).splitlines()
        assert TITLE in text
        assert [line for line in text if "stands for" in line] == [
            "Note: hallu_pope stands for adversarial, popular, random; --all shows each of them too"
        ]
        piped = printed(capsys, *chosen, "--markdown")
        assert f"**{TITLE}**" in piped and "hallu_pope_random" not in piped
        warnings = [line for line in text if line.startswith("Warning: hallu_pope: ")]
        # The guessing arms say "perhaps" too; they share one line.
        assert [line.count(" of 720 answers of ") for line in warnings] == ([5] if chosen is paths else [])
    (row,) = [line for line in printed(capsys, *paths[:2]).splitlines() if line.startswith("mean F1")]
    assert re.split(" {2,}", row) == [
        "mean F1 ↑", "55.6 [55.6, 55.6]", "100.0 [100.0, 100.0]", "+44.4 [44.4, 44.4]", "0.020", "▲ better",
    ]  # fmt: skip


def test_two_arms_fit_into_100_columns(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(Path("a"), BASE), write(Path("b"), VHR)
    assert max(map(len, printed(capsys, "a", "b").splitlines())) <= 100


def test_json_names_the_tasks_below(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = seven(tmp_path)
    (group,) = json.loads(printed(capsys, *paths, "--json"))["tasks"]
    assert (group["task"], group["benchmark"], group["subtasks"]) == (GROUP, "POPE", list(IN_ORDER))
    assert [row["metric"] for row in group["metrics"]] == ["f1", "f1_pooled", "accuracy", "yes_ratio"]
    assert len(group["metrics"][0]["differences"]) == 6
    tasks = json.loads(printed(capsys, *paths, "--json", "--all"))["tasks"]
    assert ["subtasks" in one for one in tasks] == [True, False, False, False]


def test_an_answer_that_changed_sides_is_listed_once_under_its_strategy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Wrong: half of the popular and half of the adversarial answers, 3 of 6 an image.
    expected = [("hallu_pope_adversarial", 3 * IMAGES), ("hallu_pope_popular", 3 * IMAGES)]
    for every in (False, True):
        found = changes(compared(tmp_path, BASE, VHR, every_metric=every, resamples=10))
        tasks = [one.task for one in found]
        assert [(task, tasks.count(task)) for task in sorted(set(tasks))] == expected
    page = tmp_path / "page.html"
    printed(capsys, tmp_path / "0", tmp_path / "1", "--html", page)
    text = page.read_text()
    assert text.count('<tr role="row" data-task=') == 6 * IMAGES
    assert f'data-task="{GROUP}"' not in text and f'<option value="{GROUP}">' not in text
    assert TITLE in text and "<b>mean F1</b> (pp) <span>hallu_pope</span>" in text
    for task in STRATEGIES:
        assert f'<th scope="col">{task} <span>' in text


def test_the_plot_has_a_panel_for_each_of_the_group_s_numbers(tmp_path: Path) -> None:
    from hallu_tasks.report import forest

    panels = forest.panels(compared(tmp_path, BASE, VHR, resamples=50))
    assert [(panel.task, panel.metric) for panel in panels] == [
        (GROUP, metric) for metric in ("mean F1", "pooled F1", "mean accuracy", "mean yes ratio")
    ]
    everything = forest.panels(compared(tmp_path, BASE, VHR, resamples=50, every_metric=True))
    assert list(dict.fromkeys(panel.task for panel in everything)) == [
        "pope", "pope_adversarial", "pope_popular", "pope_random",
    ]  # fmt: skip
