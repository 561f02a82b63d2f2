"""What a sweep found: a line a setting, a table a task; and the points of the trade-off between CHAIR_s and recall."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

from hallu_tasks.benchmarks import table as benchmarks
from hallu_tasks.runs import scores
from hallu_tasks.runs.results import Run, Sample

__all__ = ["Line", "Point", "as_json", "line", "points", "text"]

_X, _Y = "recall", "chair_s"


@dataclass(frozen=True)
class Line:
    """One setting: `values` are the headline scores by task and metric."""

    name: str
    settings: Mapping[str, str]
    values: Mapping[str, Mapping[str, float]]
    tokens_per_second: float | None


@dataclass(frozen=True)
class Point:
    """One setting of one task in the plane of recall and CHAIR_s, in percent."""

    line: Line
    recall: float
    chair_s: float


def line(name: str, settings: Mapping[str, str], run: Run) -> Line:
    """The line of a run, whose samples say which of its scores are headlines; of unknown tasks all are shown."""
    values: dict[str, dict[str, float]] = {}
    shown = {task: _headlines(samples.samples) for task, samples in run.tasks.items()}
    for score in scores.of(run):
        headlines = shown.get(score.task)
        if headlines is None or score.metric in headlines:
            values.setdefault(score.task, {})[score.metric] = score.value
    return Line(name, settings, values, run.tokens_per_second)


def text(lines: Sequence[Line]) -> str:
    """Aligned columns; N/A where a run has no such score."""
    blocks = []
    for task in dict.fromkeys(task for one in lines for task in one.values):
        metrics = list(dict.fromkeys(name for one in lines for name in one.values.get(task, {})))
        rows = [["", *metrics, "tokens/s"]]
        for one in lines:
            found = one.values.get(task, {})
            rows.append([one.name, *(_number(found.get(name)) for name in metrics), _number(one.tokens_per_second)])
        blocks.append("\n".join([task, *_aligned(rows)]))
    return "\n\n".join(blocks)


def as_json(lines: Sequence[Line]) -> str:
    """A list of lines with all their fields; ``settings`` is empty for the baseline."""
    return json.dumps([asdict(one) for one in lines], indent=2)


def points(lines: Sequence[Line]) -> dict[str, list[Point]]:
    """For each task with both scores the settings in the order of the lines."""
    found: dict[str, list[Point]] = {}
    for one in lines:
        for task, values in one.values.items():
            if _X in values and _Y in values:
                found.setdefault(task, []).append(Point(one, values[_X], values[_Y]))
    return found


def _headlines(samples: Mapping[int, Sample]) -> set[str] | None:
    """Names of the metrics that matter most, None for the samples of an unknown task."""
    benchmark = benchmarks.of(samples)
    if benchmark is None:
        return None
    records = [benchmark.record(sample) or {} for sample in samples.values()]
    return {metric.name for metric in benchmark.metrics(records) if metric.headline}


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows)]
    for name, *cells in rows:
        numbers = (cell.rjust(width) for cell, width in zip(cells, widths[1:]))
        yield "  ".join([name.ljust(widths[0]), *numbers])


def _number(value: float | None) -> str:
    return "N/A" if value is None else f"{value:.1f}"
