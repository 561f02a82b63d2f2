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

import registry
from hallu_models.interventions import Intervention
from hallu_models.new_method.command import HOOKS
from registry.cards import built_in
from registry.commands import cli

ROOT = Path(registry.__file__).parents[1]
NO_EDITS = {"card", "bind", "layer_rule", "layer_list", "parameters", "overrides", "contrasts"}
NO_EDITS |= {"needs_other_image", "other_image_pick"}
FAMILIES = [name for name, row in registry.families().items() if row.cell(built_in.load("vhr")).status != "refused"]
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


@pytest.mark.parametrize(
    ("hook", "family"), [(hook, FAMILIES[number % len(FAMILIES)]) for number, hook in enumerate(HOOKS)]
)
def test_its_own_test_passes(hook, family, monkeypatch, tmp_path):
    """Each on a family of its own; the package's test runs on all of them."""
    name = f"try_{hook}"
    assert cli.main(["new-method", name, "--hook", hook, "--package", str(tmp_path)]) == 0
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.syspath_prepend(tmp_path / "tests")
    module = importlib.import_module(f"test_{name}")
    module.test_the_contract(family)
    for mark in module.test_its_range.pytestmark:
        for strength in mark.args[1]:
            module.test_its_range(strength)


@pytest.fixture(scope="module")
def walked(tmp_path_factory):
    """What each command of the guide's walk prints, in a new folder; pip installs into a folder of the path."""
    folder = tmp_path_factory.mktemp("walk")
    path = (folder / "site", ROOT)
    printed = {}
    for program, *arguments in COMMANDS:
        if program == "hallu":
            words = ("-m", "registry.commands.cli", *arguments)
        elif program == "pip":
            into = ("--quiet", "--no-index", "--no-deps", "--no-build-isolation", "--target", folder / "site")
            words = ("-m", "pip", "install", *into, folder / arguments[-1])
        else:
            words = (*arguments, "-k", "range or [llava]")
        printed[f"{program} {arguments[0]}", arguments[1] if len(arguments) > 1 else ""] = python(
            *words, path=path, cwd=folder, timeout=600
        )
    return folder, printed


def test_the_guide_s_walk(walked):
    _, printed = walked
    programs = [" ".join(command[:2]) for command in COMMANDS]
    assert len(COMMANDS) < 10 and programs[0] == "hallu new-method" and programs[-1] == "hallu compare"
    by_program = {program: text for (program, _), text in printed.items()}
    assert "3 passed" in by_program["python -m"]
    card = by_program["hallu methods"]
    assert "Raises the scores of image columns where the next token is predicted." in card and "strength = 1.0" in card
    comparison = by_program["hallu compare"]
    assert "llava_spotlight" in comparison and "hallu_demo" in comparison


def test_the_installed_package_s_ranges_hold(walked):
    folder, _ = walked
    program = (
        "from hallu_models import methods\n"
        "try: methods.build('spotlight', 'llava', 4, {'strength': -1})\n"
        "except ValueError as error: print(error)"
    )
    assert "spotlight: strength=-1" in python("-c", program, path=(folder / "site", ROOT), cwd=folder)


def test_in_this_repository(tmp_path):
    """On a copy: method, card and test are all there is to add."""
    for name in ("registry", "hallu_models", "hallu_tasks"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.cfg", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    path = (tmp_path,)
    hallu = ("-m", "registry.commands.cli")
    python(*hallu, "new-method", "try_here", "--here", path=path, cwd=tmp_path)
    assert "TryHere" in python(*hallu, "methods", "try_here", "--verbose", path=path, cwd=tmp_path)
    tried = ("-k", "range or [llava]", "tests/test_try_here.py")
    assert "3 passed" in python("-m", "pytest", "-q", *tried, path=path, cwd=tmp_path)


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


def test_nothing_is_overwritten(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["new-method", "good"]) == 0
    assert cli.main(["new-method", "good"]) == 2
    assert "is there already, and nothing is overwritten" in capsys.readouterr().err
