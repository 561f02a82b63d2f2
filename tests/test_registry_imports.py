"""The registry is light: no torch, no transformers, no lmms-eval, and a quick import."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import registry

ROOT = Path(registry.__file__).parents[1]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True, check=True)


def test_nothing_heavy_is_imported_by_using_the_registry() -> None:
    script = (
        "import sys, registry, registry.commands.cli, registry.commands.doctor, registry.evaluation.launch\n"
        "import registry.evaluation.process, registry.runs.source\n"
        "registry.methods(), registry.families(), registry.models(), registry.tasks(), registry.__version__\n"
        "registry.runs.source.now('vhr', 'demo')\n"
        "registry.commands.cli.main(['methods']), registry.commands.cli.main(['doctor', '--quick'])\n"
        "heavy = ('torch', 'transformers', 'lmms_eval', 'numpy', 'hallu_models')\n"
        "print(sorted(name for name in sys.modules if name.split('.')[0] in heavy))"
    )
    assert run("-c", script).stdout.splitlines()[-1] == "[]"


def test_model_ids_are_known_without_reading_a_card() -> None:
    script = (
        "import registry\nfrom registry.cards import built_in\n"
        "def load(name): raise AssertionError(name)\n"
        "built_in.load = load\n"
        "print('llava_vhr' in registry.models())"
    )
    assert run("-c", script).stdout == "True\n"


def test_importing_the_package_itself_reads_no_file_and_no_yaml() -> None:
    script = (
        "import sys, registry; print([m for m in ('yaml', 'importlib.metadata', 'registry.cards') if m in sys.modules])"
    )
    assert run("-c", script).stdout == "[]\n"


def test_importing_takes_well_below_fifty_milliseconds() -> None:
    times = []
    for _ in range(3):
        log = run("-X", "importtime", "-c", "import typing, registry").stderr
        times += [int(found) / 1000 for found in re.findall(r"\|\s*(\d+) \| registry$", log, re.MULTILINE)]
    assert len(times) == 3
    assert min(times) < 25


def test_identity_and_version() -> None:
    assert registry.SENTINEL == "lmms-eval-hallu"
    assert re.match(r"\d", registry.__version__)
    assert not hasattr(registry, "no_such_attribute")


def test_facade_functions_are_not_hidden_by_submodules() -> None:
    import pkgutil

    submodules = {module.name for module in pkgutil.iter_modules(registry.__path__)}
    assert not submodules & {"methods", "families", "models", "tasks"}
    assert all(callable(getattr(registry, name)) for name in ("methods", "families", "models", "tasks"))
