"""How a run in an output folder goes, in a file beside the results: there from its start until a run succeeds.

A run that is killed leaves the file as it was when it began, so nothing has to survive for the failure to be known.
"""

from __future__ import annotations

import json
import os
import platform
import tempfile
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from registry.runner.names import RESULTS as SUFFIX

__all__ = ["FILE", "SUFFIX", "Unfinished", "begin", "fail", "fail_beside", "read", "results", "succeed"]

FILE = "unfinished_run.json"


@dataclass(frozen=True)
class Unfinished:
    """A run that failed, was cut off, or goes on still. `results` are the files that are not its own.

    Times are texts with their zone; `ended` and `error` are None where nothing is known of the run's end.
    """

    began: str
    process: int
    machine: str
    results: tuple[str, ...]
    ended: str | None = None
    error: str | None = None

    @property
    def text(self) -> str:
        """What is known, as the rest of a sentence that begins with the folder."""
        if self.ended is None:
            return (
                f"the run that began at {self.began} has not ended: "
                f"it was cut off, or process {self.process} on {self.machine} goes on still"
            )
        return f"the last run failed at {self.ended}: {self.error}"


def begin(folder: Path) -> None:
    """Say that a run begins. Raises `OSError` where the folder cannot be written."""
    _write(folder, Unfinished(_now(), os.getpid(), platform.node(), tuple(results(folder))))


def fail(folder: Path, error: str) -> str:
    """Say how the run that this process began has failed, and return the error that is said there.

    Whatever the run wrote does not count as results of a good one. Where `fail_beside` was first, its error stays.
    """
    run = read(folder) or Unfinished(_now(), os.getpid(), platform.node(), ())
    own = (run.process, run.machine) == (os.getpid(), platform.node())
    said = run.error if own and run.error is not None else error
    _write(folder, replace(run, results=tuple(results(folder)), ended=_now(), error=said))
    return said


def fail_beside(folder: Path, error: str) -> None:
    """Say how a run has failed that another process began: the first to fail is the cause, the others lack it then."""
    run = read(folder)
    if run is not None and run.error is None:
        _write(folder, replace(run, results=tuple(results(folder)), ended=_now(), error=error))


def succeed(folder: Path) -> None:
    """Forget what failed there before."""
    (folder / FILE).unlink(missing_ok=True)


def read(folder: Path) -> Unfinished | None:
    """What the folder says of its last run, None after a success. Raises `ValueError` for a damaged file."""
    path = folder / FILE
    try:
        value: Any = json.loads(path.read_text(encoding="utf-8"))
        return Unfinished(**{**value, "results": tuple(value["results"])})
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ValueError(
            f"{path} cannot be read ({type(error).__name__}: {error}); it says how the last run in that folder "
            "failed: repeat the run, or delete the file"
        ) from None


def results(folder: Path) -> dict[str, int]:
    """Results files that the folder holds, by their place in it, with the time of their last change."""
    found = [*folder.glob(f"*{SUFFIX}"), *folder.glob(f"*/*{SUFFIX}")]
    return {path.relative_to(folder).as_posix(): path.stat().st_mtime_ns for path in sorted(found)}


def _now() -> str:
    return datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")


def _write(folder: Path, run: Unfinished) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    # Whole or not at all, so that a reader never meets half a file.
    with tempfile.NamedTemporaryFile("w", dir=folder, prefix=f".{FILE}.", delete=False, encoding="utf-8") as file:
        file.write(json.dumps(asdict(run), indent=2) + "\n")
    os.chmod(file.name, 0o644)
    os.replace(file.name, folder / FILE)
