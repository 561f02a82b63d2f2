"""``hallu sweep``: the grid, the runs it starts and does not start again, what it prints and draws."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import stand_in

from hallu_tasks.sweep import grid, runs
from hallu_tasks.sweep.command import Progress
from registry.commands import cli


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """Puts the stand-in before lmms-eval; gives the model_args of the runs that were started since."""
    taken = stand_in.install(tmp_path, monkeypatch)
    return lambda: [call[call.index("--model_args") + 1] for call in taken()]


BASIC = ("--model", "llava_vhr", "--model_args", "pretrained=demo", "--grid", "alpha=1,2,3", "--tasks", "hallu_demo")


def sweep(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str, str]:
    code = cli.main(["sweep", *map(str, arguments)])
    out, err = capsys.readouterr()
    return code, out, err


def refused(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    code, out, err = sweep(capsys, *arguments)
    assert (code, out) == (2, "")
    return err


# The grid


@pytest.mark.parametrize(
    ("given", "texts"),
    [
        (["alpha=0.5,1,2.0"], ["alpha=0.5", "alpha=1", "alpha=2"]),
        (
            ["alpha=1,2", "layers=1,1+4-7"],
            ["alpha=1,layers=1", "alpha=1,layers=1+4-7", "alpha=2,layers=1", "alpha=2,layers=1+4-7"],
        ),
        (["variant=paper,official"], ["variant=paper", "variant=official"]),
        (["layers=all,none"], ["layers=all", "layers=none"]),
    ],
)
def test_the_grid_is_every_combination_in_one_spelling(given: list[str], texts: list[str]) -> None:
    assert [cell.text for cell in grid.cells("llava_vhr", "pretrained=demo", given)] == texts


def test_words_beside_numbers_are_values_too() -> None:
    assert [cell.text for cell in grid.cells("llava_eah", "", ["beta=auto,0.002"])] == ["beta=auto", "beta=0.002"]


def test_a_composition_names_the_method_where_it_must() -> None:
    found = grid.cells("hallu", "pretrained=demo,method=vhr+eah", ["vhr.layers=1", "alpha=1,2"])
    assert [cell.text for cell in found] == ["vhr.layers=1,alpha=1", "vhr.layers=1,alpha=2"]


def test_folders_are_readable_and_never_shared() -> None:
    found = grid.cells("llava_vhr", "", ["alpha=2", "layers=1+4-7,last:14/32,last:14/31"])
    folders = [cell.folder for cell in found]
    assert folders[0] == "alpha=2+layers=1+4-7"
    assert folders[1].startswith("alpha=2+layers=last_14_32~")
    assert len(set(folders)) == 3
    assert [cell.folder for cell in grid.cells("llava_vhr", "", ["alpha=2", "layers=last:14/32"])] == [folders[1]]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            ("--grid", "alhpa=1"),
            "vhr: unknown argument alhpa=1 (did you mean alpha?); allowed: vhr takes alpha, layers",
        ),
        (("--grid", "alpha=1,abc"), "vhr: alpha=abc is not a number; allowed: a number >= 0 (default 2)"),
        (("--grid", "alpha=-1"), "vhr: alpha=-1 is out of range"),
        (("--grid", "layers=7-1"), "vhr: layers=7-1 runs backwards"),
        (("--grid", "variant=other"), "vhr: variant=other is not one of the choices; allowed: paper or official"),
        (("--grid", "top_k=1.5"), "vhr: top_k=1.5 is not a whole number"),
        (("--grid", "alpha=1,1.0"), "--grid alpha: alpha=1 is there twice"),
        (("--grid", "alpha=1", "--grid", "alpha=2"), "alpha is there twice; give all its values in one --grid"),
        (("--grid", "alpha"), "--grid alpha: expected name=value,value"),
        (("--grid", "alpha="), "--grid alpha=: expected name=value,value"),
        (("--grid", "alpha=1", "--model_args", "alpha=2"), "--grid alpha: it is in --model_args too"),
        (("--grid", "alpha=1", "--model", "llava_base"), "--model llava_base runs without a method"),
        (("--grid", "alpha=1", "--model", "llava_vh"), "unknown model 'llava_vh' (did you mean llava_vhr"),
        (("--grid", "alpha=1", "--jobs", "0"), "--jobs 0: a whole number of at least 1"),
        (("--grid", "alpha=1", "--plot", "x.jpg"), "--plot x.jpg: allowed endings are .png, .svg, .pdf"),
        (("--grid", "alpha=1", "--", "--model_args", "a=1"), "--model_args after --: hallu sweep sets it"),
        (("--grid", "alpha=1", "--baseline", "nowhere"), "nowhere does not exist"),
        (("--grid", "alpha=1", "--output", "a,b"), "--output a,b: lmms-eval cuts it at the comma"),
        (("--grid", "alpha=1", "--tasks", "hallu_dmeo"), "unknown task 'hallu_dmeo' (did you mean hallu_demo"),
        (("--grid", "alpha=1", "--tasks", "hallu_demo,ppoe"), "unknown task 'ppoe' (did you mean pope"),
        (("--grid", "alpha=1", "--tasks", "no_such_*"), "unknown task 'no_such_*'"),
        (("--grid", "layers=1,1+40"), "vhr: layers=1+40: layer 40 does not exist, this model has layers 0-7"),
        (
            ("--grid", "alpha=1", "--model_args", "pretrained=demo,layers=9"),
            "vhr: layers=9: layer 9 does not exist, this model has layers 0-7",
        ),
        (
            ("--grid", "alpha=1", "--model_args", "pretrained=demo,tpo_k=3"),
            "vhr: unknown argument tpo_k=3 (did you mean top_k?)",
        ),
        (("--grid", "layers=1", "--model_args", "alpha=-1"), "vhr: alpha=-1 is out of range"),
        (("--grid", "alpha=1", "--model_args", "preset=gone.yaml"), "gone.yaml"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_wrong_call_is_named_before_anything_runs(
    capsys: pytest.CaptureFixture[str], calls: Callable[[], list[str]], changes: tuple[str, ...], message: str
) -> None:
    err = refused(capsys, "--model", "llava_vhr", "--model_args", "pretrained=demo", "--tasks", "hallu_demo", *changes)
    assert message in err
    assert calls() == []
    assert not Path("results").exists()


@pytest.mark.parametrize("tasks", ["hallu_demo,pope", "hallu_pope*", "refcoco+", "mine", "tasks/mine.yaml"])
def test_tasks_of_lmms_eval_and_of_the_user_are_known(
    capsys: pytest.CaptureFixture[str], calls: Callable[[], list[str]], tasks: str
) -> None:
    find = importlib.util.find_spec("lmms_eval")
    assert find is not None and find.submodule_search_locations  # The real one; only children get the stand-in.
    Path("tasks").mkdir()
    Path("tasks/mine.yaml").write_text("task: mine\n")
    assert sweep(capsys, *BASIC, "--tasks", tasks, "--", "--include_path", "tasks")[0] == 0


def test_without_matplotlib_the_plot_is_refused_and_the_numbers_are_not(
    capsys: pytest.CaptureFixture[str], calls: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    find = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "matplotlib" else find(name))
    assert "pip install matplotlib" in refused(capsys, *BASIC, "--plot", "a.png")
    assert calls() == []
    assert sweep(capsys, *BASIC)[0] == 0


# The runs


def test_each_setting_is_an_ordinary_run_in_its_own_folder(
    capsys: pytest.CaptureFixture[str], calls: Callable[[], list[str]]
) -> None:
    code, _, err = sweep(capsys, *BASIC, "--output", "s", "--", "--limit", "4")
    assert code == 0
    assert calls() == [f"pretrained=demo,alpha={alpha}" for alpha in (1, 2, 3)]
    for alpha in (1, 2, 3):
        folder = Path("s") / f"alpha={alpha}"
        recorded = json.loads((folder / "cell.json").read_text())["arguments"]
        assert recorded == [
            "--model", "llava_vhr", "--model_args", f"pretrained=demo,alpha={alpha}", "--tasks", "hallu_demo",
            "--limit", "4",
        ]  # fmt: skip
        assert len(list(folder.glob("demo/*_results.json"))) == 1
    lines = err.splitlines()
    assert lines[0] == "3 runs"
    assert [line[:5] for line in lines[1:]] == ["[1/3]", "[2/3]", "[3/3]"]
    assert "2 left, about" in lines[1] and "left" not in lines[3]


def test_finished_runs_are_not_started_again(
    capsys: pytest.CaptureFixture[str], calls: Callable[[], list[str]]
) -> None:
    first = sweep(capsys, *BASIC)
    calls()
    second = sweep(capsys, *BASIC)
    assert calls() == []
    assert second[1] == first[1]
    assert second[2] == "3 runs, 3 of them are there already\n"


def test_two_parameters_are_swept_in_folders_that_lmms_eval_writes_to(
    capsys: pytest.CaptureFixture[str], calls: Callable[[], list[str]]
) -> None:
    code, out, err = sweep(capsys, *BASIC[:4], "--grid", "alpha=1,2", "--grid", "variant=paper,official", *BASIC[6:])
    assert code == 0, err
    settings = [f"alpha={alpha},variant={variant}" for alpha in (1, 2) for variant in ("paper", "official")]
    assert calls() == [f"pretrained=demo,{setting}" for setting in settings]
    assert [line.split()[0] for line in out.splitlines()[2:]] == settings
    for setting in settings:
        assert list(Path("results/sweep", setting.replace(",", "+")).glob("demo/*_results.json"))


# Runs that other code made


def remade(folder: str, **recorded: object) -> None:
    """Let a cell's results say that something else made them."""
    (file,) = Path("results/sweep", folder).glob("demo/*_results.json")
    data = json.loads(file.read_text())
    data["config"]["resolved_cli_args"]["hallu"] |= recorded
    file.write_text(json.dumps(data))


