"""Whether lmms-eval knows the tasks of ``--tasks``, without importing it."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from registry.errors import UnknownName
from registry.runner import names
from registry.task_search import task_folders

__all__ = ["require"]

# What follows task, group or tag, and every item of a list: a name too many is better than one too few.
_LINE = re.compile(r"^\s*(?:-\s*|(?:-\s*)?[\"']?(?:task|group|tag)[\"']?\s*:)([^:#\n]*)(?:#.*)?$", re.MULTILINE)
_NAME = re.compile(r"[\w.+-]+")


def require(tasks: str, include: Sequence[Path] = ()) -> None:
    """Raise `UnknownName` with near matches for a name in a comma-separated list that no task file has.

    Files count from our task folders, from `include` and from lmms-eval itself, whose files are read only where a name
    is not among ours. A pattern such as ``hallu_pope*`` has to match a name; the path of a task file is left alone.
    """
    known = set(task_folders.tasks()).union(*(_names(folder) for folder in include))
    waiting = [name for name in tasks.split(",") if not Path(name).is_file() and not _found(name, known)]
    if not waiting:
        return
    known |= _names(folder) if (folder := names.task_files()) else set()
    for name in waiting:
        if not _found(name, known):
            raise UnknownName("task", name, known, "hallu tasks` or `lmms-eval --tasks list")


def _found(name: str, known: Iterable[str]) -> bool:
    return bool(fnmatch.filter(known, name)) if re.search(r"[*?[]", name) else name in known


def _names(folder: Path) -> set[str]:
    return {
        name
        for file in folder.rglob("*yaml")  # Those that others include may be named _default_template_yaml.
        for line in _LINE.findall(file.read_text(encoding="utf-8", errors="replace"))
        for name in _NAME.findall(line)
    }
