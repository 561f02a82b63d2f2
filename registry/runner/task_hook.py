"""Makes our tasks known to lmms-eval, which has no entry-point group for tasks.

``lmms-eval --tasks hallu_demo`` and ``--tasks list`` then work without ``--include_path``.
``HALLU_TASKS=0`` in the environment leaves lmms-eval as it is.
"""

from __future__ import annotations

import ast
import functools
import importlib
import os
import sys
import types
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from registry.installation import ranges
from registry.runner import data_errors, names
from registry.runner.mismatch import member, parameters

VARIABLE = "HALLU_TASKS"
EXPECTED = ("self", "include_path", "include_defaults")
"""The parameters of ``TaskManager.initialize_tasks`` that the wrapper is written for."""

FIX = 'pass the tasks yourself: lmms-eval --include_path "$(hallu tasks-path)" ...'

_MARK = "__hallu_task_folders__"

Folders = Callable[[], Iterable[Path]]
"""Looks up the task folders, each time that lmms-eval searches for tasks."""


class TaskHookWarning(UserWarning):
    """The hook could not be installed, or a task folder could not be read."""


def install_hook(folders: Folders) -> None:
    """Add the task folders to every ``lmms_eval.tasks.TaskManager`` made from now on. Never raises.

    ``lmms_eval.tasks`` needs torch and transformers, so it is not imported here: if it is not loaded yet, the
    wrapper is put on at the moment its import ends. Names lmms-eval knows already, from itself, from
    ``--include_path`` or from a task entry-point group it may grow, keep their meaning. Installing again
    changes nothing. With other parameters than ``EXPECTED`` nothing is wrapped, and one warning names the fix.
    """
    if os.environ.get(VARIABLE) == "0":
        return
    try:
        package = importlib.import_module(names.PACKAGE)
    except ImportError:
        return
    tasks = sys.modules.get(names.TASKS)
    if hasattr(tasks, "TaskManager"):
        _wrap(tasks, folders)
    elif type(package) is types.ModuleType:
        package.__class__ = type(_Package.__name__, (_Package,), {"folders": staticmethod(folders)})
    elif not isinstance(package, _Package):
        _warn("the package of lmms-eval is not a plain module")


class _Package(types.ModuleType):
    """``lmms_eval`` until its submodule ``tasks`` is loaded: the import system then sets the attribute."""

    @staticmethod
    def folders() -> Iterable[Path]:
        """The task folders. The class that takes the place of the module's own says which."""
        return ()

    def __setattr__(self, name: str, value: object) -> None:
        super().__setattr__(name, value)
        if name == "tasks":
            folders = self.folders
            self.__class__ = types.ModuleType  # type: ignore[assignment]
            _wrap(value, folders)


def _wrap(tasks: Any, folders: Folders) -> None:
    manager = getattr(tasks, "TaskManager", None)
    original = getattr(manager, "initialize_tasks", None)
    if getattr(original, _MARK, False):
        return
    if not callable(original) or parameters(original) != EXPECTED:
        _warn("TaskManager.initialize_tasks of this lmms-eval has other parameters than expected")
        return
    manager.initialize_tasks = _with_folders(original, folders)  # type: ignore[union-attr]
    for name, wrapper in (
        ("match_tasks", functools.partial(_with_data, folders=folders)),
        ("load_task_or_group", data_errors.explained),
    ):
        if callable(plain := getattr(manager, name, None)):
            setattr(manager, name, wrapper(plain))
        else:
            _warn_of_data(f"TaskManager of this lmms-eval has no {name}")