OTHER = [
    (
        {"code": "0", "git": {"commit": "abcdef0123", "dirty": False}},
        r"made by lmms-eval-hallu \S+ commit abcdef0, now .+",
    ),
    ({"cards": {"vhr": 0}}, r"made with card 0 of vhr, now card \d+ of vhr"),
    ({"checkpoint_files": "0"}, "made with other files of the checkpoint demo"),
    ({"versions": None}, "its results do not say what made them"),
]


@pytest.mark.parametrize(("recorded", "why"), OTHER, ids=["code", "card", "checkpoint", "unknown"])
def test_a_run_that_other_code_made_is_made_again_and_told_why(
    capsys: pytest.CaptureFixture[str], calls: Callable[[], list[str]], recorded: dict[str, Any], why: str
) -> None:
    whole = sweep(capsys, *BASIC)[1]
    calls()
    remade("alpha=2", **recorded)
    code, out, err = sweep(capsys, *BASIC)
    assert (code, out, calls()) == (0, whole, ["pretrained=demo,alpha=2"])
    lines = err.splitlines()
    assert lines[0] == "3 runs, 2 of them are there already"
    assert re.fullmatch(f"alpha=2: run again, {why}", lines[1])
    assert sweep(capsys, *BASIC)[2] == "3 runs, 3 of them are there already\n"


