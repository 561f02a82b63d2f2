"""What every export states of a run: the model with its method, the scores with their intervals, the date."""

from __future__ import annotations

import math
import re
import zoneinfo
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from hallu_tasks.benchmark import Benchmark, Metric
from hallu_tasks.benchmarks import table as benchmarks
from hallu_tasks.estimates.bootstrap import Bootstrap
from hallu_tasks.runs import scores
from hallu_tasks.runs.results import Run
from hallu_tasks.runs.scores import Score
from hallu_tasks.scoring.paired import Estimate
from registry import DISTRIBUTION

__all__ = ["Result", "dated", "model_name", "notes", "repository", "results", "version"]

_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")
_SAME = 1e-6


@dataclass(frozen=True)
class Result:
    """One score. `metric` and `benchmark` are known for this package's tasks; `estimate` where its value is
    the one that lmms-eval wrote."""

    score: Score
    benchmark: Benchmark | None
    metric: Metric | None
    estimate: Estimate | None

    @property
    def unit(self) -> str:
        """percent, points, tokens, ... or unknown."""
        return self.metric.unit if self.metric else "unknown"


def notes(run: Run) -> str:
    """``method vhr (card 1): alpha=2,layers=1+4-7; lmms-eval-hallu 0.1.0, lmms-eval 0.7.3; float32``.

    Stands wherever a score does, so that a mitigated one does not pass for the plain model's, nor one of a limited run
    for the benchmark's. Raises `ValueError` for a run that does not say which method it used.
    """
    hallu = run.hallu
    if "method" not in hallu:
        raise ValueError(
            f"{run.file} does not record which method was used, so its scores could pass for the plain model's; "
            f"export runs of this package's models (`hallu models`), not of {run.model}"
        )
    method = "plain model, no mitigation method"
    if hallu["method"] != "none":
        cards = ", ".join(
            f"card {of}" if isinstance(of, int) else str(of) for of in (hallu.get("cards") or {}).values()
        )
        method = f"mitigation method {hallu['method']}{f' ({cards})' if cards else ''}: {hallu.get('parameters')}"
    used = ", ".join(f"{name} {of}" for name, of in (hallu.get("versions") or {}).items())
    git = hallu.get("git") or {}
    commit = f", commit {git['commit'][:12]}{' with changes' if git.get('dirty') else ''}" if git else ""
    cut = ", ".join(f"{task} {answered} of {every} documents" for task, (answered, every) in run.limited.items())
    limited = f"; limited: {cut}" if cut else ""
    software = used or f"{DISTRIBUTION} of an unknown version"
    return f"{method}; {software}{commit}; {hallu.get('dtype', 'unknown dtype')}{limited}"


def version(run: Run) -> str:
    """The package's version, "unknown" where it was not recorded."""
    return str((run.hallu.get("versions") or {}).get(DISTRIBUTION, "unknown"))


def repository(run: Run, given: str | None) -> str:
    """The checkpoint's id on the Hub: what was given, else what the run loaded.

    Raises `ValueError` for a folder or the demo model, which have no id.
    """
    name = given or str(run.hallu.get("pretrained") or "")
    if not _REPOSITORY.fullmatch(name) or (given is None and run.hallu.get("checkpoint_files")):
        option = f"--model-id {given}" if given else f"the checkpoint {name or 'of this run'}"
        raise ValueError(f"{option} is not an id on the Hub; give one as --model-id ORGANIZATION/NAME")
    return name


def model_name(run: Run, repository: str) -> str:
    """The id, with the method where there is one: ``org/name+vhr``. A mitigated model is another entry."""
    method = run.hallu.get("method", "none")
    return repository if method == "none" else f"{repository}+{method}"


def dated(run: Run) -> datetime | None:
    """When the run began, in UTC; ``None`` where lmms-eval's date or time zone cannot be read."""
    arguments = run.results["config"].get("resolved_cli_args") or {}
    try:
        zone = zoneinfo.ZoneInfo(arguments["timezone"])
        local = datetime.strptime(str(run.results["date"]), "%Y%m%d_%H%M%S")
    except (KeyError, TypeError, ValueError, OSError):
        return None
    return local.replace(tzinfo=zone).astimezone(timezone.utc)


def results(run: Run, bootstrap: Bootstrap) -> list[Result]:
    """Every score of the run; those of this package's tasks with an interval over images."""
    known = {task: _estimates(samples.samples, bootstrap) for task, samples in run.tasks.items()}
    found = []
    for score in scores.of(run):
        benchmark, estimates = known.get(score.task, (None, {}))
        metric, estimate = estimates.get(score.metric, (None, None))
        # What lmms-eval counted, such as half a pair that a limit left, the estimate may leave out.
        if estimate is not None and (estimate.value is None or not _same(estimate.value, score.value)):
            estimate = None
        found.append(Result(score, benchmark, metric, estimate))
    return found


def _estimates(
    samples: Mapping[int, Any], bootstrap: Bootstrap
) -> tuple[Benchmark | None, dict[str, tuple[Metric, Estimate]]]:
    benchmark = benchmarks.of(samples)
    if benchmark is None:
        return None, {}
    records = benchmark.scored({document: benchmark.record(sample) or {} for document, sample in samples.items()})
    found = {}
    for metric in benchmark.metrics(records.values()):
        prepared, unit = benchmark.documents(metric, records)
        found[metric.name] = (metric, bootstrap.score(metric, prepared, unit).estimate)
    return benchmark, found


def _same(a: float, b: float) -> bool:
    return math.isclose(a, b, rel_tol=_SAME, abs_tol=_SAME)
