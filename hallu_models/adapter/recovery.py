"""Finished answers of a run that has not written its results, kept until the same command is run again."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import socket
import time
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from loguru import logger

from registry.runner import answers as runner_answers
from registry.runner.answers import Answer, Margin

try:
    import fcntl
except ImportError:  # Windows: two runs of one command are not kept apart there.
    fcntl = None  # type: ignore[assignment]

SYNC_SECONDS = 1.0
"""Answers reach the disk at most this often: against a killed process the operating system's buffer is enough."""


def folder() -> Path:
    """``$HALLU_RECOVERY``, by default ``hallu/recovery`` in the user's cache folder."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    return Path(os.environ.get("HALLU_RECOVERY", cache / "hallu" / "recovery"))


def digest(*parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


class Answers:
    """Answers by request key, each in the file as soon as :meth:`add` returns; a context manager.

    run: what identifies the command; rank, processes: each process of a run has a file of its own. Inside the context
    no other process writes the file. :meth:`forget` removes it.

    Entering raises RuntimeError where a process that still runs answers the same command, and ValueError for a
    malformed file. A last line without an end, of a process killed in the middle of a write, is no answer. A file that
    cannot be written (a full disk, a folder without permission) is one warning: the run goes on, and what is missing
    is written with the next answers.
    """

    def __init__(self, run: str, rank: int = 0, processes: int = 1) -> None:
        self._run, self._processes = run[:32], processes
        self.path = self._of_rank(rank)
        self._answers: dict[str, Answer] = {}
        self._file: int | None = None
        self._unwritten = b""
        self._synced = 0.0
        self._warned = False

    def __enter__(self) -> Answers:
        with contextlib.ExitStack() as stack:
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                stack.enter_context(_Lock(self.path))
                self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_CLOEXEC", 0))
                stack.callback(self._close)
                self._read()
            except OSError as error:
                self._warn(error)
            self._exit = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._exit.close()

    def __len__(self) -> int:
        return len(self._answers)

    def get(self, key: str) -> Answer | None:
        return self._answers.get(key)

    def add(self, answers: Iterable[tuple[str, Answer]]) -> None:
        """Append the answers of a batch, in one write."""
        for key, answer in answers:
            self._answers[key] = answer
            input_tokens, output_tokens = runner_answers.counts(answer)
            entry = {
                "key": key,
                "text": answer.text,
                "input_tokens": input_tokens,
                "output_tokens": output_tokens,
                **runner_answers.margin(answer).told,
            }
            self._unwritten += json.dumps(entry).encode() + b"\n"
        self._write()

    def forget(self) -> None:
        """Remove the file, unless another process has begun to write it."""
        _remove(self.path)

    def forget_run(self) -> None:
        """Remove the files of all ranks of the run, as far as they are in this folder."""
        for rank in range(self._processes):
            _remove(self._of_rank(rank))

    def _of_rank(self, rank: int) -> Path:
        part = f".{rank + 1}-of-{self._processes}" if self._processes > 1 else ""
        return folder() / f"{self._run}{part}.jsonl"

    def _read(self) -> None:
        assert self._file is not None
        *lines, rest = self.path.read_bytes().split(b"\n")
        for number, line in enumerate(lines, 1):
            try:
                entry = json.loads(line)
                counts = int(entry["input_tokens"]), int(entry["output_tokens"])
                key, text = entry["key"], entry["text"]
                if not isinstance(key, str) or not isinstance(text, str):
                    raise TypeError("key and text are texts")
            except (ValueError, TypeError, KeyError) as error:
                raise ValueError(
                    f"{self.path}, line {number}: no kept answer ({type(error).__name__}: {error}); delete this line "
                    "to have its document answered again, or the file to begin anew"
                ) from error
            self._answers[key] = runner_answers.answer(text, *counts, Margin.read(entry))
        if rest:
            os.ftruncate(self._file, self.path.stat().st_size - len(rest))

    def _write(self) -> None:
        if self._file is None or not self._unwritten:
            return
        whole = os.fstat(self._file).st_size
        try:
            written = 0
            while written < len(self._unwritten):
                written += os.write(self._file, self._unwritten[written:])
        except OSError as error:
            self._warn(error)
            try:
                # Half a line would make the next one malformed.
                os.ftruncate(self._file, whole)
            except OSError:
                os.close(self._file)
                self._file = None
            return
        self._unwritten = b""
        if time.monotonic() - self._synced >= SYNC_SECONDS:
            self._sync()

    def _sync(self) -> None:
        assert self._file is not None
        try:
            os.fsync(self._file)
        except OSError as error:
            self._warn(error)
        self._synced = time.monotonic()

    def _close(self) -> None:
        self._write()
        if self._file is not None:
            self._sync()
            os.close(self._file)
            self._file = None

    def _warn(self, error: OSError) -> None:
        if not self._warned:
            logger.warning(
                f"finished answers cannot be kept in {self.path}: {error.strerror or error}; the run goes on, and if "
                "it is ended early, answers from here on are computed again; make room, or set HALLU_RECOVERY to "
                "another folder"
            )
        self._warned = True


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError, RuntimeError):
        if path.exists():
            with _Lock(path):
                path.unlink(missing_ok=True)


class _Lock:
    """Held by one process at a time, by a file beside ``path`` with its number; gone when the process ends."""

    def __init__(self, path: Path) -> None:
        self._path, self._locked = path.with_suffix(".lock"), path
        self._file: IO[str] | None = None

    def __enter__(self) -> _Lock:
        while self._file is None:
            file = self._path.open("a+")
            try:
                self._acquire(file)
                # The one before may have removed the file after it was opened here.
                if self._path.exists() and os.path.samestat(os.fstat(file.fileno()), self._path.stat()):
                    self._file = file
            finally:
                if self._file is None:
                    file.close()
        self._file.truncate(0)
        self._file.write(f"process {os.getpid()} on {socket.gethostname()}")
        # On a full disk nobody learns the number; the lock holds all the same.
        with contextlib.suppress(OSError):
            self._file.flush()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        assert self._file is not None
        self._path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self._file.close()
        self._file = None

    def _acquire(self, file: IO[str]) -> None:
        if fcntl is None:
            return
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError) as error:
            file.seek(0)
            raise RuntimeError(
                f"{file.read() or 'another process'} answers the same command and keeps its answers in "
                f"{self._locked}; wait for it, end it, or set HALLU_RECOVERY to another folder"
            ) from error
        except OSError:
            # A file system without locks.
            return
