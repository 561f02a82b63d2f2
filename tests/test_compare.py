"""``hallu compare``: what it reads, what it refuses, what it prints, and when it calls a difference one."""

from __future__ import annotations

import json
import math
import os
import random
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from written_runs import BASE, IMAGES, METRICS, OTHERS, RIGHT, SILENT, TRUE, VHR, WITHOUT_MARGINS, WRONG, Arm, write

import hallu_tasks
from hallu_tasks.chair import task as chair_task
from hallu_tasks.compare import differences
from hallu_tasks.compare.compute import compare
from hallu_tasks.mme import task as mme_task
from hallu_tasks.pope import task as pope_task
from hallu_tasks.report import cells
from hallu_tasks.runs import results
from hallu_tasks.scoring import paired
from registry.commands import cli

ROOT = Path(hallu_tasks.__file__).parents[1]
QUICK = ("--resamples", "400")

LEGEND = ("Values", "Holm p", "Note: AUROC", "CHAIR_i vs cut:", "length-adjusted:")
CHAIR_ONLY = ("hallu_demo_chair",)


def run(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str, str]:
    try:
        code = cli.main(["compare", *map(str, arguments), *QUICK])
    except SystemExit as end:
        code = int(end.code or 0)
    out, err = capsys.readouterr()
    return code, out, err


