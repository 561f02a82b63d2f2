"""The console script: listings for people and programs, near matches, exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import registry
from registry.cards import built_in
from registry.commands import cli, doctor, listing

ROOT = Path(registry.__file__).parents[1]


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    try:
        code = cli.main(arguments)
    except SystemExit as end:
        code = int(end.code or 0)
    out, err = capsys.readouterr()
    return code, out, err


def test_methods_are_listed_in_aligned_columns(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "methods")
    assert code == 0
    tables = [part.splitlines() for part in out.split("\n\n")]
    assert [head.split()[0] for head, *_ in tables] == ["METHOD", "CONTROL"]
    for name, card in registry.methods().items():
        head, *rows = tables[card.control]
        (row,) = [row for row in rows if row.split()[0] == name]
        assert row[head.index("WHAT IT DOES") :] == card.summary
    assert "\x1b" not in out


def test_a_method_names_its_shams_and_a_control_what_it_is_like(capsys: pytest.CaptureFixture[str]) -> None:
    assert "shams     sham_heads, sham_yes, sham_brief: what else could" in run(capsys, "methods", "vhr")[1]
    assert "control   a sham of vhr\n" in run(capsys, "methods", "sham_heads")[1]
    assert "control   a sham: to be compared with" in run(capsys, "methods", "sham_yes")[1]


def test_one_method_shows_parameters_and_verbose_shows_everything(capsys: pytest.CaptureFixture[str]) -> None:
    code, brief, _ = run(capsys, "methods", "vhr")
    assert code == 0
    for expected in ("alpha = 2  [P]", "Allowed: a number >= 0.", "off at    alpha=1", "ACL 2025"):
        assert expected in brief
    assert "How it works" not in brief
    code, full, _ = run(capsys, "methods", "vhr", "--verbose")
    assert code == 0
    for expected in (
        "How it works",
        "instructblip: alpha=2 layers=last:18/32",
        "chair_s=33.32",
        "[?] a",
    ):
        assert expected in full
    assert all(len(line) <= 100 for line in full.splitlines())


@pytest.mark.parametrize("command", ["methods", "models", "families", "tasks"])
def test_json_lists_what_the_facade_has(capsys: pytest.CaptureFixture[str], command: str) -> None:
    code, out, _ = run(capsys, command, "--json")
    found = json.loads(out)
    key = "name" if command in ("methods", "tasks") else "id"
    assert code == 0
    assert [row[key] for row in found] == list(getattr(registry, command)())


def test_json_of_one_method_is_its_card(capsys: pytest.CaptureFixture[str]) -> None:
    card: dict[str, Any] = json.loads(run(capsys, "methods", "vhr", "--json")[1])
    assert card["name"] == "vhr"
    assert card["parameters"][0]["default"] == 2.0
    assert card["presets"]["llava"]["layers"] == "1+last:14/32"


def test_json_is_valid_for_infinite_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    listing.print_json({"beta": float("inf"), "file": Path("a")})
    assert json.loads(capsys.readouterr().out) == {"beta": "inf", "file": "a"}


def test_markdown_is_a_table_with_one_row_a_method(capsys: pytest.CaptureFixture[str]) -> None:
    methods, controls = run(capsys, "methods", "--markdown")[1].split("\n\n")
    (head, rule, *rows), (second, _, *others) = methods.splitlines(), controls.splitlines()
    assert head == "| method | what it does | paper | fidelity | cost |"
    assert second == head.replace("method", "control")
    assert rule.count("|") == head.count("|")
    shams = [name for name, card in registry.methods().items() if card.control]
    assert [row.split("`")[1] for row in others] == shams
    assert [row.split("`")[1] for row in rows] == [name for name in registry.methods() if name not in shams]
    vhr = built_in.load("vhr")
    assert (
        f"| `vhr` | {vhr.summary} | [ACL 2025](https://aclanthology.org/2025.acl-long.175/) | paper | {vhr.cost} |"
        in rows
    )


def test_models_tell_family_and_method(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [row.split() for row in run(capsys, "models")[1].splitlines()]
    assert ["hallu", "any", "any"] in rows
    assert ["llava_base", "llava", "none"] in rows
    assert ["llava_vhr", "llava", "vhr"] in rows


def test_tasks_path_is_the_folder_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "tasks-path") == (0, f"{ROOT / 'hallu_tasks'}\n", "")
    data = json.loads(run(capsys, "tasks-path", "--json")[1])
    assert data["path"] == data["folders"][0] == str(ROOT / "hallu_tasks")


def test_an_unknown_method_exits_2_with_near_matches(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "methods", "vrh")
    assert (code, out) == (2, "")
    assert err.startswith("hallu: unknown method 'vrh' (did you mean vhr")


@pytest.mark.parametrize("arguments", [(), ("methdos",), ("models", "--jsno")])
def test_a_bad_call_exits_2_and_says_what_there_is(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (2, "")
    assert "usage: hallu" in err


def test_help_teaches_with_examples(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "--help")
    assert code == 0
    assert "lmms-eval --model llava_vhr --tasks hallu_pope" in out
    for name, command in cli.COMMANDS.items():
        assert name in out
        assert command.help in out
        assert run(capsys, name, "--help")[0] == 0


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "--version") == (0, f"hallu {registry.__version__}\n", "")


@pytest.mark.parametrize("ok", [True, False])
def test_doctor_exits_1_when_something_is_wrong(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, ok: bool
) -> None:
    report = doctor.Report({"Versions": [doctor.Line(ok, "python", "3.11")]})
    monkeypatch.setattr(doctor, "examine", lambda **_: report)
    code, out, _ = run(capsys, "doctor")
    assert code == (0 if ok else 1)
    assert out == f"{report}\n"
    code, out, _ = run(capsys, "doctor", "--json")
    assert code == (0 if ok else 1)
    assert json.loads(out) == report.as_dict()


def test_every_command_s_code_exists() -> None:
    for command in cli.COMMANDS.values():
        assert callable(cli._load(command.run))
        assert callable(cli._load(command.arguments))


def test_a_reader_that_stops_early_is_no_error() -> None:
    script = "import sys; from registry.commands.cli import main; sys.exit(main(['methods', '--verbose', '--json']))"
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait() == 0
