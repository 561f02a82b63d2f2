"""Completion of ``hallu`` in a shell, as the shell does it."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from registry.commands import cli, completion


def completed(*words: str) -> list[str]:
    """What bash offers for the last of these words."""
    line = " ".join(f"'{word}'" for word in words)
    ask = f"COMP_WORDS=({line}); COMP_CWORD={len(words) - 1}; _hallu; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    done = subprocess.run(
        ["bash", "--norc", "-c", f"{completion.script('bash')}\n{ask}"], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    return done.stdout.split()


def test_commands_are_completed() -> None:
    assert completed("hallu", "") == [*cli.COMMANDS, "--help", "--version"]
    assert completed("hallu", "d") == ["data", "diagnose", "doctor"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("methods", "--v"), ["--verbose"]),
        (("models", "--"), ["--help", "--json"]),
        (("score", "cha"), ["chair"]),
        (("score", "chair", "--ans"), ["--answers"]),
        (("completion", "z"), ["zsh"]),
        (("run", "--model"), []),
    ],
)
def test_options_and_names_are_completed(words: tuple[str, ...], expected: list[str]) -> None:
    assert completed("hallu", *words) == expected


def test_values_of_an_option_are_completed() -> None:
    from_parser = completion._values(completion._commands(cli.parser(["diagnose"]))["diagnose"])
    assert completed("hallu", "diagnose", "--what", "") == from_parser["--what"] != []


def test_every_option_of_every_command_is_known() -> None:
    for name, parser in completion._commands(cli.parser(list(cli.COMMANDS))).items():
        assert set(completion._options(parser)) <= set(completed("hallu", name, ""))


@pytest.mark.skipif(shutil.which("zsh") is None, reason="no zsh here")
def test_zsh_reads_it() -> None:
    subprocess.run(["zsh", "-f", "-c", f"{completion.script('zsh')}\nwhence _hallu"], check=True)


def test_zsh_takes_the_functions_of_bash(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["completion", "zsh"]) == 0
    zsh = capsys.readouterr().out
    assert zsh.endswith(completion.script("bash"))
    assert zsh.splitlines()[1].endswith("bashcompinit")
