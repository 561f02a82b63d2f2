"""``hallu doctor`` finds what is planted, and says the command that mends it; nothing else changes."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import pytest
from test_registry_plugins import Install, install

from registry.cards import built_in
from registry.commands import doctor
from registry.errors import CardError
from registry.installation import ranges
from registry.runs import outcome

__all__ = ["install"]

Plant = Callable[[pytest.MonkeyPatch, Path, Install], None]


def out_of_range(patch: pytest.MonkeyPatch, home: Path, put: Install) -> None:
    patch.setattr(metadata, "requires", lambda _: ["transformers>=99"])


def missing(patch: pytest.MonkeyPatch, home: Path, put: Install) -> None:
    known = ranges.version
    patch.setattr(ranges, "version", lambda name: None if name == "accelerate" else known(name))


def shadowed(patch: pytest.MonkeyPatch, home: Path, put: Install) -> None:
    (home / "registry.py").touch()


def broken_plugin(patch: pytest.MonkeyPatch, home: Path, put: Install) -> None:
    put("my-dist", "[hallu.interventions]\nmine = plug_mine:Mine\n", plug_mine="raise OSError('no licence')")


def colliding(patch: pytest.MonkeyPatch, home: Path, put: Install) -> None:
    put("my-dist", "[hallu.interventions]\nvhr = plug_mine:Mine\n", plug_mine="class Mine:\n    pass\n")


def broken_card(patch: pytest.MonkeyPatch, home: Path, put: Install) -> None:
    known = built_in.load

    def load(name: str) -> built_in.Card:
        if name == "eah":
            raise CardError("eah.yaml: key 'title' is missing")
        return known(name)

    patch.setattr(built_in, "load", load)


def cache_that_is_a_file(patch: pytest.MonkeyPatch, home: Path, put: Install) -> None:
    (home / "taken").touch()
    patch.setenv("HALLU_CACHE", str(home / "taken" / "hallu"))


def recovery_without_permission(patch: pytest.MonkeyPatch, home: Path, put: Install) -> None:
    (home / "shut").mkdir()
    patch.setenv("HALLU_RECOVERY", str(home / "shut"))
    known = os.access
    patch.setattr(os, "access", lambda path, mode: Path(path) != home / "shut" and known(path, mode))


def stale_lock(patch: pytest.MonkeyPatch, home: Path, put: Install) -> None:
    (home / "recovery" / "a1.lock").write_text("process 1 on elsewhere")


def unfinished(patch: pytest.MonkeyPatch, home: Path, put: Install) -> None:
    (home / "results" / "vhr").mkdir(parents=True)
    outcome.fail(home / "results" / "vhr", "OSError: no room")


def variable(name: str, value: str) -> Plant:
    return lambda patch, home, put: patch.setenv(name, value)


PLANTED: dict[str, tuple[Plant, str, str]] = {
    "version out of range": (out_of_range, "outside the tested range >=99", "pip install 'transformers>=99'"),
    "missing package": (missing, "not installed", "pip install 'accelerate"),
    "shadowing file": (shadowed, "registry.py is imported in its place", "mv {home}/registry.py"),
    "broken plugin": (broken_plugin, "OSError: no licence", "pip uninstall my-dist"),
    "colliding names": (colliding, "claimed by the built-in card", "pip uninstall my-dist"),
    "broken card": (broken_card, "key 'title' is missing", "pip install --force-reinstall"),
    "no data": (variable("HALLU_DATA", "/nowhere/at/all"), "is no folder", "export HALLU_DATA=FOLDER"),
    "cache is a file": (cache_that_is_a_file, "taken is no folder", "export HALLU_CACHE=FOLDER"),
    "recovery shut": (recovery_without_permission, "cannot be read and written", "chmod u+rwx {home}/shut"),
    "plugins nowhere": (
        variable("LMMS_EVAL_PLUGINS", "not_there.at_all"),
        "cannot be found",
        "unset LMMS_EVAL_PLUGINS",
    ),
    "misspelt variable": (variable("HALLU_DATE", "/data"), "did you mean HALLU_DATA", "unset HALLU_DATE"),
    "hook off": (variable("HALLU_TASKS", "0"), "keeps our tasks from lmms-eval", "unset HALLU_TASKS"),
    "hook nonsense": (variable("HALLU_TASKS", "off"), "'off' switches nothing", "unset HALLU_TASKS"),
    "stale lock": (stale_lock, "left of a process that has ended", "rm {home}/recovery/a1.lock"),
    "unfinished run": (unfinished, "failed at", "rm results/vhr/unfinished_run.json"),
}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory in which all is well."""
    folder = tmp_path / "home"
    (folder / "recovery").mkdir(parents=True)
    monkeypatch.chdir(folder)
    for name in [name for name in os.environ if name.startswith("HALLU_")] + ["LMMS_EVAL_PLUGINS"]:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HALLU_RECOVERY", str(folder / "recovery"))
    return folder


def findings() -> dict[tuple[str, str], doctor.Line]:
    report = doctor.examine(load_plugins=True)
    return {(line.what, line.state): line for lines in report.sections.values() for line in lines if not line.ok}


@pytest.mark.parametrize("problem", PLANTED)
def test_what_is_planted_is_found_with_the_command_that_mends_it(
    problem: str, home: Path, install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant, state, fix = PLANTED[problem]
    if problem not in ("broken plugin", "colliding names"):
        monkeypatch.setattr(doctor, "trial", dict)
        monkeypatch.setattr(doctor, "tried", lambda _: doctor.left_out())
    before = findings()
    plant(monkeypatch, home, install)
    new = {key: line for key, line in findings().items() if key not in before}
    assert len(new) == 1, new
    (line,) = new.values()
    assert state in line.state
    assert fix.format(home=home) in line.fix


def test_a_lock_that_is_held_and_known_variables_are_in_order(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from registry.commands import surroundings

    for name in ("HALLU_DATA", "HALLU_CACHE"):
        monkeypatch.setenv(name, str(home))
    monkeypatch.setenv("HALLU_TASKS", "1")
    monkeypatch.setenv("LMMS_EVAL_PLUGINS", "json")
    with (home / "recovery" / "a1.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert [line for line in surroundings.lines() if not line.ok] == []
