"""When lmms-eval writes a run's files, and where."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from registry.runner.mismatch import RunnerMismatch, member, part, require_parameters
from registry.runner.names import RESULTS, samples_file

_OF = "EvaluationTracker"
_WRITES = {
    "save_results_aggregated": ("results", "samples", "datetime_str"),
    "save_results_samples": ("task_name", "samples"),
}
"""The methods that write, results first, with the parameters that are read."""

_MARK = "__hallu_results_saved__"


@dataclass(frozen=True)
class Results:
    """The results of a run: their contents, their date, and the tasks whose samples follow."""

    tracker: Any
    contents: Mapping[str, Any]
    date: str
    tasks: frozenset[str]


@dataclass(frozen=True)
class Samples:
    """The samples of a task, and how many they are."""

    tracker: Any
    task: str
    number: int


def watch(before: Callable[[Results], None], after: Callable[[Results | Samples], None]) -> None:
    """Call ``before`` ahead of each writing of results and ``after`` behind each of results or samples.

    What ``before`` raises keeps the results from being written. Watching again changes nothing. Raises `RunnerMismatch`
    where they are written by other methods, or told otherwise.
    """
    kind = part("loggers", _OF)
    found = {name: member(kind, name, _OF) for name in _WRITES}
    for name, wanted in _WRITES.items():
        require_parameters(found[name], wanted, f"{_OF}.{name}")
    for name, original in found.items():
        if not hasattr(original, _MARK):
            setattr(kind, name, _watched(original, before, after))


def _watched(
    original: Callable[..., None], before: Callable[[Results], None], after: Callable[[Results | Samples], None]
) -> Callable[..., None]:
    signature = inspect.signature(original)

    @functools.wraps(original)
    def save(self: Any, *args: Any, **kwargs: Any) -> None:
        given = signature.bind(self, *args, **kwargs).arguments
        what: Results | Samples
        if "task_name" in given:
            what = Samples(self, given["task_name"], len(given["samples"]))
        else:
            what = Results(self, given["results"], given["datetime_str"], frozenset(given.get("samples") or ()))
            before(what)
        original(self, *args, **kwargs)
        after(what)

    setattr(save, _MARK, True)
    return save


def file(tracker: Any, date: str, task: str | None = None) -> Path | None:
    """Where the results, or a task's samples, are written; None without an output path.

    Raises `RunnerMismatch` where a tracker does not say.
    """
    folder = member(tracker, "output_path", _OF)
    if not folder:
        return None
    name = member(member(tracker, "general_config_tracker", _OF), "model_name_sanitized", "general_config_tracker")
    if not isinstance(name, str) or not isinstance(date, str):
        raise RunnerMismatch(f"{_OF} of lmms-eval names its files otherwise: {name!r}, {date!r}")
    results = f"{date.replace(':', '-')}{RESULTS}"
    return Path(folder, name, results if task is None else samples_file(results, task))


def model(results: Mapping[str, Any]) -> Any:
    """The model id in a run's results; None where they hold none."""
    config = results.get("config")
    return config.get("model") if isinstance(config, Mapping) else None


def used_cache(results: Mapping[str, Any]) -> bool:
    """Whether a run's results say that it had a cache of answers."""
    config = results.get("config")
    return isinstance(config, Mapping) and bool(config.get("use_cache"))
