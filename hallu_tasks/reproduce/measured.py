"""Published and measured numbers of one row: two blocks of numbers, each with a difference of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hallu_tasks.benchmark import Metric
from hallu_tasks.benchmarks import table
from hallu_tasks.compare import differences
from hallu_tasks.compare.comparison import ALPHA
from hallu_tasks.compare.compute import compare
from hallu_tasks.reproduce.plan import Arm, Entry
from hallu_tasks.reproduce.setting import parts, resolved
from hallu_tasks.runs import results
from hallu_tasks.runs.results import Run
from hallu_tasks.scoring import paired, strategies
from hallu_tasks.scoring.ratios import Ratio
from hallu_tasks.sweep import grid
from registry.arguments import params
from registry.runs.outcome import SUFFIX

__all__ = ["Score", "limits", "measure", "read"]

_DECODING = ("max_new_tokens", "do_sample", "num_beams", "temperature", "top_p", "top_k")
_UNITS = ("percent", "points")


@dataclass(frozen=True)
class Score:
    """One published number; `plain`, `method` and `published` are the table's, ``None`` where it states none.

    `measured` is ``None`` where no score of the runs is counted as the published number is. Its interval is of 95 %.
    """

    name: str
    label: str
    plain: float | None
    method: float
    measured: paired.Comparison | None

    @property
    def published(self) -> float | None:
        """The published difference, method - plain model, inside one table."""
        return None if self.plain is None else self.method - self.plain

    @property
    def inside(self) -> bool | None:
        """Whether the published difference lies in the interval of the measured one.

        ``None`` where one of the two is not there, or the interval says nothing: of too few images for any verdict, or
        of arms that are alike.
        """
        found = self.measured
        if found is None or found.interval is None or self.published is None:
            return None
        low, high = found.interval
        if found.units_count < paired.units_for(ALPHA) or low == high:
            return None
        return low <= self.published <= high


def read(arm: Arm, output: Path) -> Run | None:
    """The results of a run, ``None`` where there are none yet.

    Raises `ValueError` for the results of another run, and as `results.read` does.
    """
    folder = output / arm.folder
    if not any(folder.glob(f"*/*{SUFFIX}")):
        return None
    run = results.read(str(folder))
    if problem := next(_differing(run, arm), None):
        raise ValueError(f"{folder} holds another run: {problem}; give another --output, or delete that folder")
    return run


def measure(entry: Entry, runs: Sequence[Run], *, resamples: int = 10_000) -> list[Score]:
    """The row's numbers beside those of its two runs, the control arm's first.

    Over several image lists a score is the mean of the lists' scores, and an image is resampled with its captions in
    all lists. Raises `ValueError` for runs that differ in more than the method, as `compare` does; the decoding may
    differ where the method brings beams of its own.
    """
    control, method = entry.arms
    allowed = ["decoding"] if control.options != method.options else []
    if len(entry.setting.tasks) > 1:
        found = dict(_means(runs, entry.setting.tasks, resamples, allowed))
    else:
        blocks = compare(runs, allow_different=allowed, resamples=resamples).blocks
        block = next(one for one in blocks if one.task == entry.setting.tasks[0])
        found = {row.metric.name: (row.metric, row.contrasts[0].result) for row in block.rows if row.kind == "score"}
    scores = []
    for name, number in entry.row.numbers.items():
        metric, measured = found.get(name, (None, None))
        if metric is None or metric.unit not in _UNITS:
            measured = None  # A length in tokens is not one in words.
        label = metric.label if metric else name
        scores.append(Score(name, label, entry.row.baseline.get(name), number, measured))
    return scores


def limits(entry: Entry, runs: Sequence[Run]) -> str:
    """``4 of 500 documents of hallu_chair_s0``; empty for runs of all documents."""
    counts = {task: run.counts(task) for run in runs for task in parts(entry.setting.tasks) if task in run.limited}
    return ", ".join(f"{found[0]} of {found[1]} documents of {task}" for task, found in counts.items() if found)


def _differing(run: Run, arm: Arm) -> Iterator[str]:
    """What a run has otherwise than an arm."""
    if run.model != arm.model:
        yield f"its model is {run.model}, not {arm.model}"
    pretrained, wanted = run.hallu.get("pretrained"), grid.checkpoint_of(arm.model, arm.model_args)
    if pretrained is not None and str(pretrained) != wanted:
        yield f"its checkpoint is {pretrained}, not {wanted}"
    recorded = str(run.hallu.get("parameters") or "")
    for name, value in arm.own.items():
        text = params.canonical({name: value})
        if recorded and f",{text}," not in f",{recorded},":
            yield f"it has {recorded}, not {text}"
    for task in parts(tuple(arm.tasks.split(","))):
        if task not in run.tasks:
            yield f"it has no task {task}"
            continue
        kwargs = run.tasks[task].config.get("generation_kwargs")
        if kwargs is None:
            continue
        expected = {**resolved(task)["generation_kwargs"], **arm.options}
        for name in _DECODING:
            if _value(kwargs.get(name)) != _value(expected.get(name)):
                yield f"{task} has {name}={kwargs.get(name)}, not {expected.get(name)}"


def _value(value: Any) -> object:
    """A value that YAML and ``--gen_kwargs`` may spell in two ways."""
    if value is None:
        return None
    text = str(value)
    try:
        return float(text)
    except ValueError:
        return text.lower()


def _means(
    runs: Sequence[Run], tasks: Sequence[str], resamples: int, allowed: Sequence[str]
) -> Iterator[tuple[str, tuple[Metric, paired.Comparison]]]:
    kinds = {task: table.of(runs[0].tasks[task].samples) for task in tasks}
    shared = {task: kind for task, kind in kinds.items() if kind is not None}
    refused = [one for one in differences.find(runs, shared) if one.name not in allowed]
    if refused or len(shared) < len(tasks):
        raise ValueError(differences.refusal(refused, [run.model for run in runs]))
    kind = shared[tasks[0]]
    arms: list[dict[tuple[str, int], Mapping[str, Any]]] = [{} for _ in runs]
    for task in tasks:
        samples = [run.tasks[task].samples for run in runs]
        for document in differences.shared_documents(samples, kind):
            for arm, own in zip(arms, samples):
                arm[task, document] = kind.record(own[document]) or {}
    for metric in kind.metrics(arms[0].values()):
        if not isinstance(metric.statistic, Ratio):
            continue
        columns = dict.fromkeys((metric.statistic.numerator, *metric.statistic.denominator))
        prepared = [kind.documents(metric, arm) for arm in arms]  # type: ignore[arg-type]
        a, b = (strategies.apart(records, columns) for records, _ in prepared)
        mean = strategies.mean(metric.statistic, tasks)
        yield metric.name, (metric, paired.compare(a, b, statistic=mean, unit=prepared[0][1], resamples=resamples))
