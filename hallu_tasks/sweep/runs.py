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
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from hallu_tasks.files import whole_file
from hallu_tasks.runs import results
from hallu_tasks.sweep.grid import Cell
from registry.evaluation import launch
from registry.runs import source
from registry.runs.command_line import redacted

__all__ = ["Job", "Outcome", "finished", "jobs", "locked", "outdated", "requests_to_end", "share", "start_all"]

# Runs keep finished answers when they are asked to end; only what does not end is killed.
_SIGNALS = ((signal.SIGTERM, 20.0), (signal.SIGKILL, 60.0))
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

    @property
    def report(self) -> Path:
        """Says how the last run ended."""
        return self.folder / "outcome.json"


@dataclass(frozen=True)
class Outcome:
    """How a run ended: `problem` is ``None`` where all its results are there."""

    job: Job
    seconds: float
    problem: str | None


def jobs(cells: Sequence[Cell], tasks: str, output: Path, more: Sequence[str]) -> list[Job]:
    """A job a cell.

    Raises `ValueError` for a folder that holds a run with other arguments: its results are neither to be
    overwritten nor to be taken for this sweep's.
    """
    made = []
    for cell in cells:
        folder = output / cell.folder
        job = Job(cell, folder, ("--model", cell.model, "--model_args", cell.model_args, "--tasks", tasks, *more))
        _require_same(job)
        made.append(job)
    return made


def finished(job: Job) -> bool:
    """Whether the cell's last run with these arguments is complete: results, and every document of every task."""
    return job.record.is_file() and _lacking(job) is None


def outdated(job: Job, checkpoint: str, now: Callable[[str], Mapping[str, Any]]) -> str | None:
    """What has changed since a finished cell was run, None where it would be run alike now.

    `now` gives what a run on a checkpoint would record now; `checkpoint` counts where the cell recorded none.
    """
    recorded = results.read(str(job.folder), samples=False).hallu
    return source.changes(recorded, now(str(recorded.get("pretrained") or checkpoint)))


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
    asked: Sequence[int],
    done: Callable[[Outcome], None],
    going: Callable[[Sequence[Job]], None],
) -> None:
    """Run the jobs, `at_once` at a time. Whatever ends this ends the runs too.

    `done` is called as each ends, `going` every tenth of a second with those that go on. Raises `KeyboardInterrupt`
    where a signal is added to `asked`, which is what `requests_to_end` gives.

    `lock` is what `locked` gives. Runs inherit it, so the folder stays held while one goes on after this process
    was killed, and the file names them.
    """
    queue, running = deque(waiting), dict[subprocess.Popen[bytes], tuple[Job, float]]()
    try:
        while queue or running:
            if asked:
                raise KeyboardInterrupt
            while queue and len(running) < at_once:
                job = queue.popleft()
                running[_start(job, lock)] = (job, time.monotonic())
                _name_processes(lock, running)
            for process in [process for process in running if process.poll() is not None]:
                job, began = running.pop(process)
                _name_processes(lock, running)
                done(Outcome(job, time.monotonic() - began, _problem(job, process.returncode)))
            going([job for job, _ in running.values()])
            time.sleep(_POLL if running else 0)
    finally:
        _stop(list(running), asked)


@contextlib.contextmanager
def requests_to_end() -> Iterator[list[int]]:
    """Collect the signals that ask this process to end. They interrupt nothing, so that no run is started unseen.

    A closed terminal asks too. What whoever started this has ignored stays ignored.
    """
    asked: list[int] = []
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        for number, old in before.items():
            if old is not signal.SIG_IGN:
                signal.signal(number, lambda number, frame: asked.append(number))
        yield asked
    finally:
        for number, old in before.items():
            signal.signal(number, old)


@contextlib.contextmanager
def locked(output: Path) -> Iterator[int]:
    """Hold the sweep's folder and give the lock.

    Raises `ValueError`, naming the processes, while another sweep, or a run it left behind, works there.
    """
    output.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(output / ".lock", os.O_RDWR | os.O_CREAT, 0o644), "r+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            numbers = [number for number in file.read().decode().split() if _alive(int(number))]
            named = f" (process {', '.join(numbers)})" if numbers else ""
            end = f"end it (kill {' '.join(numbers)})" if numbers else "end it"
            raise ValueError(
                f"--output {output}: another sweep, or a run that it left behind, works there{named}; "
                f"wait for it, {end}, or give another --output"
            ) from None
        _name_processes(file.fileno(), ())
        yield file.fileno()
        os.ftruncate(file.fileno(), 0)


def _name_processes(lock: int, running: Iterable[subprocess.Popen[bytes]]) -> None:
    """Write this process and the runs into the lock's file, for whoever finds it held."""
    os.ftruncate(lock, 0)
    os.pwrite(lock, " ".join(map(str, (os.getpid(), *(process.pid for process in running)))).encode(), 0)


def _alive(number: int) -> bool:
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


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
    job.report.unlink(missing_ok=True)
    log: IO[bytes]
    with job.log.open("wb") as log:
        return subprocess.Popen(
            launch.command(job.report, [*job.arguments, "--output_path", str(job.folder), "--log_samples"]),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            # A group of its own, so that a signal reaches the run's own children too, and Ctrl-C comes from here.
            start_new_session=True,
            pass_fds=(lock,),
        )


def _problem(job: Job, status: int) -> str | None:
    problem = launch.failure(job.report, status)
    if problem is None and status:
        # Arguments that lmms-eval refuses; it says why in its last line.
        lines = job.log.read_text(encoding="utf-8", errors="replace").split("\n")
        problem = next((line for line in reversed(lines) if line.strip()), f"exit status {status}")
    return problem or _lacking(job)


def _lacking(job: Job) -> str | None:
    """What the cell's results lack to be complete."""
    try:
        results.read(str(job.folder))
    except ValueError as error:
        return str(error)
    return None


def _stop(processes: Sequence[subprocess.Popen[bytes]], asked: Sequence[int]) -> None:
    """End the runs; who asks again does not wait for those that are slow to. What does not end is named."""
    for number, patience in _SIGNALS:
        for process in processes:
            if process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, number)
        deadline, before = time.monotonic() + patience, len(asked)
        while any(process.poll() is None for process in processes) and time.monotonic() < deadline:
            if len(asked) > before and number != signal.SIGKILL:
                break
            time.sleep(_POLL)
    if left := [str(process.pid) for process in processes if process.poll() is None]:
        print(f"hallu: warning: these processes have not ended: {', '.join(left)}", file=sys.stderr)
