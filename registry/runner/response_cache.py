"""lmms-eval's ``--use_cache``: where its answers are read, and what of a cache is looked at."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from registry.runner.mismatch import RunnerMismatch, member, parameters, part, require_parameters
from registry.runner.requests import Instance

PARAMETERS = ("self", "lm", "reqtype", "requests")
"""Of ``ResponseCache.execute``, as the wrapper is written for."""

OPTION = "use_cache"
_FLAG = f"--{OPTION}"
_OF = "ResponseCache"
_HASH = "model_fingerprint_hash"
_MARK = "__hallu_watched__"

Finish = Callable[[list[Any]], list[Any]]
"""What becomes of the answers, new ones and the cache's."""
Around = Callable[["Cache", Any, Sequence[Instance]], AbstractContextManager[Finish]]


@dataclass(frozen=True)
class Cache:
    """One process's view: the folder, the hash of model id with arguments, the process, and the log of new answers."""

    root: Path
    key: str
    rank: int
    log: Path

    @classmethod
    def of(cls, cache: Any) -> Cache:
        """Raises `RunnerMismatch` where a cache of lmms-eval is built otherwise, or logs not whose answers it has."""
        require_parameters(member(type(cache), "_log_to_audit", _OF), [_HASH], f"{_OF}._log_to_audit")
        root, key = member(cache, "_cache_root", _OF), member(cache, f"_{_HASH}", _OF)
        database, log = member(cache, "db_path", _OF), member(cache, "audit_path", _OF)
        if not isinstance(key, str) or not key:
            raise RunnerMismatch(f"{_OF} of lmms-eval has no hash of model and arguments in _{_HASH}: {key!r}")
        rank = member(cache, "_global_rank", _OF)
        return cls(Path(root or os.path.dirname(database)), key, int(rank), Path(log))

    def holds_answers(self) -> bool:
        """Whether answers under the key are there, merged or about to be. A cache without its log may hold any."""
        logs = [self.root / "cache.audit.jsonl", *(ready.parent for ready in self.root.glob("runs/*/.ready"))]
        files = [file for log in logs for file in (log.glob("*.audit.jsonl") if log.is_dir() else [log])]
        if (self.root / "cache.db").exists() and not files[0].exists():
            return True
        return any(_mentions(file, self.key) for file in files)

    def require_logged(self) -> None:
        """Raises `RunnerMismatch` where answers that were just made are in no log under the key.

        lmms-eval takes them into the folder only after the evaluation has ended well.
        """
        if not _mentions(self.log, self.key):
            raise RunnerMismatch(
                f"lmms-eval's cache of answers did not log in {self.log} whose answers they are, so no later run could "
                f"tell; leave {_FLAG} out"
            )


def watch(ours: Callable[[Any], bool], around: Around) -> None:
    """Let ``around`` be entered where answers for one of our models are read. Watching again changes nothing.

    Raises `RunnerMismatch` where there is no ``ResponseCache.execute``. With other parameters its use raises that.
    """
    kind = part("caching.response_cache", _OF)
    original = member(kind, "execute", _OF)
    if not getattr(original, _MARK, False):
        known = parameters(original) == PARAMETERS
        kind.execute = _watched(original, ours, around) if known else _refused(original, ours)
        setattr(kind.execute, _MARK, True)


def is_asked_for(argv: Sequence[str]) -> bool:
    """Whether a command line asks for the cache."""
    return any(part == _FLAG or part.startswith(f"{_FLAG}=") for part in argv)


def with_folder(command: Sequence[str], folder: str) -> list[str] | None:
    """The command with another cache; None where it names none."""
    changed = list(command)
    for place, given in enumerate(command):
        if given.startswith(f"{_FLAG}="):
            changed[place] = f"{_FLAG}={folder}"
        elif place and command[place - 1] == _FLAG:
            changed[place] = folder
    return changed if changed != list(command) else None


def _watched(original: Callable[..., list[Any]], ours: Callable[[Any], bool], around: Around) -> Any:
    @functools.wraps(original)
    def execute(self: Any, lm: Any, reqtype: str, requests: list[Any]) -> list[Any]:
        if not ours(lm):
            return original(self, lm, reqtype, requests)
        with around(Cache.of(self), lm, requests) as finish:
            return finish(original(self, lm, reqtype, requests))

    return execute


def _refused(original: Callable[..., Any], ours: Callable[[Any], bool]) -> Any:
    @functools.wraps(original)
    def execute(self: Any, *args: Any, **kwargs: Any) -> Any:
        models = [value for value in (*args, *kwargs.values()) if isinstance(value, part("api.model", "lmms"))]
        # Without a model among the arguments it may be ours.
        if models and not any(map(ours, models)):
            return original(self, *args, **kwargs)
        raise unchecked(
            f"{_OF}.execute of lmms-eval has the parameters {', '.join(parameters(original))}, and known is "
            f"({', '.join(PARAMETERS)})"
        )

    return execute


def unchecked(reason: str) -> RunnerMismatch:
    """The refusal of a cache whose answers nobody here has checked."""
    return RunnerMismatch(
        f"{_FLAG} would give answers that nothing has checked, whatever code made them: {reason}; leave {_FLAG} out"
    )


def _mentions(file: Path, key: str) -> bool:
    return file.exists() and any(key in line for line in file.open(encoding="utf-8", errors="replace"))
