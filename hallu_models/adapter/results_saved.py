"""Tells when lmms-eval has written the files of a run.

lmms-eval scores and writes after it has given the model back, and goes on without a word in the status where a file
could not be written. So the files themselves are looked at.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from loguru import logger

from registry.runner import requests, response_cache, saving
from registry.runner.mismatch import RunnerMismatch
from registry.runner.saving import Results, Samples

_waiting: list[tuple[Callable[[], None], str]] = []
_models: list[str] = []
"""The model id of the run, until its results are written."""


def when_saved(done: Callable[[], None], otherwise: str) -> None:
    """Call ``done`` once the results file and all sample files of this run are whole; without an output path, at once
    when they would have been written. ``otherwise`` is the warning where they are not, and where nobody can tell."""
    try:
        saving.watch(_require_record, _look)
    except RunnerMismatch as error:
        logger.warning(f"{otherwise}, also after the results are written: {error}")
        return
    _waiting.append((done, otherwise))


def new_run(model_id: str | None = None) -> None:
    """A run of this process that ended in an error writes no files: those of the next one are not its own.

    The results of a model of ours, `model_id`, are from now on looked at before they are written.
    """
    _waiting.clear()
    _models[:] = [] if model_id is None else [model_id]
    try:
        saving.watch(_require_record, _look)
    except RunnerMismatch as error:
        logger.warning(f"nobody will tell whether the results are whole and say what made them: {error}")


def _require_record(results: Results) -> None:
    """Warn where results of a model of ours do not say what made them.

    Raises `RunnerMismatch` where its answers may come from a cache, too: then nothing has checked that cache.
    """
    if not _models or saving.model(results.contents) not in _models:
        return
    _models.clear()
    if requests.is_recorded(results.contents):
        return
    lost = "these results do not say what made them: lmms-eval did not write the record of the run"
    if saving.used_cache(results.contents):
        raise response_cache.unchecked(lost)
    logger.warning(str(RunnerMismatch(f"{lost}, and hallu compare takes them for another package's")))


def _look(saved: Results | Samples) -> None:
    """What is still to be written after this call; calls those who wait when nothing is."""
    if not _waiting:
        return
    tracker = saved.tracker
    try:
        if isinstance(saved, Samples):
            path = saving.file(tracker, tracker.hallu_date, saved.task)
            whole = path is None or _lines(path) >= saved.number
            tracker.hallu_unsaved.discard(saved.task)
        else:
            path = saving.file(tracker, saved.date)
            whole = path is None or _is_json(path)
            tracker.hallu_date, tracker.hallu_unsaved = saved.date, set(saved.tasks)
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


def _is_json(file: Path) -> bool:
    try:
        json.loads(file.read_bytes())
    except (OSError, ValueError):
        return False
    return True


def _lines(file: Path) -> int:
    """Whole lines of a sample file."""
    return file.read_bytes().count(b"\n") if file.exists() else 0