def table(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> dict[str, Any]:
    """The JSON form, with the metrics of each task by name."""
    code, out, err = run(capsys, *arguments, "--json")
    assert (code, err) == (0, "")
    data: dict[str, Any] = json.loads(out)
    data["tasks"] = {one["task"]: {row["metric"]: row for row in one["metrics"]} for one in data["tasks"]}
    return data


def refused(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (2, "")
    assert err.startswith("hallu: ")
    return err


@pytest.fixture
def two(tmp_path: Path) -> tuple[Path, Path]:
    return write(tmp_path / "llava_base", BASE), write(tmp_path / "llava_vhr", VHR)


# What is printed


def test_rows_stand_in_reading_order_with_the_better_direction(
    capsys: pytest.CaptureFixture[str], two: tuple[Path, Path]
) -> None:
    code, out, _ = run(capsys, *two)
    labels = [text.split("  ")[0] for text in out.splitlines()]
    assert code == 0
    assert [label for label in labels if label and not label.startswith(("llava", *LEGEND, " "))] == [
        "hallu_demo_chair: CHAIR in percent, mean length in tokens; 40 captions",
        "CHAIR_s ↓",
        "CHAIR_i ↓",
        "CHAIR_i vs cut ↓",
        "length-adjusted ↓",
        "recall ↑",
        "mean length",
        "hallu_demo_pope: POPE in percent; 240 questions on 40 images",
        "accuracy ↑",
        "F1 ↑",
        "yes ratio",
        "hallu_demo_mme: MME in points; 240 questions on 40 images",
        "existence ↑",
        "count ↑",
        "position ↑",
        "tokens/s",
    ]


def test_values_are_those_of_the_answers(capsys: pytest.CaptureFixture[str], two: tuple[Path, Path]) -> None:
    tasks = table(capsys, *two)["tasks"]
    chair, pope, mme = (tasks[f"hallu_demo_{name}"] for name in ("chair", "pope", "mme"))
    expected = {
        # 30 and 5 of 40 captions name two objects, one of them wrong; the others name both that are there.
        "chair_s": (chair, 75.0, 12.5),
        "chair_i": (chair, 100 * 30 / 80, 100 * 5 / 80),
        "recall": (chair, 100 * 50 / 80, 100 * 75 / 80),
        # "Yes" to six questions, three of which are to be denied; and every answer right.
        "accuracy": (pope, 50.0, 100.0),
        "f1": (pope, 100 * 2 / 3, 100.0),
        "yes_ratio": (pope, 100.0, 50.0),
        "existence": (mme, 200.0, 200.0),
    }
    for name, (metrics, base, vhr) in expected.items():
        row = metrics[name]
        assert row["arms"]["llava_base"]["value"] == pytest.approx(base)
        assert row["arms"]["llava_vhr"]["value"] == pytest.approx(vhr)
        assert row["differences"]["llava_vhr"]["difference"] == pytest.approx(vhr - base)


def test_values_are_those_that_lmms_eval_would_print(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    generator = random.Random(0)
    arm = replace(
        BASE,
        caption=lambda image: generator.choice((RIGHT, WRONG, SILENT)),
        pope=lambda image, right: generator.choice(("Yes", "No")),
        mme=lambda image, right: generator.choice(("Yes", "No", "Perhaps")),
    )
    tasks = table(capsys, write(tmp_path, arm), "--all")["tasks"]
    modules = {"hallu_demo_chair": chair_task, "hallu_demo_pope": pope_task, "hallu_demo_mme": mme_task}
    for task, names in METRICS.items():
        (samples,) = tmp_path.glob(f"*/*_samples_{task}.jsonl")
        lines = [json.loads(text) for text in samples.read_text().splitlines()]
        for name in names:
            printed = getattr(modules[task], name)(text[name] for text in lines if name in text)
            assert tasks[task][name]["arms"]["llava_base"]["value"] == pytest.approx(printed), (task, name)


def test_two_arms_fit_into_120_columns_of_plain_text(
    capsys: pytest.CaptureFixture[str], two: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(two[0].parent)
    _, out, _ = run(capsys, "llava_base", "llava_vhr")
    assert max(map(len, out.splitlines())) <= 120
    assert "\x1b" not in out
    (row,) = [text for text in out.splitlines() if text.startswith("CHAIR_s")]
    assert "75.0 [59.8, 85.8]" in row  # Wilson, 30 of 40
    assert row.split()[-3:] == ["<0.001", "▲", "better"]
    columns = [row.index("75.0"), row.index("12.5")]
    (head,) = [text for text in out.splitlines() if text.endswith("verdict")]
    assert columns == [head.index("llava_base"), head.index("llava_vhr")]


def test_the_speed_of_each_run_is_the_last_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    base, vhr = write(tmp_path / "a", replace(BASE, speed=812.34)), write(tmp_path / "b", replace(VHR, speed=None))
    assert run(capsys, base, vhr)[1].splitlines()[-1].split() == ["tokens/s", "812.3", "N/A"]
    assert [arm["tokens_per_second"] for arm in table(capsys, base, vhr)["arms"]] == [812.34, None]


def test_all_shows_the_other_metrics_too(capsys: pytest.CaptureFixture[str], two: tuple[Path, Path]) -> None:
    tasks = table(capsys, *two, "--all")["tasks"]
    beside = {"hallu_demo_chair": {"chair_i_vs_cut", "chair_s_vs_cut", "chair_i_rate_ratio"}}
    assert {task: set(metrics) for task, metrics in tasks.items()} == {
        task: {*names, *beside.get(task, ())} for task, names in METRICS.items()
    }
    assert "precision" not in table(capsys, *two)["tasks"]["hallu_demo_pope"]


def test_markdown_is_one_table_with_the_same_cells(capsys: pytest.CaptureFixture[str], two: tuple[Path, Path]) -> None:
    text = run(capsys, *two)[1].splitlines()
    lines = run(capsys, *two, "--markdown")[1].splitlines()
    rows = [one for one in lines if one.startswith("|")]
    assert len({one.count("|") for one in rows}) == 1
    assert rows[0] == "|  | llava_base | llava_vhr | difference | Holm p | verdict |"
    (plain,) = [one for one in text if one.startswith("CHAIR_i ↓")]
    (piped,) = [one for one in rows if one.startswith("| CHAIR_i ↓")]
    assert piped.strip("| ").split(" | ") == [cell.strip() for cell in plain.split("  ") if cell.strip()]
    assert lines[: len(rows)] == rows


@pytest.mark.parametrize(("value", "text"), [(-0.04, "0.0"), (-0.06, "-0.1"), (12.34, "12.3")])
def test_a_number_that_rounds_to_zero_has_no_sign(value: float, text: str) -> None:
    assert cells.number(value) == text


def test_one_arm_alone_gets_values_without_differences(
    capsys: pytest.CaptureFixture[str], two: tuple[Path, Path]
) -> None:
    code, out, _ = run(capsys, two[0])
    assert code == 0
    assert "difference" not in out and "Holm" not in out
    alone, beside = table(capsys, two[0])["tasks"], table(capsys, *two)["tasks"]
    for task, metrics in alone.items():
        for name, row in metrics.items():
            assert row["arms"]["llava_base"] == beside[task][name]["arms"]["llava_base"]


def test_every_further_arm_is_compared_with_the_baseline(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, two: tuple[Path, Path]
) -> None:
    third = write(
        tmp_path / "third", Arm("llava_pai", "pai", "alpha=0.2", caption=lambda i: WRONG if i < 35 else RIGHT)
    )
    data = table(capsys, *two, third)
    row = data["tasks"]["hallu_demo_chair"]["chair_s"]["differences"]
    assert {arm: contrast["difference"] for arm, contrast in row.items()} == {"llava_vhr": -62.5, "llava_pai": 12.5}
    # The first arm has a higher recall than any cut of the baseline's captions.
    assert data["p_values_count"] == 2 * 10 + 1
    head = [text for text in run(capsys, *two, third)[1].splitlines() if "difference llava_vhr" in text]
    assert len(head) == 1 and "difference llava_pai" in head[0]


def test_many_arms_get_a_line_each_with_the_same_cells(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, two: tuple[Path, Path]
) -> None:
    more = [write(tmp_path / name, Arm(f"llava_{name}", name, speed=200.0)) for name in ("pai", "eah")]
    beside = run(capsys, *two, more[0])[1].splitlines()
    below = run(capsys, *two, *more)[1].splitlines()
    (side,) = [re.split(" {2,}", one) for one in beside if one.startswith("CHAIR_s")]
    at = next(index for index, one in enumerate(below) if one.startswith("hallu_demo_chair"))
    block = [re.split(" {2,}", one) for one in below[at + 1 : at + 9]]
    assert block[0][1] == side[0] == "CHAIR_s ↓"
    assert [one[0] for one in block[1:] if one[0]] == ["llava_base", "llava_vhr", "llava_pai", "llava_eah"]
    assert [block[1][1], block[2][1], block[4][1]] == side[1:4]
    assert block[3][1].startswith(f"{side[4]}, p ") and block[3][1].endswith(", ▲ better")
    assert below[-1].split() == ["llava_eah", "200.0"]

    piped = run(capsys, *two, *more, "--markdown")[1]
    assert f"| `llava_vhr` | {block[2][1]}<br>{block[3][1]} |" in piped
    tables = [part for part in piped.split("\n\n") if part.startswith("|")]
    assert len(tables) == 3
    assert all(len({one.count("|") for one in part.splitlines()}) == 1 for part in tables)
    assert "| `llava_eah` |" in tables[0] and tables[0].splitlines()[-1].endswith("| 200.0 |")


def test_undefined_scores_are_not_available_with_a_reason(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    base, silent = write(tmp_path / "a", BASE), write(tmp_path / "b", replace(VHR, caption=lambda image: SILENT))
    code, out, _ = run(capsys, base, silent)
    (row,) = [text for text in out.splitlines() if text.startswith("CHAIR_i ↓")]
    assert code == 0
    assert row.split()[-4:] == ["N/A"] * 4
    assert "  CHAIR_i: N/A, no caption mentions an object (llava_vhr)" in out.splitlines()
    chair_i = table(capsys, base, silent)["tasks"]["hallu_demo_chair"]["chair_i"]
    assert chair_i["arms"]["llava_vhr"]["value"] is None
    assert chair_i["arms"]["llava_vhr"]["reasons"]["value"] == "no caption mentions an object"
    assert chair_i["differences"]["llava_vhr"]["p_value"] is None
    assert "CHAIR_i: N/A, no caption mentions an object" in run(capsys, base, silent, "--markdown")[1]


def test_one_image_has_values_but_no_intervals(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    folder = write(tmp_path, replace(BASE, images=[0]))
    code, out, _ = run(capsys, folder, folder)
    assert code == 0
    assert "recall: no interval, a single unit has no spread" in out
    assert table(capsys, folder)["tasks"]["hallu_demo_chair"]["recall"]["arms"]["llava_base"]["value"] == 50.0


# When a difference is one


def test_verdicts_follow_the_direction_of_the_metric(
    capsys: pytest.CaptureFixture[str], two: tuple[Path, Path]
) -> None:
    def verdicts(*arms: Path) -> dict[str, str]:
        rows = [item for metrics in table(capsys, *arms)["tasks"].values() for item in metrics.items()]
        return {name: next(iter(row["differences"].values()))["verdict"] for name, row in rows if "arms" in row}

    same = dict.fromkeys(("mean_length", "existence", "count", "position"), "no difference")
    better = dict.fromkeys(("chair_s", "chair_i", "recall", "accuracy", "f1"), "better")
    assert verdicts(*two) == {**better, **same, "yes_ratio": "lower"}
    worse = dict.fromkeys(better, "worse")
    assert verdicts(*reversed(two)) == {**worse, **same, "yes_ratio": "higher"}


def test_proportions_have_mcnemar_s_exact_p_value(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    base = replace(BASE, caption=lambda i: WRONG if i < 10 else RIGHT, pope=lambda i, right: "Yes" if i < 10 else right)
    other = replace(
        VHR, caption=lambda i: WRONG if 7 <= i < 12 else RIGHT, pope=lambda i, right: "Yes" if 7 <= i < 12 else right
    )
    tasks = table(capsys, write(tmp_path / "a", base), write(tmp_path / "b", other))["tasks"]
    chair_s = tasks["hallu_demo_chair"]["chair_s"]["differences"]["llava_vhr"]
    accuracy = tasks["hallu_demo_pope"]["accuracy"]["differences"]["llava_vhr"]
    assert chair_s["test"] == accuracy["test"] == "exact McNemar"
    # Of the nine captions that differ, two are worse than the baseline's: 2 (1 + 9 + 36) / 2^9.
    # Of the answers to three questions about each of these images, six of 27 are worse.
    assert chair_s["p_value"] == pytest.approx(92 / 512)
    assert accuracy["p_value"] == pytest.approx(2 * sum(math.comb(27, worse) for worse in range(7)) / 2**27)
    assert "bootstrap" in tasks["hallu_demo_chair"]["chair_i"]["differences"]["llava_vhr"]["test"]


def test_hal_is_a_proportion_of_the_responses_that_say_anything(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def arm(arm: Arm, *answers: str) -> Arm:
        return replace(arm, other=lambda task, image: answers[image], images=range(len(answers)), tasks=OTHERS[:1])

    base = write(tmp_path / "a", arm(BASE, WRONG, WRONG, WRONG, RIGHT, RIGHT, ""))
    other = write(tmp_path / "b", arm(VHR, RIGHT, RIGHT, "", RIGHT, WRONG, WRONG))
    hal = table(capsys, base, other)["tasks"]["hallu_amber_generative"]["hal"]
    assert (hal["arms"]["llava_base"]["value"], hal["arms"]["llava_vhr"]["value"]) == (60.0, 40.0)
    assert hal["arms"]["llava_base"]["interval"] == pytest.approx(paired.wilson(3, 5))
    difference = hal["differences"]["llava_vhr"]
    assert (difference["difference"], difference["test"]) == (-20.0, "exact McNemar")
    assert difference["p_value"] == paired.mcnemar(2, 1)


@pytest.mark.parametrize("task", OTHERS)
def test_every_benchmark_is_compared(task: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    wrong = {"hallu_amber_generative": WRONG, "hallu_textvqa": "go"}.get(task, "Yes.")
    base = replace(BASE, other=lambda task, image: wrong if image < 30 else TRUE[task], tasks=[task])
    paths = write(tmp_path / "a", base), write(tmp_path / "b", replace(VHR, tasks=[task]))
    page = tmp_path / "page.html"
    rows = table(capsys, *paths)["tasks"][task]
    first = next(iter(rows.values()))["differences"]["llava_vhr"]
    assert first["verdict"] == "better" and first["p_value"] < 0.01
    assert run(capsys, *paths, "--html", page)[0] == 0
    text = page.read_text()
    assert text.count(f"What of image {29}?") == 1 and "What of image 30?" not in text
    assert ("<mark" in text) == (task == "hallu_amber_generative")


def test_what_holm_s_correction_takes_away_is_no_difference(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    base = write(tmp_path / "a", replace(BASE, caption=lambda i: WRONG if i < 6 else RIGHT, tasks=CHAIR_ONLY))
    contrast = table(capsys, base, write(tmp_path / "b", replace(VHR, caption=lambda i: RIGHT, tasks=CHAIR_ONLY)))
    chair_s = contrast["tasks"]["hallu_demo_chair"]["chair_s"]["differences"]["llava_vhr"]
    assert chair_s["p_value"] == pytest.approx(2 / 64)
    assert chair_s["interval"][1] < 0
    # Of four p values, those of CHAIR_s, CHAIR_i and recall are the least that six images can give.
    assert chair_s["p_value_holm"] == pytest.approx(4 * 2 / 64)
    assert chair_s["verdict"] == "no difference"


def test_six_questions_about_one_image_are_not_six_images(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    tasks = ("hallu_demo_pope",)
    base = write(tmp_path / "a", Arm(tasks=tasks))
    other = Arm("llava_vhr", tasks=tasks, pope=lambda i, right: {"Yes": "No", "No": "Yes"}[right] if i < 2 else right)
    accuracy = table(capsys, base, write(tmp_path / "b", other))["tasks"]["hallu_demo_pope"]["accuracy"]
    contrast = accuracy["differences"]["llava_vhr"]
    # Twelve questions changed, all for the worse, but on two of 40 images.
    assert contrast["p_value"] == 2 / 2**2
    assert contrast["interval"][1] == 0.0
    assert contrast["verdict"] == "no difference"
    assert contrast["units_count"] == IMAGES


def test_a_subtask_of_mme_resamples_its_own_images(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    def fewer(task: str, lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [one for one in lines if "existence" in one or one["doc_id"] >= 6 * 10]

    arm = Arm(tasks=("hallu_demo_mme",), mme=lambda image, right: "Yes" if image % 2 else right, lines=fewer)
    folder = write(tmp_path, arm)
    metrics = table(capsys, folder, folder)["tasks"]["hallu_demo_mme"]
    counts = {name: row["differences"]["llava_base (2)"]["units_count"] for name, row in metrics.items()}
    assert counts == {"existence": IMAGES, "count": IMAGES - 10, "position": IMAGES - 10}


def test_a_run_compared_with_itself_shows_nothing(capsys: pytest.CaptureFixture[str], two: tuple[Path, Path]) -> None:
    for metrics in table(capsys, two[0], two[0])["tasks"].values():
        for row in metrics.values():
            if "ratios" in row:
                ratio = row["ratios"]["llava_base (2)"]
                assert (ratio["ratio"], *ratio["interval"]) == pytest.approx((1, 1, 1))
                continue
            contrast = row["differences"]["llava_base (2)"]
            assert (contrast["difference"], contrast["interval"], contrast["p_value"]) == (0.0, [0.0, 0.0], 1.0)
            assert contrast["verdict"] == ("no difference" if "arms" in row else "no more than saying less")


def test_the_order_of_the_samples_does_not_matter(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, two: tuple[Path, Path]
) -> None:
    def shuffled(task: str, lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return random.Random(task).sample(lines, len(lines))

    again = write(tmp_path / "again", replace(VHR, lines=shuffled))
    assert table(capsys, two[0], again, "--all")["tasks"] == table(capsys, *two, "--all")["tasks"]


def test_the_same_seed_gives_the_same_output(capsys: pytest.CaptureFixture[str], two: tuple[Path, Path]) -> None:
    first = run(capsys, *two, "--json")
    assert run(capsys, *two, "--json", "--seed", "0") == first
    assert run(capsys, *two, "--json", "--seed", "1")[1] != first[1]


# Names and baseline


@pytest.mark.parametrize(
    ("arms", "expected"),
    [
        ([BASE, VHR], ["llava_base", "llava_vhr"]),
        (
            [VHR, replace(VHR, parameters="alpha=1.5,layers=1+4-7,variant=paper")],
            ["llava_vhr alpha=2", "llava_vhr alpha=1.5"],
        ),
        (
            [Arm("hallu"), Arm("hallu", "vhr", "alpha=2"), Arm("hallu", "vhr", "alpha=3")],
            ["hallu method=none", "hallu method=vhr alpha=2", "hallu method=vhr alpha=3"],
        ),
        (
            [Arm("hallu", "vhr", "alpha=2"), Arm("hallu", "pai", "alpha=0.2")],
            ["hallu method=vhr", "hallu method=pai"],
        ),
        (
            [Arm("llava_icd", "icd", 'prompt="a, b",x=1'), Arm("llava_icd", "icd", 'prompt="a, c",x=1')],
            ['llava_icd prompt="a, b"', 'llava_icd prompt="a, c"'],
        ),
        ([VHR, VHR, BASE], ["llava_vhr", "llava_vhr (2)", "llava_base"]),
    ],
)
def test_arms_are_named_by_model_id_and_what_tells_them_apart(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, arms: list[Arm], expected: list[str]
) -> None:
    folders = [write(tmp_path / str(i), replace(arm, tasks=CHAIR_ONLY)) for i, arm in enumerate(arms)]
    assert [arm["name"] for arm in table(capsys, *folders)["arms"]] == expected


def test_the_baseline_can_be_any_arm(capsys: pytest.CaptureFixture[str], two: tuple[Path, Path]) -> None:
    for name in ("llava_vhr", str(two[1])):
        data = table(capsys, *two, "--baseline", name)
        assert data["baseline"] == "llava_vhr"
        assert data["tasks"]["hallu_demo_chair"]["chair_s"]["differences"]["llava_base"]["difference"] == 62.5


def test_an_unknown_or_ambiguous_baseline_is_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, two: tuple[Path, Path]
) -> None:
    assert "--baseline vhr: no arm is called so; allowed: 'llava_base', 'llava_vhr'" in refused(
        capsys, *two, "--baseline", "vhr"
    )
    other = write(tmp_path / "c", replace(VHR, parameters="alpha=3"))
    message = refused(capsys, two[1], other, "--baseline", "llava_vhr")
    assert "several arms are called so; allowed: 'llava_vhr alpha=2 layers=1+4-7 variant=paper'" in message


# What is read


def test_the_latest_run_of_a_folder_is_taken(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    write(tmp_path, BASE, date="20261121_034427", checkpoint="one")
    write(tmp_path, VHR, date="20261122_000000", checkpoint="another")
    write(tmp_path, BASE, date="20261120_235959", checkpoint="one")
    code, out, _ = run(capsys, tmp_path)
    assert code == 0
    assert f"llava_vhr  {tmp_path}/another/20261122_000000_results.json, the latest of 3 runs" in out


def test_a_results_file_names_its_run(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    write(tmp_path, BASE)
    write(tmp_path, VHR, date="20261122_000000")
    data = table(capsys, tmp_path / "demo" / "20261121_034427_results.json", tmp_path / "demo")
    assert [arm["name"] for arm in data["arms"]] == ["llava_base", "llava_vhr"]


def test_paths_without_results_are_refused_with_the_fix(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    assert f"{missing} does not exist" in refused(capsys, missing)
    empty = tmp_path / "empty"
    empty.mkdir()
    assert f"--output_path {empty} --log_samples" in refused(capsys, empty)
    (tmp_path / "notes.json").write_text("{}")
    assert "ending in _results.json" in refused(capsys, tmp_path / "notes.json")
    other = tmp_path / "other_results.json"
    other.write_text('{"a": 1}')
    assert "no config and configs" in refused(capsys, other)


def test_the_folder_above_several_arms_is_refused_with_their_names(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, two: tuple[Path, Path]
) -> None:
    assert f"hallu compare {two[0]} {two[1]}" in refused(capsys, tmp_path)


def test_a_run_without_samples_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    message = refused(capsys, write(tmp_path, BASE, samples=False))
    assert "has no samples of hallu_demo_chair" in message
    assert "--log_samples" in message


def test_damaged_samples_are_refused_with_their_place(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    folder = write(tmp_path, BASE)
    (file,) = folder.glob("*/*_samples_hallu_demo_chair.jsonl")
    whole = file.read_text()
    file.write_text(whole[:-40])
    assert f"{file}, line 40 is not valid JSON" in refused(capsys, folder)
    file.write_text("".join(whole.splitlines(keepends=True)[:-1]))
    assert "holds 39 of 40 documents; it was cut off" in refused(capsys, folder)
    file.write_text(whole + whole)
    assert "line 41: document 0 occurs twice" in refused(capsys, folder)


def test_a_limited_or_shifted_run_is_complete(tmp_path: Path) -> None:
    def shifted(data: dict[str, Any]) -> None:
        data["config"]["offset"] = 35
        data["n-samples"]["hallu_demo_chair"] = {"original": 40, "effective": 10.0}

    arm = replace(BASE, images=range(35, 40), tasks=CHAIR_ONLY, change=shifted)
    assert sorted(results.read(str(write(tmp_path, arm))).tasks["hallu_demo_chair"].samples) == list(range(35, 40))


def test_half_a_pair_that_a_limit_leaves_is_not_counted(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, two: tuple[Path, Path]
) -> None:
    arms = [replace(arm, tasks=["hallu_demo_mme"], lines=lambda _, lines: lines[:21]) for arm in (BASE, VHR)]
    paths = [write(tmp_path / "cut" / arm.model, arm) for arm in arms]
    assert "20 questions on 4 images" in run(capsys, *paths)[1]


def test_tasks_that_cannot_be_compared_are_left_out_with_a_note(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, two: tuple[Path, Path]
) -> None:
    captions = write(tmp_path / "c", replace(VHR, tasks=CHAIR_ONLY))
    code, out, _ = run(capsys, two[0], captions)
    assert code == 0
    assert "Note: hallu_demo_pope is left out: only llava_base has it" in out

    def foreign(task: str, lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
        keep = ("doc_id", "target", "input", "filtered_resps")
        return [{key: one[key] for key in keep} if task == "hallu_demo_pope" else one for one in lines]

    other = write(tmp_path / "d", replace(VHR, lines=foreign))
    assert (
        "Note: hallu_demo_pope is left out: its samples carry no records of CHAIR, POPE, "
        in run(capsys, two[0], other)[1]
    )
    questions = write(tmp_path / "e", replace(VHR, tasks=("hallu_demo_pope",)))
    assert "there is no task to compare" in refused(capsys, captions, questions)


# What must be equal


def setting(name: str, value: object) -> Arm:
    return replace(VHR, hallu={name: value})


def config(task: str, name: str, value: object) -> Arm:
    def change(data: dict[str, Any]) -> None:
        data["configs"][task] = {**data["configs"][task], name: value}

    return replace(VHR, change=change)


def altered(task: str, number: int, **values: object) -> Arm:
    def lines(name: str, given: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{**one, **values} if name == task and one["doc_id"] == number else one for one in given]

    return replace(VHR, lines=lines)


def rescored(policy: str) -> Arm:
    def lines(name: str, given: list[dict[str, Any]]) -> list[dict[str, Any]]:
        if name != "hallu_demo_pope":
            return given
        return [
            {**one, **{metric: {**one[metric], "policy": policy} for metric in METRICS["hallu_demo_pope"]}}
            for one in given
        ]

    return replace(VHR, lines=lines)


CHAIR, POPE = "hallu_demo_chair", "hallu_demo_pope"
DIFFERENT = [
    (setting("pretrained", "/x"), "checkpoint", "checkpoint (pretrained): llava_base=demo, llava_vhr=/x"),
    (setting("revision", "abc"), "checkpoint", "checkpoint (revision): llava_base=default, llava_vhr=abc"),
    (setting("dtype", "bfloat16"), "dtype", "dtype: llava_base=float32, llava_vhr=bfloat16"),
    (setting("attention", "eager"), "attention", "attention: llava_base=sdpa, llava_vhr=eager"),
    (setting("system_prompt", "Be brief."), "prompt", "prompt (system prompt): llava_base='', llava_vhr='Be brief.'"),
    (
        setting("versions", {"lmms-eval-hallu": "0.1.0", "lmms-eval": "0.7.3", "transformers": "5.23.0"}),
        "versions",
        "versions (torch): llava_base=2.15.0, llava_vhr=not recorded",
    ),
    (
        config(
            CHAIR, "generation_kwargs", {"max_new_tokens": 128, "temperature": 0.0, "do_sample": False, "until": []}
        ),
        "decoding",
        "decoding (hallu_demo_chair max_new_tokens): llava_base=64, llava_vhr=128",
    ),
    (
        config(CHAIR, "metadata", {"version": 1, "chair_mode": "fixed"}),
        "scorer",
        "scorer (hallu_demo_chair chair_mode): llava_base=reference, llava_vhr=fixed",
    ),
    (
        rescored("words"),
        "scorer",
        "scorer (hallu_demo_pope policy of the records): llava_base=official, llava_vhr=words",
    ),
    (config(CHAIR, "num_fewshot", 2), "prompt", "prompt (hallu_demo_chair num_fewshot): llava_base=0, llava_vhr=2"),
    (
        altered(CHAIR, 3, input="Describe."),
        "prompt",
        "prompt (hallu_demo_chair document 3): llava_base='Please describe this image in detail.', "
        "llava_vhr='Describe.'",
    ),
    (
        altered(CHAIR, 3, target="['dog']"),
        "documents",
        "documents (hallu_demo_chair document 3): llava_base=image 3, target ['cat', 'clock'], "
        "llava_vhr=image 3, target ['dog']",
    ),
    (
        replace(VHR, images=range(8)),
        "documents",
        "documents (hallu_demo_chair): llava_base=40 (ids 0-39), llava_vhr=8 (ids 0-7)",
    ),
]


@pytest.mark.parametrize(
    ("arm", "name", "text"), DIFFERENT, ids=[f"{name}-{i}" for i, (_, name, _) in enumerate(DIFFERENT)]
)
def test_arms_that_differ_in_more_than_the_method_are_refused_unless_allowed(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, arm: Arm, name: str, text: str
) -> None:
    base, other = write(tmp_path / "a", BASE), write(tmp_path / "b", arm)
    message = refused(capsys, base, other)
    assert f"\n  {text}\n" in message
    assert f"--allow-different {name}" in message
    assert message.count("--allow-different") == 1
    code, out, err = run(capsys, base, other, "--allow-different", name)
    assert (code, err) == (0, "")
    assert f"Allowed to differ: {text}" in out.splitlines()
    allowed = table(capsys, base, other, "--allow-different", name)["allowed_differences"]
    assert {one["name"] for one in allowed} == {name}


def test_more_resamples_than_anyone_can_see_are_refused(
    capsys: pytest.CaptureFixture[str], two: tuple[Path, Path]
) -> None:
    assert cli.main(["compare", *map(str, two), "--resamples", "2000000"]) == 2
    assert "2,000,000 resamples are too many" in capsys.readouterr().err


def test_json_says_what_an_allowed_difference_does(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    kwargs = {"max_new_tokens": 64, "temperature": 0.7, "do_sample": True, "until": []}
    base = write(tmp_path / "a", replace(BASE, tasks=CHAIR_ONLY))
    sampled = config("hallu_demo_chair", "generation_kwargs", kwargs)
    sampled = replace(sampled, tasks=CHAIR_ONLY, hallu={"dtype": "bfloat16"})
    options = ("--allow-different", "decoding", "--allow-different", "dtype")
    data = table(capsys, base, write(tmp_path / "b", sampled), *options)
    remarks = {one["name"]: one["remark"] for one in data["allowed_differences"]}
    assert "sampling moves scores by itself" in remarks["decoding"]
    assert remarks["dtype"] is None


@pytest.mark.parametrize(
    ("kwargs", "samples"),
    [
        ({"temperature": "0"}, False),
        ({"temperature": "0.7"}, True),
        ({"temperature": "0.7", "do_sample": False}, False),
        ({"temperature": None}, False),
        ({"do_sample": None, "temperature": 1}, False),
    ],
)
def test_a_temperature_that_is_text_is_read(kwargs: dict[str, Any], samples: bool) -> None:
    assert differences._samples(kwargs) is samples


def test_a_temperature_that_is_no_number_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    arms = [
        write(tmp_path / name, replace(config("hallu_demo_chair", "generation_kwargs", kwargs), tasks=CHAIR_ONLY))
        for name, kwargs in (("a", {"temperature": "warm"}), ("b", {"temperature": 0}))
    ]
    assert cli.main(["compare", *map(str, arms)]) == 2
    assert "generation_kwargs of a run: temperature 'warm' is no number" in capsys.readouterr().err


def test_every_difference_is_listed_and_must_be_allowed_by_name(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    versions = {"lmms-eval-hallu": "0.2.0", "lmms-eval": "0.7.3", "transformers": "5.23.0", "torch": "2.16.0"}
    base = write(tmp_path / "a", BASE)
    other = write(tmp_path / "b", replace(VHR, hallu={"dtype": "bfloat16", "versions": versions}))
    message = refused(capsys, base, other)
    for text in ("dtype: ", "versions (lmms-eval-hallu): llava_base=0.1.0, llava_vhr=0.2.0", "versions (torch): "):
        assert text in message
    assert message.rstrip().endswith("--allow-different dtype --allow-different versions")
    partly = refused(capsys, base, other, "--allow-different", "versions")
    assert "dtype" in partly and "torch" not in partly
    assert run(capsys, base, other, "--allow-different", "versions", "--allow-different", "dtype")[0] == 0


def test_a_difference_nobody_knows_cannot_be_allowed(
    capsys: pytest.CaptureFixture[str], two: tuple[Path, Path]
) -> None:
    code, _, err = run(capsys, *two, "--allow-different", "colour")
    assert code == 2
    assert "colour" in err and "checkpoint" in err


def test_long_values_are_shown_where_they_differ(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    start = "You are a helpful assistant that looks closely. " * 4
    base = write(tmp_path / "a", replace(BASE, hallu={"system_prompt": f"{start}Be brief."}))
    message = refused(capsys, base, write(tmp_path / "b", setting("system_prompt", f"{start}Be long.")))
    assert "Be brief." in message and "Be long." in message
    assert max(map(len, message.splitlines())) < 250


def test_allowing_other_documents_compares_those_in_common(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    base = write(tmp_path / "a", BASE)
    other = write(tmp_path / "b", replace(VHR, images=range(4, 50)))
    data = table(capsys, base, other, "--allow-different", "documents")
    chair_s = data["tasks"]["hallu_demo_chair"]["chair_s"]
    assert chair_s["differences"]["llava_vhr"]["units_count"] == 36
    # Images 4 to 29 of 4 to 39 in the baseline, image 4 alone in the other arm.
    assert [arm["value"] for arm in chair_s["arms"].values()] == pytest.approx([100 * 26 / 36, 100 / 36])
    apart = write(tmp_path / "c", replace(VHR, images=range(40, 50)))
    assert "no document of hallu_demo_chair in common" in refused(capsys, base, apart, "--allow-different", "documents")


def test_a_model_of_another_package_lacks_a_record_of_its_settings(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, two: tuple[Path, Path]
) -> None:
    def other_package(data: dict[str, Any]) -> None:
        del data["config"]["resolved_cli_args"]["hallu"]

    other = write(tmp_path / "b", Arm("llava_hf", change=other_package))
    message = refused(capsys, two[0], other)
    assert "dtype: llava_base=float32, llava_hf=not recorded" in message
    assert "pretrained" not in message  # lmms-eval itself records the name of the checkpoint.
    names = ("checkpoint", "dtype", "attention", "versions")
    allowed = [argument for name in names for argument in ("--allow-different", name)]
    assert run(capsys, two[0], other, *allowed)[0] == 0


# Published numbers, and what a small bootstrap cannot show


def test_published_numbers_follow_the_run_in_every_form(
    capsys: pytest.CaptureFixture[str], two: tuple[Path, Path]
) -> None:
    plain, text = run(capsys, *two)[1], run(capsys, *two, "--published")[1]
    assert text.startswith(plain.rstrip("\n"))
    added = text[len(plain) :]
    assert "never with the run above" in added
    assert re.search(r"plain model +49\.68 +14\.32\n +vhr +33\.32 +9\.71\n", added)
    assert "| vhr | 33.32 | 9.71 |" in run(capsys, *two, "--published", "--markdown")[1]
    published = table(capsys, *two, "--published")["published"]
    assert "never with the run above" in published["warning"]
    assert {"method": "vhr", "variant": "", "numbers": {"chair_s": 33.32, "chair_i": 9.71}} in [
        row for harness in published["harnesses"] for row in harness["rows"]
    ]
    assert "published" not in table(capsys, *two)
    assert "the cards of these methods state none" in run(capsys, two[0], "--published")[1]


def test_too_few_resamples_for_a_verdict_are_pointed_out(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, two: tuple[Path, Path]
) -> None:
    assert table(capsys, *two)["notes"] == [
        WITHOUT_MARGINS
    ]  # 2 / 401 stays below 0.05 after Holm over 10 p values, not over 20.
    third = write(tmp_path / "third", replace(VHR, model="llava_eah"))
    note, _ = table(capsys, *two, third)["notes"]
    assert note.startswith("400 resamples are too few for 20 p values") and "--resamples 1000" in note


# Answers that are neither yes nor no


def test_answers_decided_by_default_are_warned_of_in_every_form(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    base = replace(BASE, tasks=POPE_ONLY, pope=lambda image, right: "perhaps")
    paths = [write(tmp_path / arm.model, arm) for arm in (base, replace(VHR, tasks=POPE_ONLY))]
    data, page = table(capsys, *paths), tmp_path / "page.html"
    (warning,) = data["warnings"]
    assert data["tasks"][POPE_ONLY[0]]["f1"]["arms"]["llava_base"]["value"] == pytest.approx(200 / 3)
    assert warning.startswith("hallu_demo_pope: 240 of 240 answers of llava_base (100 %) neither say yes nor are a no")
    assert f"Warning: {warning}\n" in run(capsys, *paths, "--html", page)[1]
    assert f'<p class="warning">Warning: {warning}</p>' in page.read_text()
    assert run(capsys, *paths, "--markdown")[1].startswith(f"**Warning: {warning}**\n")
    row = table(capsys, *paths, "--all")["tasks"][POPE_ONLY[0]]["by_default_count"]
    assert [one["value"] for one in row["arms"].values()] == [240, 0]


def test_few_answers_decided_by_default_are_a_note(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    base = replace(BASE, tasks=POPE_ONLY, pope=lambda image, right: "NO" if image < 2 else right)
    data = table(capsys, *(write(tmp_path / arm.model, arm) for arm in (base, replace(VHR, tasks=POPE_ONLY))))
    assert data["warnings"] == []
    assert data["notes"][0].startswith("hallu_demo_pope: 12 of 240 answers of llava_base (5 %)")


def test_runs_from_before_the_count_are_counted_too(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    def older(task: str, lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
        for one in lines:
            for record in one.values():
                if isinstance(record, dict):
                    record.pop("by_default", None)
        return lines

    base = replace(BASE, tasks=POPE_ONLY, pope=lambda image, right: "perhaps", lines=older)
    data = table(capsys, *(write(tmp_path / arm.model, arm) for arm in (base, replace(VHR, tasks=POPE_ONLY))))
    assert [text.split(" answers")[0] for text in data["warnings"]] == ["hallu_demo_pope: 240 of 240"]


@pytest.mark.parametrize("task", ["hallu_demo_mme", "hallu_amber_discriminative", "hallu_hallusion"])
def test_unparsed_answers_of_every_yes_no_benchmark_are_warned_of(
    task: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    silent = replace(BASE, tasks=[task], mme=lambda image, right: "maybe", other=lambda task, image: "maybe")
    paths = write(tmp_path / "a", silent), write(tmp_path / "b", replace(VHR, tasks=[task]))
    (warning,) = table(capsys, *paths)["warnings"]
    assert f"{task}: " in warning and "answers of llava_base (100 %) cannot be read under policy" in warning


def test_the_tasks_count_answers_decided_by_default_and_unparsed_ones() -> None:
    doc = {"image_id": 1, "question": "Is there a cat?", "answer": "yes", "category": "existence"}
    records = [pope_task.process_results(doc, [said])["by_default_count"] for said in ("Yes", "perhaps", "No", "")]
    with pytest.warns(UserWarning, match=r"POPE: 2 of 4 answers \(50 %\)"):
        assert pope_task.by_default_count(records) == 2
    answers = [mme_task.process_results(doc, [said])["unparsed_count"] for said in ("Yes", "perhaps", "No", "")]
    assert mme_task.unparsed_count(answers) == 2


# Damaged samples


def _changed(record: dict[str, Any], **values: Any) -> dict[str, Any]:
    return {name: values.get(name, value) for name, value in record.items() if values.get(name, value) is not ...}


@pytest.mark.parametrize(
    ("task", "values", "said"),
    [
        ("hallu_demo_chair", {"length": None}, "length is None, not a count"),
        ("hallu_demo_chair", {"mentions": "2"}, "mentions is '2', not a count"),
        ("hallu_demo_chair", {"mentions": -1}, "mentions is -1, not a count"),
        ("hallu_demo_chair", {"length": ...}, "its record has no length, as others of the task do"),
        ("hallu_demo_chair", {"captions": ...}, "has no record of CHAIR, as others of the task do"),
        ("hallu_demo_chair", {"image_id": []}, "image_id is [], not text or a whole number"),
        ("hallu_demo_pope", {"correct": 2}, "correct is 2; allowed: 0, 1"),
        ("hallu_demo_pope", {"policy": None}, "policy is None; allowed: official, "),
        ("hallu_demo_mme", {"category": "existance"}, "category is 'existance'; allowed: existence, "),
        ("hallu_demo_mme", {"prediction": ["Yes"]}, "prediction is ['Yes'], not text"),
        ("hallu_textvqa", {"tenths": 11}, "tenths is 11; allowed: 0, 1, "),
    ],
)
def test_a_damaged_record_is_named_with_file_and_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, task: str, values: dict[str, Any], said: str
) -> None:
    def damage(task: str, lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
        third = {
            key: _changed(value, **values) if isinstance(value, dict) else value for key, value in lines[2].items()
        }
        return [*lines[:2], third, *lines[3:]]

    base, other = replace(BASE, tasks=[task]), replace(VHR, tasks=[task], lines=damage)
    code, out, err = run(capsys, write(tmp_path / "a", base), write(tmp_path / "b", other))
    assert (code, out) == (2, "")
    assert f"_samples_{task}.jsonl, line 3" in err and said in err
    assert err.endswith("so rerun lmms-eval\n") and err.count("\n") == 1


@pytest.mark.parametrize("part", ["input", "target", "filtered_resps"])
def test_a_line_without_question_or_answer_is_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, part: str
) -> None:
    def damage(task: str, lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [*lines[:2], {name: value for name, value in lines[2].items() if name != part}, *lines[3:]]

    damaged = replace(VHR, lines=damage)
    code, _, err = run(capsys, write(tmp_path / "a", BASE), write(tmp_path / "b", damaged))
    assert code == 2 and f"line 3: document 2 has no {part}" in err


# Few images and limited runs

POPE_ONLY = ("hallu_demo_pope",)


def of_images(tmp_path: Path, images: int, tasks: tuple[str, ...] = POPE_ONLY) -> list[Path]:
    """A baseline that always says yes and an arm that is always right, on so many images."""
    arms = (replace(arm, tasks=tasks, images=range(images)) for arm in (BASE, VHR))
    return [write(tmp_path / str(images) / arm.model, arm) for arm in arms]


def test_three_images_give_no_verdict_and_no_p_value_below_the_exact_tests(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    paths = of_images(tmp_path, 3)
    data = table(capsys, *paths)
    rows = data["tasks"]["hallu_demo_pope"]
    assert list(rows) == ["accuracy", "f1", "yes_ratio"]
    for row in rows.values():
        found = row["differences"]["llava_vhr"]
        assert (found["p_value"], found["p_value_holm"], found["verdict"]) == (0.25, 0.75, None)
        assert found["reasons"]["verdict"] == "a verdict needs at least 7 images; there are 3"
    note, _ = data["notes"]
    assert note.startswith("3 images are too few for a verdict") and "at least 7 images" in note
    text = run(capsys, *paths)[1]
    assert text.count("too few images") == 3 and "worse" not in text and f"Note: {note}" in text


def test_figure_sets_that_are_too_few_are_called_figure_sets(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    arms = (replace(arm, tasks=["hallu_hallusion"], images=range(3)) for arm in (BASE, VHR))
    paths = [write(tmp_path / arm.model, arm) for arm in arms]
    _, text, _ = run(capsys, *paths)
    assert text.count("too few figure sets") == 3
    assert "Note: 3 figure sets are too few for a verdict: with 3 p values it needs at least 7 figure sets" in text
    assert "images are" not in text and "too few images" not in text
    found = table(capsys, *paths)["tasks"]["hallu_hallusion"]["qAcc"]["differences"]["llava_vhr"]
    assert found["reasons"]["verdict"] == "a verdict needs at least 7 figure sets; there are 3"


def test_a_verdict_begins_at_the_number_of_images_that_is_stated(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    # 2 / 2**7 = 0.0156 is below 0.05 / 3 = 0.0167; with 6 images it is 0.031.
    verdicts = {}
    for images in (6, 7):
        data = table(capsys, *of_images(tmp_path, images))
        assert data["units_for_a_verdict"] == 7
        verdicts[images] = [row["differences"]["llava_vhr"]["verdict"] for row in data["tasks"][POPE_ONLY[0]].values()]
    assert verdicts == {6: [None] * 3, 7: ["better", "better", "lower"]}


def test_enough_images_need_no_note(capsys: pytest.CaptureFixture[str], two: tuple[Path, Path]) -> None:
    assert table(capsys, *two)["notes"] == [WITHOUT_MARGINS]


def limited(task_size: int) -> Any:
    def change(data: dict[str, Any]) -> None:
        data["config"]["limit"] = 12.0
        for task, counts in data["n-samples"].items():
            counts["original"] = task_size if task == "hallu_demo_pope" else counts["original"]

    return change


def test_a_limited_run_is_marked_in_every_form(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    arms = (replace(arm, images=range(8), change=limited(1536)) for arm in (BASE, VHR))
    paths = [write(tmp_path / arm.model, arm) for arm in arms]
    title = "hallu_demo_pope: POPE in percent; 48 questions on 8 images; limited: 48 of 1536 documents"
    page = tmp_path / "page.html"
    assert title in run(capsys, *paths, "--html", page)[1]
    assert title in page.read_text() and title in run(capsys, *paths, "--markdown")[1]
    data = json.loads(run(capsys, *paths, "--json")[1])
    assert {one["task"]: one["limited"] for one in data["tasks"]} == {
        "hallu_demo_chair": None,
        "hallu_demo_pope": {"compared": 48, "documents": 1536},
        "hallu_demo_mme": None,
    }


def test_whole_runs_are_not_called_limited(capsys: pytest.CaptureFixture[str], two: tuple[Path, Path]) -> None:
    assert "limited" not in run(capsys, *two)[1]


# The command


def test_nothing_heavy_is_imported(two: tuple[Path, Path]) -> None:
    script = (
        "import sys; from registry.commands import cli\n"
        f"cli.main(['compare', {str(two[0])!r}, {str(two[1])!r}, '--resamples', '10'])\n"
        "heavy = ('torch', 'transformers', 'lmms_eval', 'hallu_models')\n"
        "print(sorted(name for name in sys.modules if name.split('.')[0] in heavy))"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    "wrong", [("--resamples", "0"), ("--seed", "-1"), ("--json", "--markdown")], ids=lambda wrong: wrong[0]
)
def test_a_bad_call_exits_2(capsys: pytest.CaptureFixture[str], two: tuple[Path, Path], wrong: tuple[str, ...]) -> None:
    try:
        code = cli.main(["compare", *map(str, two), *wrong])
    except SystemExit as end:
        code = int(end.code or 0)
    assert code == 2
    assert wrong[0].lstrip("-") in capsys.readouterr().err


def test_the_comparison_is_a_function_too(two: tuple[Path, Path]) -> None:
    comparison = compare([results.read(str(folder)) for folder in two], resamples=100)
    (row, *_) = comparison.blocks[0].rows
    assert (row.metric.name, row.contrasts[0].verdict) == ("chair_s", "better")
