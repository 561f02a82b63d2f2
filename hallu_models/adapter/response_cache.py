"""lmms-eval's ``--use_cache``: its answers are taken only where the code of now would give them.

lmms-eval finds an answer by model id, arguments and task, whatever is behind these, and a model whose answers are all
there is never asked for any. So its cache is watched where it is read: beside the answers a file says what made them.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from hallu_models.adapter import cached_margins
from hallu_tasks.files import whole_file
from registry.runner import requests as runner_requests
from registry.runner import response_cache as runner_cache
from registry.runner.mismatch import RunnerMismatch
from registry.runner.requests import Instance
from registry.runner.response_cache import Cache
from registry.runs import source

__all__ = ["FILE", "Maker", "require_same", "require_watched", "watch"]

FILE = "hallu_answers.json"
"""For each of lmms-eval's hashes of a model id with its arguments, what made the answers."""

_SETTINGS = ("parameters", "dtype", "system_prompt", "checkpoint_commit")


class Maker(Protocol):
    """A model of ours. While `recorded` is true, `generate_until` leaves the record to whoever set it."""

    recorded: bool
    answered: bool
    """Whether `generate_until` has answered anything."""

    def made_by(self) -> dict[str, Any]:
        """What decides its answers, as ``source.now`` has it, with its settings."""

    def record(self, requests: Sequence[Instance]) -> None:
        """Put settings and provenance into the results."""

    def key(self, request: Instance) -> str | None:
        """Identifies a request across runs; None for one whose answer is never reused."""

    def command(self) -> list[str]:
        """The command line without secrets."""


def watch() -> None:
    """Let every read of a response cache for a model of ours be checked first. Watching again changes nothing.

    Raises `RunnerMismatch` where reads cannot be found and the command line asks for a cache. Where it does not, one
    that was asked for otherwise is refused by `require_watched`, or before results are written.
    """
    try:
        runner_cache.watch(_is_ours, _checked)
    except RunnerMismatch as error:
        if runner_cache.is_asked_for(sys.argv):
            raise runner_cache.unchecked(error.what) from error


def require_watched(arguments: Any) -> None:
    """For a model that is asked by other means than a watched cache: raises `RunnerMismatch` where the run has one.

    `arguments` is lmms-eval's parsed command line, None where there is none.
    """
    if runner_requests.option(arguments, runner_cache.OPTION):
        raise runner_cache.unchecked("lmms-eval reads its cache by other means than ResponseCache.execute")


def _is_ours(model: Any) -> bool:
    return hasattr(model, "made_by")


def require_same(cache: Cache, made: Mapping[str, Any], command: Sequence[str]) -> None:
    """Raise `ValueError`, with the command that uses a cache of its own, where something else made the answers.

    Otherwise the cache says from now on what makes those of this model id with these arguments.
    """
    root, key = cache.root, cache.key
    file = root / FILE
    stamps = _stamps(file)
    if cache.holds_answers():
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
    if cache.rank == 0:
        whole_file.write(file, json.dumps({**stamps, key: made}, indent=2, sort_keys=True) + "\n")


@contextlib.contextmanager
def _checked(cache: Cache, model: Any, requests: Sequence[Instance]) -> Iterator[runner_cache.Finish]:
    maker: Maker = model
    require_same(cache, maker.made_by(), maker.command())
    # Of the questions only those without an answer reach the model, and maybe none.
    maker.record(requests)
    maker.recorded, maker.answered = True, False
    try:
        yield lambda answers: cached_margins.finished(cache, [maker.key(one) for one in requests], answers)
    finally:
        maker.recorded = False
    if maker.answered:
        cache.require_logged()


def _stamps(file: Path) -> dict[str, Any]:
    try:
        found: Any = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ValueError(f"{file} cannot be read ({error}); use another --use_cache, or delete that folder") from None
    return dict(found)


def _with_cache(command: Sequence[str], folder: str) -> str:
    changed = runner_cache.with_folder(command, folder)
    return f"--use_cache {folder}" if changed is None else shlex.join(changed)
