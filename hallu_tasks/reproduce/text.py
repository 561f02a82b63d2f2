"""What ``hallu reproduce`` prints: what there is, the commands, and published and measured numbers side by side."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hallu_tasks.report import cells
from hallu_tasks.reproduce.measured import Score
from hallu_tasks.reproduce.plan import Entry
from registry import terminal

__all__ = ["BLOCKS", "NOT_REPRODUCED", "Result", "as_data", "commands", "listing", "titled"]

NOT_REPRODUCED = (
    "This is no reproduction: the demo model and its tasks stand in the place of the published model and benchmarks."
)
BLOCKS = (
    "Published and measured numbers come from two harnesses, and so do those of two sources. Differences are taken "
    "inside each block, method - plain model, and never across blocks."
)

_INSIDE = {True: "inside", False: "outside", None: "cannot be said"}


@dataclass(frozen=True)
class Result:
    """What is known of an entry: its `scores` where both runs are there, else `problem`, or neither.

    `limits` says of how many documents they are, where not of all.
    """

    entry: Entry
    scores: tuple[Score, ...] = ()
    problem: str = ""
    limits: str = ""
    files: tuple[str, ...] = ()


def listing(entries: Iterable[Entry], width: int | None) -> str:
    """A line for each published row: where it is from, what it is of, and whether it can be run."""
    rows = [
        (
            entry.method,
            str(entry.number),
            entry.model.family if entry.model else "?",
            entry.row.protocol.benchmark or "?",
            entry.row.source,
            f"{entry.row.model}, {entry.row.setting}",
            f"no, {'; '.join(problem.partition(':')[0] for problem in entry.problems)}" if entry.problems else "yes",
        )
        for entry in entries
    ]
    head = ("METHOD", "ROW", "FAMILY", "BENCHMARK", "SOURCE", "MODEL AND SETTING", "CAN BE RUN")
    return terminal.table(head, rows, width)


def titled(entry: Entry) -> str:
    """``1. VHR paper, LLaVA-1.5-7B: CHAIR, 500 COCO val2014 images, greedy``."""
    return f"{entry.number}. {entry.row.source}, {entry.row.model}: {entry.row.setting}"


def commands(result: Result, output: Path, shown: dict[str, int], width: int | None) -> Iterator[str]:
    """The lines of an entry: what is published, what is not stated, its commands, and both numbers where measured.

    `shown` are the commands so far, each with the row that printed it; a run is printed once.
    """
    entry = result.entry
    yield from terminal.folded(titled(entry), width, "   ")
    if not result.scores:
        yield from terminal.folded(f"   published: {_published(entry)}", width, "     ")
    if entry.problems:
        for problem in entry.problems:
            yield from terminal.folded(f"   cannot be run: {problem}", width, "     ")
        return
    assert entry.model is not None
    if entry.model.open:
        used = f"{entry.model.open} (here {entry.model.checkpoint})"
        yield from terminal.folded(f"   not stated: the model's {used}", width, "     ")
    for one in entry.setting.unstated:
        yield from terminal.folded(f"   not stated: {one.field} (here {one.used})", width, "     ")
    for arm in entry.arms:
        line = arm.command(output)
        if line in shown:
            yield f"   # {arm.name}: the run of row {shown[line]}"
        else:
            shown[line] = entry.number
            yield f"   {line}"
    yield f"   {entry.compare(output)}"
    if len(entry.setting.tasks) > 1 and not result.scores:
        yield "   # compares list by list; this command shows the mean over the lists once both runs are there"
    if result.problem:
        yield from terminal.folded(f"   not measured: {result.problem}", width, "     ")
    if result.scores:
        yield from _side_by_side(result, width)


def _published(entry: Entry) -> str:
    """``chair_s 49.68 -> 33.32``, or the method's number alone where the table has no plain model."""
    baseline = entry.row.baseline
    parts = [
        f"{name} {baseline[name]:g} -> {number:g}" if name in baseline else f"{name} {number:g}"
        for name, number in entry.row.numbers.items()
    ]
    return ", ".join(parts) + ("" if baseline else " (the table has no plain model)")


def _side_by_side(result: Result, width: int | None) -> Iterator[str]:
    entry = result.entry
    if result.limits:
        yield from terminal.folded(f"   measured on {result.limits} only", width, "     ")
    head = ("plain model", entry.method, "difference")
    published = [_published_row(score) for score in result.scores]
    measured = [_measured_row(score) for score in result.scores]
    for block in (
        terminal.table((f"published ({entry.row.source})", *head), published, width),
        terminal.table(("measured (95 % intervals)", *head, "published difference in the interval"), measured, width),
    ):
        yield from ("", *(f"   {line}" for line in block.splitlines()))


def _published_row(score: Score) -> tuple[str, ...]:
    plain = "not stated" if score.plain is None else f"{score.plain:g}"
    change = "" if score.published is None else f"{score.published:+.4g}"
    return (score.label, plain, f"{score.method:g}", change)


def _measured_row(score: Score) -> tuple[str, ...]:
    found = score.measured
    if found is None:
        return (score.label, "not measured in this unit", "", "", "")
    change = "N/A" if found.difference is None else f"{found.difference:+.1f} {cells.interval(found.interval)}"
    said = "" if score.published is None else _INSIDE[score.inside]
    return (score.label, cells.estimate(found.a), cells.estimate(found.b), change, said)


def as_data(results: Sequence[Result], output: Path, *, demo: bool, missing: Sequence[str]) -> dict[str, Any]:
    """All of it, for ``--json``."""
    return {
        "reproduction": not demo,
        "note": NOT_REPRODUCED if demo else BLOCKS,
        "missing_data": list(missing),
        "rows": [_data(result, output) for result in results],
    }


def _data(result: Result, output: Path) -> Mapping[str, Any]:
    entry = result.entry
    return {
        "row": entry.number,
        "method": entry.method,
        "family": entry.model.family if entry.model else None,
        "checkpoint": entry.model.checkpoint if entry.model else None,
        "source": entry.row.source,
        "model": entry.row.model,
        "setting": entry.row.setting,
        "published": {"plain": dict(entry.row.baseline), "method": dict(entry.row.numbers)},
        "problems": list(entry.problems),
        "not_stated": {one.field: one.used for one in entry.setting.unstated},
        "tasks": list(entry.setting.tasks),
        "commands": [*(arm.command(output) for arm in entry.arms), *([entry.compare(output)] if entry.arms else [])],
        "results": list(result.files),
        "limits": result.limits or None,
        "not_measured": result.problem or None,
        "scores": [_score(score) for score in result.scores],
    }


def _score(score: Score) -> Mapping[str, Any]:
    found = score.measured
    return {
        "score": score.name,
        "published": {"plain": score.plain, "method": score.method, "difference": score.published},
        "measured": None
        if found is None
        else {
            "plain": {"value": found.a.value, "interval": found.a.interval},
            "method": {"value": found.b.value, "interval": found.b.interval},
            "difference": found.difference,
            "interval": found.interval,
        },
        "published_difference_in_interval": score.inside,
    }
