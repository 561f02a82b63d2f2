"""Tasks: what is found in a folder, and how lmms-eval learns of the folders."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import registry
from registry.runner import task_hook
from registry.task_search import task_folders

ROOT = Path(registry.__file__).parents[1]


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        file = folder / name.replace("__", "/")
        file.with_suffix(".yaml").parent.mkdir(parents=True, exist_ok=True)
        file.with_suffix(".yaml").write_text(text, encoding="utf-8")
    return folder


def test_tasks_and_groups_are_read_and_functions_are_not_called(tmp_path: Path) -> None:
    write(
        tmp_path,
        one="# Captions of demo scenes.\n# Second line.\n\ntask: demo_a\nprocess: !function no.such.module.f\n",
        sub__two="group: demo\ntask: [demo_a, demo_b]\n",
        sub__base="dataset_path: x\ntask: demo_b\n",
        sub__three="include: base.yaml\ntask: demo_c\n",
        sub__four="include: base.yaml\n",
        data="just: data\n",
        _nothing="",
    )
    found, broken = task_folders.scan(tmp_path)
    assert not broken
    assert {(info.name, info.kind, info.file.name) for info in found} == {
        ("demo_a", "task", "one.yaml"),
        ("demo", "group", "two.yaml"),
        ("demo_b", "task", "base.yaml"),
        ("demo_c", "task", "three.yaml"),
        ("demo_b", "task", "four.yaml"),
    }
    assert {info.description for info in found} == {"Captions of demo scenes. Second line.", ""}


@pytest.mark.parametrize(
    "text", ["task: [", "include: missing.yaml\n", "include: 3\n", "include: bad.yaml\n", "task: \xff"]
)
def test_a_malformed_file_is_reported_and_the_others_stay(tmp_path: Path, text: str) -> None:
    write(tmp_path, good="task: demo\n")
    (tmp_path / "bad.yaml").write_bytes(text.encode("latin-1"))
    found, broken = task_folders.scan(tmp_path)
    assert [info.name for info in found] == ["demo"]
    assert list(broken) == [tmp_path / "bad.yaml"]


def test_own_folder_comes_first_and_is_found_without_running_the_package() -> None:
    own = task_folders.own_folder()
    assert own == ROOT / "hallu_tasks"
    assert task_folders.folders()[0] == own


FAKE = """
class TaskManager:
    builtin = {"demo": {"type": "task", "yaml_path": "builtin"}}

    def __init__(self, verbosity="INFO", include_path=None, include_defaults=True):
        self.task_index = self.initialize_tasks(include_path=include_path, include_defaults=include_defaults)

    def match_tasks(self, task_list):
        return task_list

    def load_task_or_group(self, task_list=None, task_type="simple"):
        return {}

    def initialize_tasks(self, include_path=None, include_defaults=True):
        import pathlib
        index = dict(self.builtin) if include_defaults else {}
        for folder in [include_path] if isinstance(include_path, str) else include_path or []:
            for file in sorted(pathlib.Path(folder).rglob("*.yaml")):
                if "broken" in file.name:
                    raise ValueError("malformed " + file.name)
                index = {file.stem: {"type": "task", "yaml_path": str(file)}, **index}
        return index
"""
START = """
import json, sys, warnings
warnings.simplefilter("always")
from pathlib import Path
from registry.task_search import task_folders
from registry.runner import task_hook
task_folders.folders = lambda: [Path(p) for p in sys.argv[1:]]
"""
SHOW = """
from lmms_eval.tasks import TaskManager
print(json.dumps({k: v["yaml_path"] for k, v in TaskManager().task_index.items()}))
"""


class World:
    """A small lmms_eval package with a TaskManager, and scripts run against it in a process of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.use(FAKE)

    def use(self, tasks: str) -> None:
        package = self.folder / "lib" / "lmms_eval"
        (package / "tasks").mkdir(parents=True, exist_ok=True)
        (package / "__init__.py").write_text("", encoding="utf-8")
        (package / "tasks" / "__init__.py").write_text(tasks, encoding="utf-8")

    def run(self, script: str, *folders: Path, **environment: str) -> tuple[list[object], str]:
        """JSON lines the script printed, and its standard error."""
        path = os.pathsep.join((str(self.folder / "lib"), str(ROOT)))
        done = subprocess.run(
            [sys.executable, "-c", START + script, *map(str, folders)],
            env={**os.environ, **environment, "PYTHONPATH": path},
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()], done.stderr


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture
def ours(tmp_path: Path) -> Path:
    return write(tmp_path / "ours", ours="task: ours\n", demo="task: demo\n")


BEFORE = "task_folders.install_hook(); assert 'lmms_eval.tasks' not in sys.modules\n" + SHOW
AFTER = "import lmms_eval.tasks; task_folders.install_hook()\n" + SHOW


@pytest.mark.parametrize(
    "script", [BEFORE, AFTER, "task_folders.install_hook(); task_folders.install_hook()\n" + AFTER]
)
def test_the_hook_adds_our_tasks_and_built_in_ones_keep_their_meaning(world: World, ours: Path, script: str) -> None:
    (index,), err = world.run(script, ours)
    assert index == {"demo": "builtin", "ours": str(ours / "ours.yaml")}
    assert err == ""


