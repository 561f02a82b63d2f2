"""Says what to do when lmms-eval cannot get a task's data set; its own message is the retry mechanism's."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from registry.files import yaml_files

_HOMES = ("huggingface_hub", "datasets", "requests", "httpx", "urllib3")
"""Packages whose exceptions mean that data could not be had."""


class DataUnavailable(RuntimeError):
    """A task's data set is neither here nor could it be fetched; the message names the command that fetches it."""


def explained(load: Callable[..., Any]) -> Callable[..., Any]:
    """``TaskManager.load_task_or_group`` whose data errors name data set and fix. Other errors pass unchanged."""

    @functools.wraps(load)
    def load_task_or_group(self: Any, task_list: Any = None, *args: Any, **kwargs: Any) -> Any:
        try:
            return load(self, task_list, *args, **kwargs)
        except Exception as error:
            root = _root(error)
            if not (type(root).__module__.startswith(_HOMES) or isinstance(root, (FileNotFoundError, ConnectionError))):
                if root is not error and isinstance(root, ValueError):
                    # A reader said what is wrong with the data; the retry loop around it only hides that.
                    raise root from None
                raise
            raise DataUnavailable(_message(self, task_list, root)) from error

    return load_task_or_group


def _root(error: BaseException) -> BaseException:
    """The first cause, also of an exception that a retry loop wrapped up."""
    attempt = getattr(error, "last_attempt", None)
    inner = attempt.exception() if attempt is not None else error.__cause__
    return _root(inner) if inner is not None else error


def _message(manager: Any, task_list: Any, root: BaseException) -> str:
    names = [task_list] if isinstance(task_list, str) else [name for name in task_list or () if isinstance(name, str)]
    sources = {name: source for name in names for source in _sources(manager, name)}
    fetched = sorted({source for source in sources.values() if not Path(source).is_absolute() and "/" in source})
    what = ", ".join(f"{source} (task {name})" for name, source in sources.items()) or f"of {', '.join(names)}"
    commands = "; ".join(f"hf download --repo-type dataset {source}" for source in fetched)
    login = ", after `hf auth login`" if "Token" in type(root).__name__ else ""
    fix = f"fetch it while connected{login}: `{commands}`" if commands else "reinstall the package that ships it"
    first_line = (str(root).strip().splitlines() or [""])[0]
    return f"data set not available: {what}; {fix}; then run again ({type(root).__name__}: {first_line})"


def _sources(manager: Any, name: str) -> Iterable[str]:
    """The data sets of a task or of a group's tasks, as the task files name them."""
    entry = getattr(manager, "task_index", {}).get(name)
    if not entry or entry.get("yaml_path") in (None, -1):
        return
    config = yaml_files.read(Path(entry["yaml_path"]))
    if not isinstance(config, dict):
        return
    if isinstance(source := _inherited(config, Path(entry["yaml_path"])), str):
        yield source
    members = config.get("task")
    for member in members if isinstance(members, list) else ():
        if isinstance(member, str) and member != name:
            yield from _sources(manager, member)


def _inherited(config: dict[str, Any], file: Path) -> Any:
    if "dataset_path" in config or not isinstance(included := config.get("include"), str):
        return config.get("dataset_path")
    parent = file.parent / included
    loaded = yaml_files.read(parent)
    return _inherited(loaded, parent) if isinstance(loaded, dict) else None
