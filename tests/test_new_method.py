"""`hallu new-method`: what it writes works as it is, for every hook, in a package and in this repository."""

from __future__ import annotations

import importlib
import inspect
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import warm

import registry
from hallu_models.interventions import Intervention
from hallu_models.new_method.command import HOOKS
from registry.commands import cli

ROOT = Path(registry.__file__).parents[1]
NO_EDITS = {"card", "bind", "layer_rule", "layer_list", "hook_layers", "parameters", "overrides", "contrasts"}
NO_EDITS |= {"needs_other_image", "other_image_pick"}
BEHIND = ("attention_output", "feed_forward_output")
"""Hooks whose effect a norm behind the block, which Gemma 3 has, could undo."""
WALK = re.search(
    r"^( *)<!-- walk -->\n *```\n(.*?)\n *```$",
    (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"),
    re.MULTILINE | re.DOTALL,
)
COMMANDS = [shlex.split(line) for line in WALK[2].splitlines()] if WALK else []


def python(*arguments, path, cwd, timeout=300):
    """What a Python command prints; ``path`` stands in front of everything."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path)), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=timeout)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    return done.stdout


def test_every_hook_has_its_method():
    own = {name for name, one in vars(Intervention).items() if inspect.isfunction(one) and name[0] != "_"}
    assert set(HOOKS) == own - NO_EDITS


@pytest.mark.parametrize(("hook", "family"), [(hook, "gemma3" if hook in BEHIND else "llava") for hook in HOOKS])
def test_its_own_test_passes(hook, family, monkeypatch, tmp_path):
    """On one family; the package's test runs on all of them."""
    name = f"try_{hook}"
    assert cli.main(["new-method", name, "--hook", hook, "--package", str(tmp_path)]) == 0
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.syspath_prepend(tmp_path / "tests")
    module = importlib.import_module(f"test_method_{name}")
    module.test_the_contract(family)
    for mark in module.test_its_range.pytestmark:
        for strength in mark.args[1]:
            module.test_its_range(strength)


@pytest.mark.slow
def test_the_guide_s_walk(tmp_path):
    """Its commands as they stand; pip installs into a folder of the path."""
    site, printed = tmp_path / "site", {}
    path = (site, ROOT)
    into = ("--quiet", "--no-index", "--no-deps", "--no-build-isolation", "--target", site)
    for program, *arguments in COMMANDS:
        if program == "pip":
            found = python("-m", "pip", "install", *into, tmp_path / arguments[-1], path=path, cwd=tmp_path)
        elif program == "python":
            found = python(*arguments, path=path, cwd=tmp_path)
        else:
            done = warm.started([program, *arguments], tmp_path, {}, added=[site])
            assert done.returncode == 0, done.stderr[-3000:]
            found = done.stdout
        printed[f"{program} {arguments[0]}"] = found
    assert len(COMMANDS) < 10
    first, *_, last = printed
    assert (first, last) == ("hallu new-method", "hallu compare")
    assert "6 passed" in printed["python -m"]
    for said in ("Raises the scores of image columns where the next token is predicted.", "strength = 1", ">= 0."):
        assert said in printed["hallu methods"]
    assert "llava_spotlight" in printed["hallu compare"] and "existence" in printed["hallu compare"]


TRIED = """
import sys
from registry.commands import cli
assert cli.main(["methods", "try_here", "--verbose"]) == 0
sys.path.insert(0, "tests")
import test_method_try_here
test_method_try_here.test_the_contract("llava")
test_method_try_here.test_its_range(-1.0)
"""


@pytest.mark.slow
def test_in_this_repository(tmp_path):
    """On a copy: method, card and test are all there is to add."""
    for name in ("registry", "hallu_models", "hallu_tasks"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.cfg", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    new_method = ("-m", "registry.commands.cli", "new-method", "try_here", "--here")
    python(*new_method, path=(tmp_path,), cwd=tmp_path)
    for file in ("hallu_models/interventions/try_here.py", "registry/cards/try_here.yaml"):
        assert (tmp_path / file).is_file()
    assert (tmp_path / "tests/test_method_try_here.py").is_file()
    printed = python("-c", TRIED, path=(tmp_path,), cwd=tmp_path)
    assert "off at    strength=0" in printed
    assert "try_here keeps its contract on 1 families" in printed


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["good", "--hook", "row_score"], "--hook=row_score: unknown hook (did you mean row_scores"),
        (["Bad"], "'Bad' cannot be a method's name"),
        (["import"], "'import' cannot be a method's name: it is a word of Python"),
        (["vhr"], "'vhr' is a method already"),
    ],
)
def test_bad_calls_are_refused(given, said, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["new-method", *given]) == 2
    assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_what_it_says_to_do_next_is_the_guide_s_walk(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    first, *rest = COMMANDS
    assert cli.main(first[1:]) == 0
    said = capsys.readouterr().out.partition("and then:\n")[2]
    assert [shlex.split(line) for line in said.splitlines()] == rest


def test_nothing_is_overwritten(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["new-method", "good"]) == 0
    assert cli.main(["new-method", "good"]) == 2
    assert "is there already, and nothing is overwritten" in capsys.readouterr().err
