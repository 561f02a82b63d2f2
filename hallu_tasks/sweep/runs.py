"""The runs of a sweep: which are there already, and starting the others, several at a time."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from hallu_tasks import results, whole_file
from hallu_tasks.sweep.grid import Cell
from registry.command_line import redacted

__all__ = ["Job", "Outcome", "finished", "jobs", "locked", "share", "start_all"]

# lmms-eval keeps finished answers when it is interrupted; only what does not end is killed.
_SIGNALS = ((signal.SIGINT, 20.0), (signal.SIGTERM, 5.0), (signal.SIGKILL, None))
_POLL = 0.1
_TAIL = 4096  # bytes of a log
_BAR = re.compile(rb"(\d+)%\|")


@dataclass(frozen=True)
class Job:
    """One cell with its folder and the arguments of lmms-eval but for ``--output_path`` and ``--log_samples``."""

    cell: Cell
    folder: Path
    arguments: tuple[str, ...]

    @property
    def log(self) -> Path:
        return self.folder / "log.txt"

    @property
    def record(self) -> Path:
        """Says which arguments the folder's results come from. Written before the run starts."""
        return self.folder / "cell.json"


@dataclass(frozen=True)
class Outcome:
    """How a run ended: `problem` is ``None`` where all its results are there."""

    job: Job
    seconds: float
    problem: str | None


def jobs(
    cells: Sequence[Cell], model: str, model_args: str, tasks: str, output: Path, more: Sequence[str]
) -> list[Job]:
    """A job a cell.

    Raises `ValueError` for a folder that holds a run with other arguments: its results are neither to be
    overwritten nor to be taken for this sweep's.
    """
    made = []
    for cell in cells:
        folder = output / cell.folder
        parameters = ",".join(filter(None, (model_args, cell.text)))
        job = Job(cell, folder, ("--model", model, "--model_args", parameters, "--tasks", tasks, *more))
        _require_same(job)
        made.append(job)
    return made


def finished(job: Job) -> bool:
    """Whether the cell's run with these arguments is complete: results, and every document of every task."""
    if not job.record.is_file():
        return False
    try:
        results.read(str(job.folder))
    except ValueError:
        return False
    return True


def share(job: Job) -> int:
    """How far a run is with its present task, in percent, from the last progress bar in its log."""
    try:
        with job.log.open("rb") as file:
            file.seek(max(0, job.log.stat().st_size - _TAIL))
            found = _BAR.findall(file.read())
    except OSError:
        return 0
    return int(found[-1]) if found else 0


def start_all(
    waiting: Sequence[Job],
    at_once: int,
    lock: int,
    done: Callable[[Outcome], None],
    going: Callable[[Sequence[Job]], None],
) -> None:
    """Run the jobs, `at_once` at a time. Whatever ends this ends the runs too.

    `done` is called as each ends, `going` every tenth of a second with those that go on.

    `lock` is what `locked` gives. Runs inherit it, so the folder stays held while one goes on after this process
    was killed.
    """
    queue, running = deque(waiting), dict[subprocess.Popen[bytes], tuple[Job, float]]()
    try:
        while queue or running:
            while queue and len(running) < at_once:
                job = queue.popleft()
                running[_start(job, lock)] = (job, time.monotonic())
            for process in [process for process in running if process.poll() is not None]:
                job, began = running.pop(process)
                done(Outcome(job, time.monotonic() - began, _problem(job, process.returncode)))
            going([job for job, _ in running.values()])
            time.sleep(_POLL if running else 0)
    finally:
        _stop(list(running))


@contextlib.contextmanager
def locked(output: Path) -> Iterator[int]:
    """Hold the sweep's folder and give the lock.

    Raises `ValueError` while another sweep, or a run it left behind, works there.
    """
    output.mkdir(parents=True, exist_ok=True)
    with (output / ".lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ValueError(
                f"--output {output}: another sweep, or a run that it left behind, works there; "
                "wait for it, end it, or give another --output"
            ) from None
        yield file.fileno()


def _require_same(job: Job) -> None:
    if not job.record.is_file():
        if job.folder.is_dir() and any(job.folder.iterdir()):
            raise ValueError(f"{job.folder} holds files that are not a sweep's; give another --output")
        return
    recorded = _recorded(job.record)
    if recorded != redacted(job.arguments):
        raise ValueError(
            f"{job.folder} holds a run with other arguments: {_first_change(recorded, redacted(job.arguments))}; "
            "give another --output, or delete that folder to run it anew"
        )


def _recorded(path: Path) -> list[str]:
    try:
        value: Any = json.loads(path.read_text(encoding="utf-8"))["arguments"]
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise ValueError(f"{path} cannot be read ({error}); delete its folder to run the cell anew") from None
    return [str(part) for part in value]


def _first_change(old: Sequence[str], new: Sequence[str]) -> str:
    """``--limit 8 where this sweep has --limit 4``."""
    place = next((n for n, pair in enumerate(zip(old, new)) if pair[0] != pair[1]), min(len(old), len(new)))
    start = place - 1 if place and new[place - 1].startswith("--") else place
    before, now = (" ".join(arguments[start : place + 1]) or "nothing" for arguments in (old, new))
    return f"{before} where this sweep has {now}"


def _start(job: Job, lock: int) -> subprocess.Popen[bytes]:
    job.folder.mkdir(parents=True, exist_ok=True)
    whole_file.write(job.record, json.dumps({"arguments": redacted(job.arguments)}, indent=2) + "\n")
    log: IO[bytes]
    with job.log.open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "lmms_eval", *job.arguments, "--output_path", str(job.folder), "--log_samples"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            # A group of its own, so that a signal reaches the run's own children too, and Ctrl-C comes from here.
            start_new_session=True,
            pass_fds=(lock,),
        )


def _problem(job: Job, code: int) -> str | None:
    # lmms-eval exits 0 after errors, so only the results tell.
    if finished(job):
        return None
    how = f"ended by signal {-code}" if code < 0 else f"exit status {code}"
    return f"no complete results ({how})"


def _stop(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    for number, patience in _SIGNALS:
        for process in processes:
            if process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, number)
        deadline = time.monotonic() + (patience or 60.0)
        while any(process.poll() is None for process in processes) and time.monotonic() < deadline:
            time.sleep(_POLL)
