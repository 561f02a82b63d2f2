"""``hallu run``: an exit status that tells the truth, whatever lmms-eval says, and what a failure leaves."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import stand_in

from hallu_tasks.runs import results
from registry.commands import cli
from registry.runs import outcome

ROOT = stand_in.ROOT
BASIC = ("--model", "llava_vhr", "--tasks", "hallu_demo")
OUT = ("--output_path", "out", "--log_samples")


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[list[str]]]:
    return stand_in.install(tmp_path, monkeypatch)


@pytest.fixture
def does(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Say what the stand-in does."""
    return lambda behaviour: monkeypatch.setenv("FAKE", json.dumps({"llava_vhr": behaviour}))


def hallu_run(capfd: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = cli.main(["run", *arguments])
    out, err = capfd.readouterr()
    return code, out, err


# The exit status


def test_a_good_run_is_0_and_leaves_nothing_but_its_results(
    capfd: pytest.CaptureFixture[str], calls: Callable[[], list[list[str]]]
) -> None:
    code, _, err = hallu_run(capfd, *BASIC, *OUT)
    assert (code, err) == (0, "")
    assert calls() == [[*BASIC, *OUT]]
    assert sorted(path.name for path in Path("out").iterdir()) == ["demo"]
    assert hallu_run(capfd, *BASIC)[0] == 0  # Without an output folder too.


@pytest.mark.parametrize(
    ("behaviour", "last"),
    [
        ("error", "ValueError: vhr is unwell and says so"),
        ("nothing", "RuntimeError: lmms-eval wrote no results into --output_path out; its log says why"),
        ("late", "OSError: no room for the rest"),
        ("exit", "lmms-eval ended before it had evaluated anything; its log says why"),
        ("vanish", "lmms-eval ended with exit status 0 and no word on how it went"),
        ("crash", "lmms-eval was ended by SIGABRT"),
    ],
)
@pytest.mark.parametrize("older", [False, True], ids=["first", "beside an older run"])
def test_a_failed_run_is_2_and_its_last_line_says_what_failed(
    capfd: pytest.CaptureFixture[str],
    calls: Callable[[], list[list[str]]],
    does: Callable[[str], None],
    behaviour: str,
    last: str,
    older: bool,
) -> None:
    if older:
        assert hallu_run(capfd, *BASIC, *OUT)[0] == 0
    does(behaviour)
    code, _, err = hallu_run(capfd, *BASIC, *OUT)
    assert code == 2
    assert err.splitlines()[-1] == f"hallu: the run failed: {last}"


def test_an_error_counts_without_an_output_folder_too(
    capfd: pytest.CaptureFixture[str], calls: Callable[[], list[list[str]]], does: Callable[[str], None]
) -> None:
    does("error")
    code, out, err = hallu_run(capfd, *BASIC)
    assert code == 2 and "Error during evaluation: vhr is unwell" in out
    assert err.endswith("hallu: the run failed: ValueError: vhr is unwell and says so\n")


@pytest.mark.parametrize(
    ("given", "last"),
    [
        (("--model", "llava_vhr"), "hallu: the run failed: no task is given; name one with --tasks"),
        ((*BASIC, "--colour", "red"), "lmms-eval: error: unrecognized arguments: --colour red"),
        (
            (*BASIC, "--output_path", "a,b"),
            "hallu: the run failed: ValueError: --output_path a,b: lmms-eval cuts it at the comma; "
            "name a folder without one",
        ),
        (
            (*BASIC, "--output_path", "calls/x"),
            "hallu: the run failed: ValueError: --output_path calls/x cannot be written (Not a directory)",
        ),
        ((), "hallu: run: arguments of lmms-eval are missing; `hallu run --help` shows examples"),
    ],
    ids=["no task", "no such option", "comma", "no folder", "nothing"],
)
def test_a_wrong_call_is_2_and_named(
    capfd: pytest.CaptureFixture[str], calls: Callable[[], list[list[str]]], given: tuple[str, ...], last: str
) -> None:
    Path("calls").write_text("")
    code, _, err = hallu_run(capfd, *given)
    assert (code, err.splitlines()[-1]) == (2, last)
    assert calls() == []


def test_a_list_of_the_tasks_is_no_failure_and_no_run(
    capfd: pytest.CaptureFixture[str], calls: Callable[[], list[list[str]]]
) -> None:
    assert hallu_run(capfd, "--tasks", "list", "--output_path", "out")[0] == 0
    assert not Path("out").exists()


def test_secrets_are_not_kept(
    capfd: pytest.CaptureFixture[str], calls: Callable[[], list[list[str]]], does: Callable[[str], None]
) -> None:
    does("secret")
    code, _, err = hallu_run(capfd, *BASIC, *OUT)
    assert code == 2
    assert err.splitlines()[-1].endswith("hf_token=[REDACTED]")
    assert "abcdef" not in (Path("out") / outcome.FILE).read_text()


def test_several_processes_are_told_alike_and_the_first_alone_writes(
    calls: Callable[[], list[list[str]]], does: Callable[[str], None]
) -> None:
    does("error")
    command = [sys.executable, "-m", "registry.evaluation", *BASIC, *OUT]
    for rank in ("1", "0"):
        done = subprocess.run(command, env={**os.environ, "RANK": rank}, capture_output=True, text=True)
        assert done.returncode == 2
        assert done.stderr.splitlines()[-1] == "hallu: the run failed: ValueError: vhr is unwell and says so"
        assert Path("out").exists() is (rank == "0")


def test_of_several_processes_the_first_to_fail_is_named(calls: Callable[[], list[list[str]]]) -> None:
    folder = Path("out")
    outcome.begin(folder)
    outcome.fail_beside(folder, "OSError: the scorer fails")
    outcome.fail_beside(folder, "RuntimeError: connection closed by a peer")
    # What the first process meets next is a consequence.
    assert outcome.fail(folder, "RuntimeError: connection closed by peer") == "OSError: the scorer fails"
    assert outcome.read(folder).error == "OSError: the scorer fails"
    # An error of an earlier run is no cause.
    outcome.begin(folder)
    assert outcome.fail(folder, "OSError: no room") == outcome.read(folder).error == "OSError: no room"
    outcome.succeed(folder)
    outcome.fail_beside(folder, "OSError: late")
    assert not (folder / outcome.FILE).exists()


# The terminal and the signals


def test_the_child_writes_to_the_terminal_itself(
    calls: Callable[[], list[list[str]]], does: Callable[[str], None]
) -> None:
    does("terminal")
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "registry.commands.cli", "run", *BASIC], stdin=theirs, stdout=theirs, stderr=theirs
    ) as process:
        os.close(theirs)
        assert process.wait(60) == 0
    assert b"terminals: True True True" in os.read(ours, 4096)
    os.close(ours)


