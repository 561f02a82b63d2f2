"""Import paths of earlier checkouts: they lead to today's modules, and say so."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

import registry
from registry import moved

ROOT = Path(registry.__file__).parents[1]


@pytest.mark.parametrize("former", moved.PATHS)
def test_a_module_is_found_under_its_former_path(former: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, former, raising=False)
    parent, _, name = former.rpartition(".")
    monkeypatch.delattr(sys.modules[parent], name, raising=False)
    with pytest.warns(DeprecationWarning, match=f"{former} is {moved.PATHS[former]} now"):
        found = importlib.import_module(former)
    assert found is sys.modules[moved.PATHS[former]]
    assert found.__spec__ is not None and found.__spec__.name == moved.PATHS[former]
    del sys.modules[former]


DOCUMENTED = (
    "hallu_models: attach conversation load",
    "hallu_models.interventions.base: Intervention LayerStep",
    "hallu_models.demo.held_out: main",
    "hallu_models.demo.train: main",
    "hallu_models.diagnostics.questions: main",
    "hallu_tasks: path",
    "hallu_tasks.doc: visual question",
    "hallu_tasks.metrics: path",
    "hallu_tasks.scoring.amber: score_generative score_discriminative",
    "hallu_tasks.scoring.chair: score",
    "hallu_tasks.scoring.mme: score",
    "hallu_tasks.scoring.paired: compare",
    "hallu_tasks.scoring.pope: score",
    "hallu_tasks.truth_cache: truth",
    "registry: methods families models tasks",
    "registry.evaluation: main",
)
"""What pages of this and earlier checkouts import."""


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("path", DOCUMENTED)
def test_what_a_page_has_ever_imported_is_there(path: str) -> None:
    module, _, names = path.partition(": ")
    found = importlib.import_module(module)
    assert [name for name in names.split() if not callable(getattr(found, name, None))] == []


@pytest.mark.parametrize("package", moved.NAMES)
def test_names_that_moved_are_found_under_their_former_path(package: str) -> None:
    module, names = moved.NAMES[package]
    for name in names.split():
        with pytest.warns(DeprecationWarning, match=f"{package}.{name} is {module}.{name} now"):
            found = getattr(importlib.import_module(package), name)
        assert found is getattr(importlib.import_module(module), name)
    assert not hasattr(importlib.import_module(package), "no_such_name")


def test_the_warning_is_of_the_line_that_imports() -> None:
    code = (
        "import warnings\nwarnings.simplefilter('always')\nfrom registry.layers import resolve\nprint(resolve('7', 8))"
    )
    done = run("-c", code)
    assert done.stdout == "(7,)\n"
    assert "<string>:3: DeprecationWarning: registry.layers is registry.cards.layers now" in done.stderr


@pytest.mark.parametrize("path", ["registry.cli", "registry.commands.cli"])
def test_the_command_runs_as_a_module_under_both_paths(path: str) -> None:
    assert run("-m", path, "--version").stdout == f"hallu {registry.__version__}\n"


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True, check=True)
