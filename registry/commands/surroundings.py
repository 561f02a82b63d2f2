"""What ``hallu doctor`` finds around the installation: environment variables, folders, what ended runs left behind."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shlex
from collections.abc import Iterator
from pathlib import Path

from registry.commands.findings import Line
from registry.errors import did_you_mean, near
from registry.runner import task_hook
from registry.runs import outcome

__all__ = ["lines"]

VARIABLES = ("HALLU_CACHE", "HALLU_DATA", "HALLU_RECOVERY", task_hook.VARIABLE)
"""All that this package reads."""

MODULES = "LMMS_EVAL_PLUGINS"


def lines() -> list[Line]:
    """Everything; what is in order is one line each."""
    return [*variables(), *modules(), *data(), *caches(), *locks(), *unfinished()]


def variables() -> list[Line]:
    """Variables that nothing reads, and the switch of the task hook."""
    found = [
        Line(
            False,
            name,
            f"is no variable of this package{did_you_mean(near(name, VARIABLES))}; there are {', '.join(VARIABLES)}",
            f"unset {name}",
        )
        for name in sorted(os.environ)
        if name.startswith("HALLU_") and name not in VARIABLES
    ]
    switch = os.environ.get(task_hook.VARIABLE)
    if switch == "0":
        state = f"{task_hook.VARIABLE}=0 keeps our tasks from lmms-eval"
        found.append(Line(False, task_hook.VARIABLE, state, f"unset {task_hook.VARIABLE}, or {task_hook.FIX}"))
    elif switch not in (None, "", "1"):
        state = f"{switch!r} switches nothing: 0 keeps our tasks from lmms-eval, 1 is as unset"
        found.append(Line(False, task_hook.VARIABLE, state, f"unset {task_hook.VARIABLE}"))
    return found or [Line(True, "variables", "all known")]


def modules() -> list[Line]:
    """Modules that lmms-eval imports by an older way than entry points, and fails without."""
    found = []
    for name in filter(None, os.environ.get(MODULES, "").split(",")):
        try:
            there = importlib.util.find_spec(name) is not None
        # Looking for a submodule imports its parent, which may fail in any way.
        except Exception:
            there = False
        state = f"{name} can be imported" if there else f"{name} cannot be found, and lmms-eval ends there"
        found.append(Line(there, MODULES, state, f"unset {MODULES}"))
    return found


def data() -> list[Line]:
    """The folder with the benchmarks' data, where one is named."""
    given = os.environ.get("HALLU_DATA")
    if not given:
        return []
    there = Path(given).expanduser().is_dir()
    state = given if there else f"{given} is no folder, so no benchmark finds its data"
    return [Line(there, "HALLU_DATA", state, "export HALLU_DATA=FOLDER; `hallu data check` says what belongs there")]


def caches() -> list[Line]:
    """Folders for truth and for finished answers."""
    found = []
    for name, folder in (("HALLU_CACHE", _cache()), ("HALLU_RECOVERY", _recovery())):
        # Of a folder that is not there yet, the nearest one that is.
        place = next(path for path in (folder, *folder.parents) if path.exists())
        usable = place.is_dir() and os.access(place, os.R_OK | os.W_OK | os.X_OK)
        why = "cannot be read and written" if place.is_dir() else "is no folder"
        state = str(folder) if usable else f"{folder} cannot be used: {place} {why}"
        mode = f"chmod u+rwx {shlex.quote(str(place))}, or " if place.is_dir() else ""
        found.append(Line(usable, name, state, f"{mode}export {name}=FOLDER"))
    return found


def locks() -> list[Line]:
    """Locks that ended processes have left beside finished answers."""
    return [
        Line(False, "lock", f"{path} is left of a process that has ended", f"rm {shlex.quote(str(path))}")
        for path in _in(_recovery(), "*.lock")
        if not _held(path)
    ]


def unfinished() -> list[Line]:
    """Output folders below the working directory whose last run was cut off or failed."""
    found = []
    for depth in ("", "*/", "*/*/"):
        for path in _in(Path(), f"{depth}{outcome.FILE}"):
            # What is malformed is for those who read the folder to say.
            with contextlib.suppress(ValueError, OSError, TypeError, KeyError):
                if (run := outcome.read(path.parent)) is not None:
                    fix = f"run the same command again, or give these results up: rm {shlex.quote(str(path))}"
                    found.append(Line(False, "unfinished run", f"{path.parent}: {run.text}", fix))
    return found


def _cache() -> Path:
    user = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("HALLU_CACHE") or user / "hallu")


def _recovery() -> Path:
    user = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("HALLU_RECOVERY") or user / "hallu" / "recovery")


def _in(folder: Path, pattern: str) -> Iterator[Path]:
    with contextlib.suppress(OSError):
        yield from sorted(folder.glob(pattern))


def _held(path: Path) -> bool:
    """Whether a process holds a lock; where that cannot be told, one does."""
    try:
        import fcntl

        with path.open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except (ImportError, OSError):
        return True
    return False