def _with_folders(original: Callable[..., dict[str, Any]], folders: Folders) -> Callable[..., dict[str, Any]]:
    @functools.wraps(original)
    def initialize_tasks(self: Any, include_path: Any = None, include_defaults: bool = True) -> dict[str, Any]:
        index = original(self, include_path=include_path, include_defaults=include_defaults)
        # Without the defaults the caller wants the tasks of its own folder and no others.
        if not include_defaults:
            return index
        for folder in folders():
            # A task file of another party may be malformed in any way; the run goes on without its folder.
            try:
                found = original(self, include_path=[str(folder)], include_defaults=False)
            except Exception as error:
                message = f"the tasks in {folder} are left out: {type(error).__name__}: {error}"
                warnings.warn(message, TaskHookWarning, stacklevel=2)
                continue
            # What lmms-eval knows wins, so a folder it was given otherwise changes nothing.
            index = {**found, **index}
        return index

    setattr(initialize_tasks, _MARK, True)
    return initialize_tasks


def _with_data(match: Callable[..., list[Any]], folders: Folders) -> Callable[..., list[Any]]:
    @functools.wraps(match)
    def match_tasks(self: Any, task_list: Any) -> list[Any]:
        found = match(self, task_list)
        # lmms-eval loads the model before the data; here what is missing is said first.
        for documents in _documents_or_warning(self, found, folders):
            documents.prepare()
        return found

    return match_tasks


def _documents_or_warning(manager: Any, asked: Any, folders: Folders) -> list[Any]:
    try:
        return _documents(manager, asked, folders)
    # Without this look ahead a run is as good, and its own errors come later.
    except Exception as error:
        _warn_of_data(str(getattr(error, "what", f"{type(error).__name__}: {error}")))
        return []


def _documents(manager: Any, asked: Any, folders: Folders) -> list[Any]:
    """What the tasks in our folders read their documents with: a ``process_docs`` that can ``prepare``."""
    ours = [folder.resolve() for folder in folders()]
    found: dict[int, Any] = {}
    waiting = [name for name in asked if isinstance(name, str)]
    while waiting:
        name = waiting.pop(0)
        file = Path(str((member(manager, "task_index", "TaskManager").get(name) or {}).get("yaml_path")))
        if not any(file.resolve().is_relative_to(folder) for folder in ours):
            continue
        config = member(manager, "_get_config", "TaskManager")(name)
        members = config.get("task")
        waiting += [member for member in members if isinstance(member, str)] if isinstance(members, list) else []
        if hasattr(documents := config.get("process_docs"), "prepare"):
            found[id(documents)] = documents
    return list(found.values())


def state() -> tuple[bool, str]:
    """Whether our tasks reach lmms-eval by themselves, and why (not). Imports nothing of lmms-eval."""
    if os.environ.get(VARIABLE) == "0":
        return True, f"off, {VARIABLE}=0; {FIX}"
    folder = names.task_files()
    if folder is None:
        return False, "off, lmms-eval is not installed"
    file = folder / "__init__.py"
    found = _parameters_in(file)
    if found != EXPECTED:
        return False, f"off, {file} has no TaskManager.initialize_tasks with the expected parameters; {FIX}"
    return True, "active, lmms-eval finds our tasks by itself"


def _parameters_in(file: Path) -> tuple[str, ...] | None:
    try:
        tree = ast.parse(file.read_text(encoding="utf-8"))
    except (OSError, SyntaxError):
        return None
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and node.name == "TaskManager":
            for item in node.body:
                if isinstance(item, ast.FunctionDef) and item.name == "initialize_tasks":
                    return tuple(argument.arg for argument in item.args.args)
    return None


@functools.cache
def _warn(reason: str) -> None:
    warnings.warn(
        f"the tasks of this package are not added to lmms-eval: {reason}; {FIX}\n"
        f"{ranges.advice((names.DISTRIBUTION,))}",
        TaskHookWarning,
        stacklevel=3,
    )


@functools.cache
def _warn_of_data(reason: str) -> None:
    warnings.warn(
        f"data that is missing is found only after the model is loaded, and told in lmms-eval's own words: {reason}\n"
        f"{ranges.advice((names.DISTRIBUTION,))}",
        TaskHookWarning,
        stacklevel=3,
    )
