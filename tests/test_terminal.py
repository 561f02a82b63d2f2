"""Text output fits the terminal; in a pipe it is as wide as it is."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from dataclasses import replace
from pathlib import Path

import pytest
from written_runs import BASE, VHR, write

import hallu_tasks
from hallu_tasks.compare.compute import compare
from hallu_tasks.report import as_text
from hallu_tasks.runs import command as show
from hallu_tasks.runs import results
from registry import terminal
from registry.cards import card_text
from registry.commands import cli
from registry.plugins import lazy

ROOT = Path(hallu_tasks.__file__).parents[1]


def shown(columns: int, *arguments: str | Path) -> list[str]:
    """The lines that ``hallu`` prints on a terminal of so many columns."""
    reader, writer = pty.openpty()
    fcntl.ioctl(writer, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    environment |= {"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"}
    call = [sys.executable, "-m", "registry.commands.cli", *map(str, arguments)]
    process = subprocess.Popen(call, stdout=writer, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=environment)
    os.close(writer)
    text = b""
    while True:
        try:
            part = os.read(reader, 1 << 16)
        except OSError:  # Linux says so at the end.
            break
        if not part:
            break
        text += part
    os.close(reader)
    assert process.wait() == 0
    return text.decode().replace("\r\n", "\n").splitlines()


@pytest.fixture
def two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    monkeypatch.chdir(tmp_path)
    return [write(Path(arm.model), arm) for arm in (BASE, replace(VHR, model="llava_vhr_with_a_long_name"))]


def test_compare_fits_80_columns_of_a_terminal(two: list[Path]) -> None:
    lines = shown(80, "compare", *two, "--resamples", "400")
    assert max(map(len, lines)) <= 80
    place = lines.index("  CHAIR_s ↓")
    assert [line.split()[0] for line in lines[place + 1 : place + 3]] == ["llava_base", "llava_vhr_with_a_long_name"]
    assert "▲ better" in " ".join(lines[place : place + 5])


def test_a_wide_terminal_and_a_pipe_show_the_same_table(two: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    call = ("compare", *two, "--resamples", "400")
    wide = shown(200, *call)
    assert cli.main([str(part) for part in call]) == 0
    assert capsys.readouterr().out.splitlines() == wide
    assert max(map(len, wide)) > 80


@pytest.mark.parametrize("columns", [72, 80, 100])
def test_every_number_of_the_table_is_in_the_narrow_form(two: list[Path], columns: int) -> None:
    comparison = compare([results.read(str(path)) for path in two], resamples=400)
    whole, narrow = as_text(comparison), as_text(comparison, columns)
    assert max(map(len, narrow.splitlines())) <= columns
    numbers = [word.strip("[],") for word in whole.split() if any(letter.isdigit() for letter in word)]
    assert set(numbers) - {word.strip("[],") for word in narrow.split()} == set()


def test_more_arms_than_columns_fit_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    arms = [BASE, VHR, *(replace(VHR, model=f"llava_{name}") for name in ("eah", "iava", "cicd"))]
    runs = [results.read(str(write(Path(arm.model), arm))) for arm in arms]
    narrow = as_text(compare(runs, resamples=50), 80)
    assert max(map(len, narrow.splitlines())) <= 80
    # With CHAIR_i beside cut captions and the length-adjusted rate.
    assert narrow.count("    llava_cicd") == 4 + 2 + 3 + 3 + 1


def test_show_folds_everything_but_paths_and_the_command(two: list[Path]) -> None:
    lines = shown(60, "show", two[0])
    end = lines.index("To repeat this run:")
    assert max(map(len, lines[:end])) <= 60
    run = results.read(str(two[0]), samples=False)
    assert lines[end + 1 :] == show.as_text(run).splitlines()[-(len(lines) - end - 1) :]
    (versions,) = [place for place, line in enumerate(lines) if line.startswith("versions")]
    assert lines[versions + 1].startswith("        ")


@pytest.mark.parametrize("call", [("methods",), ("methods", "sevi", "--verbose"), ("methods", "--matrix"), ("models",)])
def test_listings_fit_80_columns_of_a_terminal(call: tuple[str, ...]) -> None:
    lines = shown(80, *call)
    # A word that is longer, as an address, stays whole.
    assert [line for line in lines if len(line) > 80 and len(line.split()) > 1] == []


def test_listings_in_a_pipe_have_a_line_a_row(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["methods"]) == 0
    lines = capsys.readouterr().out.splitlines()
    heads = ["METHOD", "", "CONTROL"]
    assert len(lines) == len(heads) + len(lazy.interventions().names()) and max(map(len, lines)) > 100
    assert lines.index("") < next(place for place, line in enumerate(lines) if line.startswith("CONTROL "))


def test_a_card_has_the_same_words_in_every_width() -> None:
    card = lazy.card("vhr")
    wide, narrow = (card_text.describe(card, verbose=True, width=width) for width in (card_text.WIDTH, 60))
    assert wide.split() == narrow.split()
    assert max(len(line) for line in narrow.splitlines() if len(line.split()) > 2) <= 60


# The parts


def test_without_a_terminal_there_is_no_width() -> None:
    assert terminal.width() is None


def test_a_line_is_folded_behind_its_indent() -> None:
    assert terminal.folded("one two three", None) == ["one two three"]
    assert terminal.folded("one two three", 9) == ["one two", "  three"]
    assert terminal.folded("a /very/long/path", 8) == ["a", "  /very/long/path"]


def test_cells_that_do_not_fit_begin_a_line() -> None:
    assert terminal.row(["ab", "cd", "ef"], None, "  ") == ["ab  cd  ef"]
    assert terminal.row(["ab", "cd", "ef"], 6, "   ") == ["ab  cd", "   ef"]


def test_a_table_folds_its_last_column_and_then_its_rows() -> None:
    head, rows = ("NAME", "WHAT"), [("a", "one two three"), ("b", "four")]
    assert terminal.table(head, rows) == "NAME  WHAT\na     one two three\nb     four"
    assert terminal.table(head, rows, 14) == "NAME  WHAT\na     one two\n      three\nb     four"
    narrow = terminal.table(("NAME", "KIND", "WHAT"), [("a", "a long kind", "one two"), ("b", "", "four")], 20)
    assert narrow == "a\n  kind: a long kind\n  what: one two\nb\n  what: four"