def test_installing_again_does_not_wrap_again(world: World, ours: Path) -> None:
    script = (
        "task_folders.install_hook()\nfrom lmms_eval.tasks import TaskManager\nfirst = TaskManager.initialize_tasks\n"
        "task_folders.install_hook()\nprint(json.dumps(TaskManager.initialize_tasks is first))\n"
    )
    assert world.run(script, ours)[0] == [True]


def test_the_package_is_a_plain_module_again_afterwards(world: World) -> None:
    script = (
        "import lmms_eval; task_folders.install_hook(); lmms_eval.x = 1; import lmms_eval.tasks\n"
        "print(json.dumps([type(lmms_eval).__name__, lmms_eval.x]))"
    )
    assert world.run(script)[0] == [["module", 1]]


def test_a_folder_that_is_passed_too_wins_over_the_hook(world: World, ours: Path, tmp_path: Path) -> None:
    other = write(tmp_path / "theirs", ours="task: ours\n")
    show = SHOW.replace("TaskManager()", f"TaskManager(include_path={str(other)!r})")
    (index,), _ = world.run("task_folders.install_hook()\n" + show, ours)
    assert index == {"demo": "builtin", "ours": str(other / "ours.yaml")}


def test_without_defaults_the_caller_gets_its_own_folder_only(world: World, ours: Path, tmp_path: Path) -> None:
    other = write(tmp_path / "theirs", theirs="task: theirs\n")
    show = SHOW.replace("TaskManager()", f"TaskManager(include_path={str(other)!r}, include_defaults=False)")
    (index,), _ = world.run("task_folders.install_hook()\n" + show, ours)
    assert list(index) == ["theirs"]  # type: ignore[call-overload]


def test_a_malformed_folder_costs_a_warning_only(world: World, ours: Path, tmp_path: Path) -> None:
    bad = write(tmp_path / "bad", broken="task: x\n")
    (index,), err = world.run(BEFORE, bad, ours)
    assert "ours" in index  # type: ignore[operator]
    assert f"the tasks in {bad} are left out: ValueError: malformed broken.yaml" in err


def test_the_environment_switches_the_hook_off(world: World, ours: Path) -> None:
    (index,), _ = world.run(BEFORE, ours, HALLU_TASKS="0")
    assert index == {"demo": "builtin"}


def test_other_parameters_are_left_alone_with_one_warning_that_names_the_fix(world: World, ours: Path) -> None:
    world.use(
        FAKE.replace("include_defaults=True):\n        import", "include_defaults=True, more=None):\n        import")
    )
    (index,), err = world.run("import lmms_eval.tasks; task_folders.install_hook()\n" + AFTER, ours)
    assert index == {"demo": "builtin"}
    assert err.count('lmms-eval --include_path "$(hallu tasks-path)"') == 1


def test_without_lmms_eval_nothing_happens(tmp_path: Path) -> None:
    script = (
        "import sys; sys.modules['lmms_eval'] = None\n"
        "from registry.task_search import task_folders; task_folders.install_hook()"
    )
    done = subprocess.run([sys.executable, "-c", script], env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False)
    assert done.returncode == 0


def test_the_installed_lmms_eval_has_the_parameters_the_wrapper_is_written_for() -> None:
    works, text = task_hook.state()
    assert works, text


def test_state_reads_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(task_hook.VARIABLE, "0")
    assert task_hook.state() == (True, f"off, HALLU_TASKS=0; {task_hook.FIX}")


def install_model_plugin(folder: Path) -> None:
    """A distribution whose lmms_eval.models entry point installs the hook, and one that brings a task."""
    info = folder / "zz_probe-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: zz-probe\nVersion: 1.0\n", encoding="utf-8")
    entries = "[lmms_eval.models]\nzz_probe = zz_probe:manifests\n[lmms_eval.tasks]\nzz_probe = zz_tasks\n"
    (info / "entry_points.txt").write_text(entries, encoding="utf-8")
    code = (
        "from registry.task_search.task_folders import install_hook\n"
        "def manifests():\n    install_hook()\n    return []\n"
    )
    (folder / "zz_probe.py").write_text(code, encoding="utf-8")
    write(folder / "zz_tasks", zz="task: zz_probe_task\n")


def real(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join((str(folder), str(ROOT)))
    environment = {**os.environ, "PYTHONPATH": path, "HF_HUB_OFFLINE": "1"}
    return subprocess.run(
        [sys.executable, *arguments], env=environment, cwd=folder, capture_output=True, text=True, check=False
    )


def test_loading_the_real_lmms_eval_models_stays_free_of_torch(tmp_path: Path) -> None:
    install_model_plugin(tmp_path)
    script = (
        "import sys, types, lmms_eval, lmms_eval.models\n"
        "print([m for m in ('torch', 'transformers', 'lmms_eval.tasks') if m in sys.modules], type(lmms_eval).__name__)"
    )
    done = real(tmp_path, "-c", script)
    assert done.stdout.splitlines()[-1] == "[] _Package", done.stdout + done.stderr


@pytest.mark.slow
def test_the_real_command_line_lists_our_tasks(tmp_path: Path) -> None:
    install_model_plugin(tmp_path)
    done = real(tmp_path, "-m", "lmms_eval", "--tasks", "list")
    names = set(re.findall(r"^ - (\w+)", done.stdout, re.MULTILINE))
    assert {"zz_probe_task", "pope"} <= names, done.stdout[-2000:] + done.stderr[-2000:]
