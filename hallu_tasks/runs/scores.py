"""The scores of a run as lmms-eval wrote them."""

from __future__ import annotations

import math
from dataclasses import dataclass

from hallu_tasks.runs.results import Run

__all__ = ["Score", "of"]

# The standard errors that lmms-eval may write, the fittest first: over images, bootstrapped, of independent samples.
_ERRORS = ("clustered", "", "clt")


@dataclass(frozen=True)
class Score:
    """One number of a task or group. `higher_is_better` and `error` are ``None`` where lmms-eval states none.

    `error` is a standard error and `error_kind` its kind: clustered, bootstrap or clt.
    """

    task: str
    metric: str
    value: float
    error: float | None
    error_kind: str | None
    higher_is_better: bool | None


def of(run: Run) -> list[Score]:
    """Every number that stands under ``results``, in the order of the file."""
    found = []
    better = run.results.get("higher_is_better") or {}
    for task, entries in (run.results.get("results") or {}).items():
        for key, value in (entries or {}).items():
            metric, comma, kept = key.partition(",")
            if not comma or "_stderr" in metric or not _is_number(value):
                continue
            error, kind = _error(entries, metric, kept)
            name = metric if kept == "none" else f"{metric} ({kept})"
            found.append(Score(task, name, float(value), error, kind, (better.get(task) or {}).get(metric)))
    return found


def _error(entries: dict[str, object], metric: str, kept: str) -> tuple[float | None, str | None]:
    for kind in _ERRORS:
        error = entries.get(f"{metric}_stderr{'_' * bool(kind)}{kind},{kept}")
        if _is_number(error):
            return float(error), kind or "bootstrap"  # type: ignore[arg-type]
    return None, None


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
