"""``hallu compare --controls``: arms beside their shams, and the commands of those that are missing."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
from test_compare import QUICK
from written_runs import BASE, RIGHT, VHR, WRONG, Arm, write

from hallu_tasks.compare.compute import compare
from hallu_tasks.runs import results
from registry.commands import cli

COMMAND = (
    "lmms-eval --model llava_vhr --model_args pretrained=demo,alpha=3,seed=5 --tasks hallu_demo --batch_size 16 "
    "--limit 40 --output_path results/llava_vhr --log_samples"
)
SHAM = Arm(
    "llava_sham_heads",
    "sham_heads",
    "alpha=2,draw=0,layers=1+4-7",
    caption=lambda i: WRONG if i < 28 else RIGHT,
    pope=lambda image, right: "Yes",
)


def started(arm: Arm, command: str) -> Arm:
    return Arm(**{**vars(arm), "hallu": {"command": shlex.split(command)}})


def compared(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str, str]:
    code = cli.main(["compare", *map(str, arguments), *QUICK])
    return code, *capsys.readouterr()


def folders(folder: Path, *arms: Arm) -> list[Path]:
    return [write(folder / f"{number}_{arm.model}", arm) for number, arm in enumerate(arms)]


def missing(folder: Path, *arms: Arm) -> dict[str, tuple[tuple[int, ...], list[str]]]:
    """By sham whose it is, and its command."""
    found = compare([results.read(str(path)) for path in folders(folder, *arms)], controls=True, resamples=20)
    assert found.controls is not None
    return {one.sham: (one.arms, shlex.split(one.command)) for one in found.controls.missing}


def test_an_arm_is_compared_with_its_sham_and_the_correction_is_over_all(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = folders(tmp_path, BASE, VHR, SHAM)
    found: dict[str, Any] = json.loads(compared(capsys, *paths, "--controls", "--json")[1])
    alone: dict[str, Any] = json.loads(compared(capsys, paths[2], paths[1], "--json")[1])
    without: dict[str, Any] = json.loads(compared(capsys, *paths, "--json")[1])
    (beside,) = found["controls"]["beside"]
    assert (beside["sham"], beside["arms"]) == ("llava_sham_heads", ["llava_vhr"])
    chair = beside["tasks"][0]
    assert chair["task"] == "hallu_demo_chair"
    rows = {row["metric"]: row["differences"]["llava_vhr"] for row in chair["metrics"] if "differences" in row}
    own = {row["metric"]: row["differences"]["llava_vhr"] for row in alone["tasks"][0]["metrics"] if "arms" in row}
    assert set(rows) == set(own), "scores only: the sham's captions are not cut"
    # Of the 40 captions 5 are wrong with the method and 28 with the sham.
    assert rows["chair_s"]["difference"] == pytest.approx(100 * (5 - 28) / 40)
    for metric, row in rows.items():
        assert (row["difference"], row["interval"]) == (own[metric]["difference"], own[metric]["interval"])
    assert rows["chair_s"]["verdict"] == "better"
    assert "controls" not in without
    more = sum(len(task["metrics"]) for task in beside["tasks"])
    assert found["p_values_count"] == without["p_values_count"] + more
    assert rows["chair_s"]["p_value_holm"] >= own["chair_s"]["p_value_holm"]


def test_every_form_shows_the_differences_and_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = folders(tmp_path, BASE, VHR, SHAM)
    page = tmp_path / "page.html"
    text = compared(capsys, *paths, "--controls", "--html", page)[1]
    markdown = compared(capsys, *paths, "--controls", "--markdown")[1]
    difference = "-57.5 [-72.5, -42.5], p <0.001, ▲ better"
    for shown, pair in (
        (text, "llava_vhr - llava_sham_heads  "),
        (markdown, "| llava_vhr - llava_sham_heads | -57.5 ["),
    ):
        assert "Beside their shams: arm - sham, paired on the same images" in shown
        assert pair in shown
        assert "# sham_yes, of llava_vhr\nhallu run --model llava_sham_yes" in shown
        assert "sham_heads, of" not in shown
        then = next(line for line in shown.splitlines() if line.startswith("hallu compare "))
        assert then.split()[2:5] == list(map(str, paths)) and then.endswith("llava_sham_brief --controls")
    html = page.read_text(encoding="utf-8")
    assert "More than a placebo?" in html and "llava_vhr - llava_sham_heads" in html
    assert "hallu run --model llava_sham_yes" in html
    assert difference.split("[")[0] in html
    plain = compared(capsys, *paths)[1]
    assert "sham_yes" not in plain and "placebo" not in plain and "Missing" not in plain


def test_lines_fit_a_terminal(tmp_path: Path) -> None:
    from hallu_tasks.report import as_text

    found = compare(
        [results.read(str(path)) for path in folders(tmp_path, BASE, VHR, SHAM)], controls=True, resamples=50
    )
    lines = as_text(found, 80).split("Beside their shams")[1].splitlines()
    assert [line for line in lines if len(line) > 80 and not line.startswith("hallu ")] == []


def test_a_missing_sham_is_run_as_its_arm_was(tmp_path: Path) -> None:
    arm = started(Arm("llava_vhr", "vhr", "alpha=3,layers=1+4-7,variant=paper"), COMMAND)
    found = missing(tmp_path, BASE, arm)
    assert {name: arms for name, (arms, _) in found.items()} == dict.fromkeys(
        ("sham_heads", "sham_yes", "sham_brief"), (1,)
    )
    expected = (
        "hallu run --model llava_sham_heads --model_args pretrained=demo,seed=5,alpha=3 --tasks hallu_demo "
        f"--batch_size 16 --limit 40 --output_path {tmp_path}/llava_sham_heads+alpha=3 --log_samples"
    )
    assert found["sham_heads"][1] == shlex.split(expected)
    # What is VHR's is no parameter of a sham that is not like it.
    assert found["sham_yes"][1] == shlex.split(
        expected.replace("sham_heads+alpha=3", "sham_yes").replace("sham_heads", "sham_yes").replace(",alpha=3", "")
    )


@pytest.mark.parametrize(
    ("model", "method", "recorded", "expected"),
    [
        (
            "hallu",
            "vhr",
            "python -m lmms_eval --model hallu --model_args=pretrained=mine,method=vhr,vhr.alpha=3 --tasks hallu_demo",
            "hallu run --model hallu --model_args pretrained=mine,method=sham_heads,alpha=3 --tasks hallu_demo",
        ),
        (
            "hallu",
            "eah+vhr",
            "lmms-eval --model hallu --model_args method=eah+vhr,vhr.alpha=3,beta=0.01",
            "hallu run --model hallu --model_args method=sham_heads,alpha=3",
        ),
        ("llava_vhr", "vhr", "lmms-eval --model llava_vhr --tasks x", "hallu run --model llava_sham_heads --tasks x"),
    ],
    ids=["generic", "composition", "no arguments"],
)
def test_the_command_follows_the_recorded_one(
    tmp_path: Path, model: str, method: str, recorded: str, expected: str
) -> None:
    found = missing(tmp_path, BASE, started(Arm(model, method), recorded))
    command = found["sham_heads"][1]
    assert command[: -2 * ("--output_path" in command)] == shlex.split(expected)
    assert set(found) == {"sham_heads", "sham_yes", "sham_brief", *(["sham_map"] if "eah" in method else [])}


def test_a_sham_with_other_settings_than_its_arm_is_not_its_sham(tmp_path: Path) -> None:
    three = started(Arm("llava_vhr", "vhr", "alpha=3,layers=1+4-7,variant=paper"), COMMAND)
    two = started(VHR, COMMAND.replace("alpha=3,", ""))
    found = compare(
        [results.read(str(path)) for path in folders(tmp_path, BASE, two, three, SHAM)], controls=True, resamples=20
    )
    assert found.controls is not None
    assert [(one.sham, one.arms) for one in found.controls.beside] == [(3, (1,))]
    heads, *_ = [one for one in found.controls.missing if one.sham == "sham_heads"]
    assert heads.arms == (2,)
    # One run serves both arms where nothing of theirs goes into it.
    assert [one.arms for one in found.controls.missing if one.sham == "sham_brief"] == [(1, 2)]


def test_the_plain_model_a_control_and_an_unknown_method_have_no_shams(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = folders(tmp_path, BASE, SHAM, Arm("llava_other", "other"))
    out = compared(capsys, *paths, "--controls")[1]
    assert out.rstrip().endswith("No sham is missing.")
    assert "Beside their shams" not in out


def test_a_single_arm_is_told_its_shams(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (path,) = folders(tmp_path, started(VHR, COMMAND))
    assert "# sham_heads, of llava_vhr" in compared(capsys, path, "--controls")[1]
