"""lmms-eval's ``--use_cache``: its answers are taken only where the code of now would give them.

lmms-eval finds an answer by model id, arguments and task, whatever is behind these, and a model whose answers are all
there is never asked for any. So its cache is watched where it is read: beside the answers a file says what made them.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import json
import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from lmms_eval.api.instance import Instance
from lmms_eval.caching.response_cache import ResponseCache
from loguru import logger

from hallu_tasks import whole_file
from registry import source

__all__ = ["FILE", "Maker", "require_same", "watch"]

FILE = "hallu_answers.json"
"""For each of lmms-eval's hashes of a model id with its arguments, what made the answers."""

EXPECTED = ("self", "lm", "reqtype", "requests")
"""The parameters of ``ResponseCache.execute`` that the wrapper is written for."""

_SETTINGS = ("parameters", "dtype", "system_prompt", "checkpoint_commit")
_MARK = "__hallu_watched__"


class Maker(Protocol):
    """A model of ours. While `recorded` is true, `generate_until` leaves the record to whoever set it."""

    recorded: bool

    def made_by(self) -> dict[str, Any]:
        """What decides its answers, as ``source.now`` has it, with its settings."""

    def record(self, requests: list[Instance]) -> None:
        """Put settings and provenance into the results."""

    def command(self) -> list[str]:
        """The command line without secrets."""


def watch() -> None:
    """Let every read of a response cache for a model of ours be checked first. Watching again changes nothing."""
    original = ResponseCache.execute
    if getattr(original, _MARK, False):
        return
    if tuple(inspect.signature(original).parameters) != EXPECTED:
        logger.warning("--use_cache of this lmms-eval is not known here: leave it out, its answers are not checked")
        return
    ResponseCache.execute = _watched(original)


def require_same(cache: Any, made: Mapping[str, Any], command: Sequence[str]) -> None:
    """Raise `ValueError`, with the command that uses a cache of its own, where something else made the answers.

    Otherwise the cache says from now on what makes those of this model id with these arguments.
    """
    root, key = Path(cache._cache_root or os.path.dirname(cache.db_path)), cache._model_fingerprint_hash
    file = root / FILE
    stamps = _stamps(file)
    if _holds_answers(root, key):
        before = stamps.get(key) or {}
        found = [why] if (why := source.changes(before, made)) else []
        if before:
            found += [
                f"made with {name}={before.get(name)}, now {made.get(name)}"
                for name in _SETTINGS
                if before.get(name) != made.get(name)
            ]
        if found:
            # The same code at another commit finds the same cache.
            contents = json.dumps({**made, "git": None}, sort_keys=True)
            own = f"{root}-{hashlib.sha256(contents.encode()).hexdigest()[:8]}"
            raise ValueError(
                f"--use_cache {root} holds answers of this model id with these arguments that are not this run's: "
                f"{'; '.join(found)}. Use a cache of its own: {_with_cache(command, own)}"
            )
    if cache._global_rank == 0:
        whole_file.write(file, json.dumps({**stamps, key: made}, indent=2, sort_keys=True) + "\n")


def _watched(original: Callable[..., list[Any]]) -> Callable[..., list[Any]]:
    @functools.wraps(original)
    def execute(self: Any, lm: Any, reqtype: str, requests: list[Instance]) -> list[Any]:
        if not hasattr(lm, "made_by"):
            return original(self, lm, reqtype, requests)
        maker: Maker = lm
        require_same(self, maker.made_by(), maker.command())
        # Of the questions only those without an answer reach the model, and maybe none.
        maker.record(requests)
        maker.recorded = True
        try:
            return original(self, lm, reqtype, requests)
        finally:
            maker.recorded = False

    setattr(execute, _MARK, True)
    return execute


def _stamps(file: Path) -> dict[str, Any]:
    try:
        found: Any = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ValueError(f"{file} cannot be read ({error}); use another --use_cache, or delete that folder") from None
    return dict(found)


def _holds_answers(root: Path, key: str) -> bool:
    """Whether answers under the key are there, merged or about to be. A cache without its log may hold any."""
    logs = [root / "cache.audit.jsonl", *(ready.parent for ready in root.glob("runs/*/.ready"))]
    files = [file for log in logs for file in (log.glob("*.audit.jsonl") if log.is_dir() else [log])]
    if (root / "cache.db").exists() and not files[0].exists():
        return True
    return any(key in line for file in files if file.exists() for line in file.open(encoding="utf-8", errors="replace"))


def _with_cache(command: Sequence[str], folder: str) -> str:
    changed = list(command)
    for place, part in enumerate(command):
        if part.startswith("--use_cache="):
            changed[place] = f"--use_cache={folder}"
        elif place and command[place - 1] == "--use_cache":
            changed[place] = folder
    return shlex.join(changed) if changed != list(command) else f"--use_cache {folder}"