def test_finished_runs_are_kept_where_it_is_asked_for(
    capsys: pytest.CaptureFixture[str], calls: Callable[[], list[str]]
) -> None:
    whole = sweep(capsys, *BASIC)[1]
    calls()
    remade("alpha=2", cards={"vhr": 0})
    code, out, err = sweep(capsys, *BASIC, "--keep-finished")
    assert (code, out, calls()) == (0, whole, [])
    assert re.search("alpha=2: kept, made with card 0 of vhr, now card", err)


def test_a_repetition_that_fails_does_not_leave_the_older_run_in_its_place(
    capsys: pytest.CaptureFixture[str], calls: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = sweep(capsys, *BASIC)[1]
    remade("alpha=2", cards={"vhr": 0})
    monkeypatch.setenv("FAKE", json.dumps({"2.0": "error"}))
    code, out, err = sweep(capsys, *BASIC)
    assert code == 2 and "alpha=2" not in out
    assert err.endswith("hallu: alpha=2 failed: ValueError: vhr is unwell and says so\n")
    monkeypatch.delenv("FAKE")
    calls()
    assert sweep(capsys, *BASIC)[:2] == (0, whole)
    assert calls() == ["pretrained=demo,alpha=2"]


def test_a_larger_grid_runs_what_is_new(capsys: pytest.CaptureFixture[str], calls: Callable[[], list[str]]) -> None:
    sweep(capsys, *BASIC)
    calls()
    code, out, _ = sweep(capsys, *BASIC[:4], "--grid", "alpha=2,4", *BASIC[6:])
    assert (code, calls()) == (0, ["pretrained=demo,alpha=4"])
    assert "alpha=2" in out and "alpha=3" not in out


def cut(folder: Path) -> None:
    (file,) = folder.glob("demo/*.jsonl")
    file.write_text("".join(file.read_text().splitlines(keepends=True)[:2]))


def unsampled(folder: Path) -> None:
    (file,) = folder.glob("demo/*.jsonl")
    file.unlink()


def unfinished(folder: Path) -> None:
    for file in folder.glob("demo/*"):
        file.unlink()


@pytest.mark.parametrize("damage", [cut, unsampled, unfinished])
def test_half_written_runs_are_run_again(
    capsys: pytest.CaptureFixture[str], calls: Callable[[], list[str]], damage: Callable[[Path], None]
) -> None:
    whole = sweep(capsys, *BASIC)[1]
    calls()
    damage(Path("results/sweep/alpha=2"))
    code, out, err = sweep(capsys, *BASIC)
    assert (code, out, calls()) == (0, whole, ["pretrained=demo,alpha=2"])
    assert err.startswith("3 runs, 2 of them are there already\n[3/3] alpha=2: done in ")


def test_changed_settings_in_the_same_folder_are_refused_with_the_fix(
    capsys: pytest.CaptureFixture[str], calls: Callable[[], list[str]]
) -> None:
    sweep(capsys, *BASIC, "--", "--limit", "8")
    calls()
    err = refused(capsys, *BASIC, "--", "--limit", "4")
    assert "alpha=1 holds a run with other arguments: --limit 8 where this sweep has --limit 4; give another" in err
    err = refused(capsys, *BASIC, "--", "--limit", "8", "--batch_size", "2")
    assert "nothing where this sweep has --batch_size;" in err
    assert calls() == []


def test_a_folder_with_other_files_is_left_alone(
    capsys: pytest.CaptureFixture[str], calls: Callable[[], list[str]]
) -> None:
    Path("s/alpha=2").mkdir(parents=True)
    Path("s/alpha=2/mine.txt").write_text("")
    assert "alpha=2 holds files that are not a sweep's" in refused(capsys, *BASIC, "--output", "s")
    assert calls() == []


def test_secrets_are_not_kept(capsys: pytest.CaptureFixture[str], calls: Callable[[], list[str]]) -> None:
    more = ("--", "--hf_hub_log_args", "token=abcdef")
    assert sweep(capsys, *BASIC, *more)[0] == 0
    assert not any(
        "abcdef" in path.read_text() for path in Path("results").rglob("*") if path.is_file() and path.suffix != ".txt"
    )
    calls()
    assert sweep(capsys, *BASIC, *more)[0] == 0 and calls() == []


@pytest.mark.parametrize(
    ("behaviour", "how"),
    [
        ("error", "ValueError: vhr is unwell and says so"),
        ("crash", "lmms-eval was ended by SIGABRT"),
        ("half", "holds 2 of 4 documents; it was cut off"),
        ("vanish", "lmms-eval ended with exit status 0 and no word on how it went"),
    ],
)
def test_a_run_that_fails_is_told_with_the_end_of_its_log_and_the_others_go_on(
    capsys: pytest.CaptureFixture[str],
    calls: Callable[[], list[str]],
    monkeypatch: pytest.MonkeyPatch,
    behaviour: str,
    how: str,
) -> None:
    monkeypatch.setenv("FAKE", json.dumps({"2.0": behaviour}))
    code, out, err = sweep(capsys, *BASIC)
    assert code == 2
    assert len(calls()) == 3
    assert "[2/3] alpha=2: failed in" in err
    assert err.splitlines()[-1].startswith("hallu: alpha=2 failed: ") and how in err.splitlines()[-1]
    assert ("    ValueError: vhr is unwell\n" in err) is (behaviour == "error")
    assert "alpha=1" in out and "alpha=3" in out and "alpha=2" not in out
    monkeypatch.delenv("FAKE")
    assert sweep(capsys, *BASIC)[0] == 0
    assert calls() == ["pretrained=demo,alpha=2"]


def test_runs_go_side_by_side(
    capsys: pytest.CaptureFixture[str], calls: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out, err = sweep(capsys, *BASIC, "--jobs", "3")
    assert code == 0 and err.startswith("3 runs, 3 at a time\n")
    assert sorted(calls()) == [f"pretrained=demo,alpha={alpha}" for alpha in (1, 2, 3)]
    # In the order of the grid, whatever ended first.
    assert [line.split()[0] for line in out.splitlines()[2:]] == ["alpha=1", "alpha=2", "alpha=3"]


@pytest.fixture
def sleeping(
    calls: Callable[[], list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Any:
    """A sweep of its own process whose second run does not end; gives it and the run's process id."""
    monkeypatch.setenv("FAKE", json.dumps({"2.0": getattr(request, "param", "sleep")}))
    process = subprocess.Popen(
        [sys.executable, "-m", "registry.commands.cli", "sweep", *BASIC],
        stderr=subprocess.PIPE,
        text=True,
        # A shell starts what it puts into the background without SIGINT, and nohup without SIGHUP; both are inherited.
        preexec_fn=lambda: [signal.signal(one, signal.SIG_DFL) for one in (signal.SIGINT, signal.SIGHUP)] and None,
    )
    record = tmp_path / "calls.pid"
    deadline = time.monotonic() + 60
    while not (record.exists() and record.read_text()) and time.monotonic() < deadline:
        time.sleep(0.05)
    child = int(record.read_text())
    yield process, child
    for one in (process.pid, child):
        if alive(one):
            os.kill(one, signal.SIGKILL)
    process.wait()


def alive(number: int) -> bool:
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_sweep_ends_its_runs_and_goes_on_later(
    capsys: pytest.CaptureFixture[str],
    calls: Callable[[], list[str]],
    sleeping: Any,
    monkeypatch: pytest.MonkeyPatch,
    number: signal.Signals,
) -> None:
    process, child = sleeping
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.endswith("hallu: interrupted; the same command goes on from here\n")
    assert not alive(child)
    calls()
    monkeypatch.delenv("FAKE")
    assert sweep(capsys, *BASIC)[0] == 0
    assert calls() == ["pretrained=demo,alpha=2", "pretrained=demo,alpha=3"]


@pytest.mark.parametrize("sleeping", ["deaf"], indirect=True)
def test_who_asks_twice_does_not_wait_for_a_run_that_does_not_hear(sleeping: Any) -> None:
    process, child = sleeping
    process.send_signal(signal.SIGINT)
    time.sleep(1)
    assert alive(child)
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130 and not alive(child)
    assert time.monotonic() - began < 10


def test_a_killed_sweeps_last_run_holds_the_folder_until_it_ends(
    capsys: pytest.CaptureFixture[str], calls: Callable[[], list[str]], sleeping: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    process, child = sleeping
    process.kill()
    process.wait()
    assert alive(child)
    calls()
    monkeypatch.delenv("FAKE")
    assert (
        f"another sweep, or a run that it left behind, works there (process {child}); wait for it, "
        f"end it (kill {child}), or give another --output"
    ) in refused(capsys, *BASIC)
    os.kill(child, signal.SIGKILL)
    while alive(child):
        time.sleep(0.05)
    assert sweep(capsys, *BASIC)[0] == 0
    assert calls() == ["pretrained=demo,alpha=2", "pretrained=demo,alpha=3"]


# What is shown


def test_the_table_has_a_line_a_setting(capsys: pytest.CaptureFixture[str], calls: Callable[[], list[str]]) -> None:
    # As many of the four captions as alpha says name a dog in the place of the clock.
    assert sweep(capsys, *BASIC)[1].splitlines() == [
        "hallu_demo_chair",
        "         chair_s  recall  tokens/s",
        "alpha=1     25.0    87.5     100.0",
        "alpha=2     50.0    75.0     100.0",
        "alpha=3     75.0    62.5     100.0",
    ]


def test_the_table_as_json(capsys: pytest.CaptureFixture[str], calls: Callable[[], list[str]]) -> None:
    lines = json.loads(sweep(capsys, *BASIC, "--json")[1])
    assert [line["settings"] for line in lines] == [{"alpha": "1"}, {"alpha": "2"}, {"alpha": "3"}]
    assert lines[1]["values"] == {"hallu_demo_chair": {"chair_s": 50.0, "recall": 75.0}}
    assert lines[1]["tokens_per_second"] == 100.0


def test_a_terminal_is_told_how_far_the_runs_are(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = grid.cells("llava_vhr", "", ["alpha=1,2,3"])
    present = [runs.Job(cell, tmp_path / cell.folder, ()) for cell in cells]
    for job, log in zip(present, ["Responding:   5%|x| 2/40\rResponding:  45%|xx| 18/40 [00:10<00:12]", "no bar yet"]):
        job.folder.mkdir()
        job.log.write_text(log)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    progress = Progress(3, 0, 3)
    progress.going(present)
    progress.going(present)
    progress.done(runs.Outcome(present[0], 62.0, None))
    told = "alpha=1 45 %, alpha=2 0 %, alpha=3 0 %"
    assert capsys.readouterr().err.split("\r\x1b[K")[2:] == [
        told,
        "[1/3] alpha=1: done in 1 min 2 s; 2 left, about 1 min 2 s\n",
    ]
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False)
    Progress(3, 0, 3).going(present)
    assert capsys.readouterr().err == "3 runs, 3 at a time\n"


def test_a_baseline_stands_first_and_what_makes_it_unfair_is_told(
    capsys: pytest.CaptureFixture[str], calls: Callable[[], list[str]]
) -> None:
    sweep(capsys, *BASIC)
    (file,) = Path("results/sweep/alpha=1/demo").glob("*_results.json")
    data = json.loads(file.read_text())
    data["config"] |= {"batch_size": 1}
    data["config"]["resolved_cli_args"]["hallu"]["model_id"] = "llava_base"
    Path("base/demo").mkdir(parents=True)
    (Path("base/demo") / file.name).write_text(json.dumps(data))
    (samples,) = file.parent.glob("*.jsonl")
    (Path("base/demo") / samples.name).write_bytes(samples.read_bytes())
    code, out, err = sweep(capsys, *BASIC, "--baseline", "base")
    assert code == 0
    assert out.splitlines()[2].startswith("llava_base") and out.splitlines()[3].startswith("alpha=1")
    assert "warning: not the method alone differs: batch_size: the baseline=1, the sweep=not recorded" in err


def test_the_curve_is_drawn_with_its_points_labelled(
    capsys: pytest.CaptureFixture[str], calls: Callable[[], list[str]]
) -> None:
    sweep(capsys, *BASIC)
    for name in ("curve.svg", "curve.png", "curve.pdf"):
        code, _, err = sweep(capsys, *BASIC, "--plot", name, "--baseline", "results/sweep/alpha=3")
        assert code == 0 and f"wrote {name}" in err
    once = Path("curve.png").read_bytes()
    sweep(capsys, *BASIC, "--plot", "curve.png", "--baseline", "results/sweep/alpha=3")
    assert Path("curve.png").read_bytes() == once
    assert [path.name for path in Path().glob(".curve*")] == []


def test_two_parameters_give_a_line_of_points_each() -> None:
    from hallu_tasks.sweep import curve
    from hallu_tasks.sweep.table import Line, Point

    found = grid.cells("llava_vhr", "", ["layers=1,2", "alpha=1,2,3"])
    points = [Point(Line(cell.text, cell.values, {}, None), 80 + n, 40 + n) for n, cell in enumerate(found)]
    base = Point(Line("llava_base", {}, {}, None), 85, 45)
    (axes,) = curve.draw("title", {"hallu_demo_chair": points}, {"hallu_demo_chair": base}).axes
    assert [line.get_label() for line in axes.lines] == ["layers=1", "layers=2", "llava_base"]
    assert [list(line.get_xdata()) for line in axes.lines] == [[80, 81, 82], [83, 84, 85], [85]]
    assert [text.get_text() for text in axes.texts] == ["alpha=1", "alpha=2", "alpha=3", "1", "2", "3"]


def test_a_curve_without_chair_is_refused_after_the_numbers(
    capsys: pytest.CaptureFixture[str], calls: Callable[[], list[str]]
) -> None:
    sweep(capsys, *BASIC)
    for file in Path("results").rglob("*_results.json"):
        file.write_text(file.read_text().replace("recall,none", "cover,none"))
    code, out, err = sweep(capsys, *BASIC, "--plot", "a.png")
    assert code == 2
    assert "chair_s" in out
    assert "no task has both chair_s and recall" in err and not Path("a.png").exists()


@pytest.mark.slow
def test_the_real_runner_gives_a_curve_of_the_demo_model(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    command = (
        "--model", "llava_vhr", "--model_args", "pretrained=demo", "--grid", "alpha=0.5,2", "--tasks",
        "hallu_demo_chair", "--plot", "curve.png", "--", "--limit", "4", "--batch_size", "4",
    )  # fmt: skip
    code, out, err = sweep(capsys, *command)
    assert code == 0, err
    assert [line.split()[0] for line in out.splitlines()[2:]] == ["alpha=0.5", "alpha=2"]
    assert Path("curve.png").read_bytes().startswith(b"\x89PNG")
    again = sweep(capsys, *command)
    assert again[1] == out and again[2].startswith("2 runs, 2 of them are there already\nwrote")