@pytest.fixture
def sleeping(
    calls: Callable[[], list[list[str]]], does: Callable[[str], None], tmp_path: Path
) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """``hallu run`` with a child that does not end; gives it and the child's process id."""
    does("sleep")
    process = subprocess.Popen(
        [sys.executable, "-m", "registry.commands.cli", "run", *BASIC, *OUT],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A shell starts what it puts into the background without SIGINT, and that is inherited.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
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


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("whole", [False, True], ids=["hallu alone", "as a terminal does"])
def test_a_request_to_end_reaches_the_child_once_and_its_end_is_awaited(
    sleeping: Any, tmp_path: Path, number: signal.Signals, whole: bool
) -> None:
    process, child = sleeping
    if whole:
        os.kill(child, number)
        time.sleep(0.4)  # Two at once would be one to the child whatever it does.
    os.kill(process.pid, number)
    _, err = process.communicate(timeout=60)
    assert not alive(child)
    assert process.returncode == 2
    assert err.splitlines()[-1] == f"hallu: the run failed: interrupted by {number.name}"
    # Written behind a pause that a second signal would have cut short.
    assert (tmp_path / "calls.ended").read_text() == "KeyboardInterrupt"


def test_a_run_that_is_killed_is_known_as_unfinished(sleeping: Any) -> None:
    process, child = sleeping
    os.kill(child, signal.SIGKILL)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert err.splitlines()[-1].startswith(
        "hallu: the run failed: lmms-eval was ended by SIGKILL; where nobody sent it"
    )
    with pytest.raises(ValueError, match=f"has not ended: it was cut off, or process {child} on .* goes on still"):
        results.read("out")


# What a failure leaves for those who read results


def newest(folder: str = "out") -> Path:
    return max(Path(folder).glob("*/*_results.json"))


@pytest.mark.parametrize("command", ["compare", "show"])
def test_an_older_result_is_not_shown_in_the_place_of_a_failed_run(
    capfd: pytest.CaptureFixture[str],
    calls: Callable[[], list[list[str]]],
    does: Callable[[str], None],
    command: str,
) -> None:
    hallu_run(capfd, *BASIC, *OUT)
    before = newest()
    does("error")
    hallu_run(capfd, *BASIC, *OUT)
    when = json.loads((Path("out") / outcome.FILE).read_text())["ended"]
    for given in ("out", "out/demo"):
        assert cli.main([command, given]) == 2
        assert capfd.readouterr() == (
            "",
            f"hallu: {given}: the last run failed at {when}: ValueError: vhr is unwell and says so; "
            f"run it again, or give the results file itself to take it all the same: {before}\n",
        )
    assert cli.main([command, str(before)]) == 0
    does("")
    assert hallu_run(capfd, *BASIC, *OUT)[0] == 0
    assert cli.main([command, "out"]) == 0
    assert not (Path("out") / outcome.FILE).exists()


def test_what_a_failed_run_had_written_does_not_count(
    capfd: pytest.CaptureFixture[str], calls: Callable[[], list[list[str]]], does: Callable[[str], None]
) -> None:
    does("late")
    assert hallu_run(capfd, *BASIC, *OUT)[0] == 2
    assert newest().exists()
    with pytest.raises(ValueError, match="out: the last run failed at .*: OSError: no room for the rest"):
        results.read("out")


def test_a_folder_where_nothing_ever_succeeded_says_what_failed(
    capfd: pytest.CaptureFixture[str], calls: Callable[[], list[list[str]]], does: Callable[[str], None]
) -> None:
    does("error")
    hallu_run(capfd, *BASIC, *OUT)
    with pytest.raises(ValueError, match="out: the last run failed at .*: ValueError: vhr is unwell.*; run it again$"):
        results.read("out")


def test_a_later_run_without_hallu_run_counts(
    capfd: pytest.CaptureFixture[str], calls: Callable[[], list[list[str]]], does: Callable[[str], None]
) -> None:
    does("error")
    hallu_run(capfd, *BASIC, *OUT)
    does("")
    subprocess.run([sys.executable, "-m", "lmms_eval", *BASIC, *OUT], check=True)
    assert results.read("out").model == "llava_vhr"


def test_a_damaged_record_is_named(capfd: pytest.CaptureFixture[str], calls: Callable[[], list[list[str]]]) -> None:
    hallu_run(capfd, *BASIC, *OUT)
    (Path("out") / outcome.FILE).write_text("{")
    with pytest.raises(ValueError, match=f"{outcome.FILE} cannot be read .*: repeat the run, or delete the file"):
        results.read("out")


# The command


def test_help_teaches_and_what_follows_is_lmms_evals(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main(["run", "--help"])
    assert end.value.code == 0
    out = capsys.readouterr().out
    for text in ("Every argument is passed on", "0   lmms-eval ended", "2   anything else", "unfinished_run.json"):
        assert text in out
    assert "hallu run --model llava_vhr --model_args pretrained=demo --tasks hallu_demo" in out


# make demo


@pytest.fixture
def demo(calls: Callable[[], list[list[str]]], tmp_path: Path) -> Callable[[], subprocess.CompletedProcess[str]]:
    """``make demo`` with the stand-in, in an environment that counts as installed."""
    programs = tmp_path / "venv" / "bin"
    programs.mkdir(parents=True)
    (programs / "hallu").write_text(f'#!/bin/sh\nexec {sys.executable} -m registry.commands.cli "$@"\n')
    (programs / "hallu").chmod(0o755)
    for name in ("Makefile", "setup.cfg", "pyproject.toml"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    (tmp_path / "venv" / ".installed").write_text("")
    return lambda: subprocess.run(["make", "demo", "VENV=venv"], capture_output=True, text=True)


@pytest.mark.slow
@pytest.mark.parametrize("arm", ["llava_base", "llava_vhr"])
def test_make_demo_stops_at_a_failed_arm_and_compares_nothing(
    demo: Any, monkeypatch: pytest.MonkeyPatch, arm: str
) -> None:
    first = demo()
    assert first.returncode == 0, first.stderr
    assert "llava_base  results/llava_base/demo/20261121_034427_results.json" in first.stdout
    monkeypatch.setenv("FAKE", json.dumps({arm: "error"}))
    failed = demo()
    assert failed.returncode == 2
    assert "hallu: the run failed: ValueError: vhr is unwell and says so" in failed.stderr.splitlines()[-2]
    assert "hallu compare" not in failed.stdout and "CHAIR_s" not in failed.stdout
    monkeypatch.delenv("FAKE")
    again = demo()
    assert again.returncode == 0
    assert "llava_base  results/llava_base/demo/20261121_034427_results.json" not in again.stdout
    assert f"{arm}" in again.stdout


# The real runner


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "last"),
    [
        ("llava_vhr", "hallu: the run failed: BadArgument: vhr: alpha=abc is not a number; allowed: a number >= 0"),
        ("llava_vcdd", "hallu: the run failed: UnknownName: unknown model 'llava_vcdd' (did you mean llava_vcd"),
        ("llava_hf", "hallu: the run failed: "),  # lmms-eval's own, without the package or the checkpoint it needs
    ],
)
def test_the_real_runner_s_error_is_told_for_our_models_and_for_its_own(tmp_path: Path, model: str, last: str) -> None:
    command = [
        sys.executable, "-m", "registry.commands.cli", "run", "--model", model,
        "--model_args", "pretrained=demo,alpha=abc", "--tasks", "hallu_demo_chair", "--output_path", "out",
    ]  # fmt: skip
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 2
    assert "Error during evaluation" in done.stdout
    assert done.stderr.splitlines()[-1].startswith(last)
    assert "the last run failed" in outcome.read(tmp_path / "out").text
