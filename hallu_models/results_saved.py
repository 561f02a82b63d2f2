"""Tells when lmms-eval has written the files of a run.

lmms-eval scores and writes after it has given the model back, and goes on without a word in the status where a file
could not be written. So the files themselves are looked at.
"""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lmms_eval.loggers import EvaluationTracker
from loguru import logger

_MARK = "__hallu_results_saved__"
_waiting: list[tuple[Callable[[], None], str]] = []


def when_saved(done: Callable[[], None], otherwise: str) -> None:
    """Call ``done`` once the results file and all sample files of this run are whole; without an output path, at once
    when they would have been written. ``otherwise`` is the warning where they are not."""
    for name in ("save_results_aggregated", "save_results_samples"):
        original = getattr(EvaluationTracker, name)
        if not hasattr(original, _MARK):
            setattr(EvaluationTracker, name, _watched(original))
    _waiting.append((done, otherwise))


def new_run() -> None:
    """A run of this process that ended in an error writes no files: those of the next one are not its own."""
    _waiting.clear()


def _watched(original: Callable[..., None]) -> Callable[..., None]:
    signature = inspect.signature(original)

    @functools.wraps(original)
    def save(self: Any, *args: Any, **kwargs: Any) -> None:
        given = signature.bind(self, *args, **kwargs).arguments
        original(self, *args, **kwargs)
        if _waiting:
            _look(self, given)

    setattr(save, _MARK, True)
    return save


def _look(tracker: Any, given: dict[str, Any]) -> None:
    """What is still to be written after this call; calls those who wait when nothing is."""
    try:
        if "task_name" in given:
            task = given["task_name"]
            whole = _lines(tracker, task) >= len(given["samples"])
            tracker.hallu_unsaved.discard(task)
        else:
            whole = not tracker.output_path or _is_json(_file(tracker, given["datetime_str"], "results.json"))
            tracker.hallu_date, tracker.hallu_unsaved = given["datetime_str"], set(given.get("samples") or ())
    except Exception as error:
        # A fault here must not cost the run its results.
        logger.warning(f"{type(error).__name__}: {error}")
        whole = False
    if not whole:
        for _, otherwise in _waiting:
            logger.warning(otherwise)
        _waiting.clear()
    elif not tracker.hallu_unsaved:
        for done, _ in _waiting:
            done()
        _waiting.clear()


def _file(tracker: Any, date: str, end: str) -> Path:
    name = f"{date.replace(':', '-')}_{end}"
    return Path(tracker.output_path, tracker.general_config_tracker.model_name_sanitized, name)


def _is_json(file: Path) -> bool:
    try:
        json.loads(file.read_bytes())
    except (OSError, ValueError):
        return False
    return True


def _lines(tracker: Any, task: str) -> int:
    """Whole lines of a task's sample file."""
    file = _file(tracker, tracker.hallu_date, f"samples_{task}.jsonl")
    return file.read_bytes().count(b"\n") if file.exists() else 0
