"""Folders that hold lmms-eval tasks, ours and those of other distributions, and what is in them."""

from __future__ import annotations

import functools
import importlib.util
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from registry.files import yaml_files
from registry.plugins.discovery import Plugin, plugins, report
from registry.runner import task_hook
from registry.runner.names import TASK_GROUP as GROUP

__all__ = ["GROUP", "TaskInfo", "folders", "install_hook", "own_folder", "scan", "tasks"]

_OWN = "hallu_tasks"


@dataclass(frozen=True)
class TaskInfo:
    """What ``lmms-eval --tasks`` takes: a task or a group of tasks, and the YAML file it is defined in.

    ``description`` is the comment at the head of that file.
    """

    name: str
    kind: Literal["task", "group"]
    file: Path
    description: str


def own_folder() -> Path | None:
    """The folder of ``hallu_tasks``, found without running its code; None where it is not installed."""
    spec = importlib.util.find_spec(_OWN)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations)))


def folders() -> list[Path]:
    """Every task folder, ours first, then those of the entry-point group `GROUP`.

    Its entries name a package with task files, or a path to them.

    An entry point that cannot be loaded, or names no folder, is left out with a warning.
    """
    own = own_folder()
    found = {own.resolve(): own} if own else {}
    for plugin in plugins(GROUP):
        if plugin.module.partition(".")[0] == _OWN:
            continue
        try:
            for folder in plugin_folders(plugin):
                found.setdefault(folder.resolve(), folder)
        # The import of another party's package may raise anything; the other folders stay usable.
        except Exception as error:
            report(plugin, error)
    return list(found.values())


def plugin_folders(plugin: Plugin) -> list[Path]:
    """The folders an entry point stands for.

    Its value is a package (its folder counts), or a path, several paths, or a function that returns them.
    Raises ``ValueError`` for a folder that is not there, and whatever the import raises.
    """
    if plugin.attribute:
        value = plugin.load()
        value = value() if callable(value) else value
        paths = [value] if isinstance(value, (str, os.PathLike)) else list(value)
    else:
        spec = importlib.util.find_spec(plugin.module)
        if spec is None or not spec.submodule_search_locations:
            raise ValueError(f"{plugin.module} is not a package with a folder")
        paths = list(spec.submodule_search_locations)
    for path in paths:
        if not Path(path).is_dir():
            raise ValueError(f"{path} is not a folder")
    return [Path(path) for path in paths]


def tasks() -> dict[str, TaskInfo]:
    """Every task and group below the task folders, by name; of two with one name the first one counts."""
    found: dict[str, TaskInfo] = {}
    for folder in folders():
        for info in scan(folder)[0]:
            found.setdefault(info.name, info)
    return dict(sorted(found.items()))


def scan(folder: Path) -> tuple[list[TaskInfo], dict[Path, str]]:
    """Tasks and groups in the YAML files below a folder, and the files that could not be read, with the error."""
    found: list[TaskInfo] = []
    broken: dict[Path, str] = {}
    for file in sorted(folder.rglob("*.yaml")):
        if "__pycache__" in file.parts or ".ipynb_checkpoints" in file.parts:
            continue
        try:
            config = _config(file)
        except (ValueError, TypeError, OSError, RecursionError) as error:
            broken[file] = f"{type(error).__name__}: {error}"
            continue
        task, group = config.get("task"), config.get("group")
        if isinstance(task, str):
            found.append(TaskInfo(task, "task", file, _description(file)))
        elif isinstance(task, list) and isinstance(group, str):
            found.append(TaskInfo(group, "group", file, _description(file)))
    return found, broken


def install_hook() -> None:
    """Make the task folders known to lmms-eval. Never raises; see :func:`registry.runner.task_hook.install_hook`."""
    task_hook.install_hook(folders)


def _config(file: Path) -> Mapping[str, Any]:
    """The keys of a task file, those of its ``include`` files below them."""
    data = yaml_files.read(file)
    if not isinstance(data, Mapping):
        return {}
    includes = data.get("include") or []
    paths: Iterable[str] = [includes] if isinstance(includes, str) else includes
    below = [_config(Path(path) if os.path.isfile(path) else file.parent / path) for path in reversed(list(paths))]
    return functools.reduce(lambda config, more: {**config, **more}, [*below, data], {})


def _description(file: Path) -> str:
    lines = []
    for line in file.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#") or not line.strip("# "):
            break
        lines.append(line.lstrip("#").strip())
    return " ".join(lines)
