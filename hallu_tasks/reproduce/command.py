"""``hallu reproduce``: its arguments, the runs it starts, and what it prints."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from hallu_tasks.benchmarks.command import lacking
from hallu_tasks.files import whole_file
from hallu_tasks.reproduce import measured, plan, text
from hallu_tasks.reproduce.plan import Arm, Entry
from hallu_tasks.reproduce.text import Result
from hallu_tasks.sweep import runs
from hallu_tasks.sweep.command import run_all
from hallu_tasks.sweep.runs import Job
from registry import terminal
from registry.plugins import lazy
from registry.runs.outcome import SUFFIX

__all__ = ["arguments", "run"]

DESCRIPTION = """\
The runs behind a method's published numbers, and published and measured numbers side by side.

A method's card holds the tables that papers state of it. Each row becomes two runs of lmms-eval, the plain model's and
the method's, with the row's checkpoint, images, length and decoding. What the publication leaves open is listed with
what is used for it; a row that no task or option here expresses says which of its fields that is. Nothing is run
without --run.

Published numbers come from the harness of their publication. They are shown in a block of their own, each source in its
own, and differences are taken inside a block alone: method - plain model. What is compared is whether the published
difference lies in the interval of the measured one.
"""
EXAMPLES = """\
examples:
  hallu reproduce                    every row of every card, and whether it can be run
  hallu reproduce vhr                the rows of one method
  hallu reproduce vhr --on llava     the commands for its rows of LLaVA
  hallu reproduce vhr --on llava --only 1,4 --run --batch_size 16
                                     run two of them, then show both; the same command goes on where it was stopped
  hallu reproduce vhr --on llava --only 1,4
                                     show them again, from the results that are there
  hallu reproduce vhr --on llava --only 1 --model_args pretrained=demo --limit 16 --run
                                     the whole way on the demo model, without network; this is no reproduction
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``hallu reproduce``."""
    parser.description, parser.epilog = DESCRIPTION, EXAMPLES
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "method", metavar="METHOD", nargs="?", help="a method with published numbers (default: list all)"
    )
    parser.add_argument("--on", metavar="FAMILY", help="the model family of the published model, e.g. llava")
    parser.add_argument("--only", metavar="ROW,ROW", help="these rows alone, by their numbers")
    parser.add_argument("--run", action="store_true", dest="start", help="run what is not there yet, then show both")
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("results/reproduce"),
        metavar="DIR",
        help="where runs are made and looked for (default: results/reproduce); methods share their control arms there",
    )
    parser.add_argument(
        "--model_args",
        default="",
        help="as lmms-eval takes it, without parameters of the method; pretrained=demo is no reproduction",
    )
    parser.add_argument("--batch_size", metavar="N", help="of the runs, as lmms-eval takes it")
    parser.add_argument("--limit", metavar="N", help="of documents a task, for a trial")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="runs at a time (default: 1)")
    parser.add_argument(
        "--keep-finished",
        action="store_true",
        help="keep finished runs although the code, a version, a card or the checkpoint has changed since",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write all of it to FILE")


def run(given: argparse.Namespace) -> int:
    """``hallu reproduce``. 2 where a run failed or data for it are missing, 130 where it was interrupted.

    Raises `ValueError` before the first run for a method, family or row that has no published numbers, and for folders
    that hold other runs.
    """
    _check(given)
    if given.method is None or given.on is None:
        methods = lazy.interventions().names() if given.method is None else [given.method]
        found = [entry for name in methods for entry in plan.entries(lazy.card(name))]
        if given.method is not None and not found:
            raise ValueError(_without_numbers(given.method))
        _write(given, [Result(entry) for entry in found], ())
        print(text.listing(found, terminal.width()))
        return 0
    demo = plan.is_demo(given.model_args)
    entries = plan.entries(lazy.card(given.method), demo=demo)
    if not entries:
        raise ValueError(_without_numbers(given.method))
    entries = [plan.prepared(one, given.model_args, _more(given)) for one in plan.chosen(entries, given.on, given.only)]
    _require_own(given.output)
    waiting = [arm for arm in _arms(entries) if measured.read(arm, given.output) is None]
    missing = lacking(dict.fromkeys(task for arm in waiting for task in arm.tasks.split(",")))
    failed: list[tuple[Job, str]] = []
    if given.start:
        if missing:
            raise ValueError("\n".join(["data for these runs are missing", *missing, "`hallu data check` says more"]))
        if not any(entry.arms for entry in entries):
            problems = [f"{text.titled(entry)}: {'; '.join(entry.problems)}" for entry in entries]
            raise ValueError("\n".join(["none of these rows can be run", *problems]))
        ended = run_all(_jobs(entries, given.output), given.output, given.jobs, given.keep_finished)
        if ended is None:
            return 130
        failed = ended
    results = [_result(entry, given.output) for entry in entries]
    _write(given, results, missing)
    print("\n".join(_lines(given, results, missing, demo)))
    for job, problem in failed:
        print(f"hallu: {job.cell.text} failed: {problem}", file=sys.stderr)
    return 2 if failed else 0


def _check(given: argparse.Namespace) -> None:
    if given.method is not None:
        lazy.interventions().target(given.method)
    elif given.on is not None:
        raise ValueError(f"--on {given.on}: name a method in front of it; `hallu reproduce` lists all")
    if given.on is None:
        wanted = [f"--{name}" for name in ("only", "model_args", "batch_size", "limit") if getattr(given, name)]
        if given.start or wanted:
            options = ", ".join([*(["--run"] if given.start else []), *wanted])
            raise ValueError(f"{options}: name a method and its family, e.g. hallu reproduce vhr --on llava {options}")
    if given.jobs < 1:
        raise ValueError(f"--jobs {given.jobs}: a whole number of at least 1")
    if "," in str(given.output):
        raise ValueError(f"--output {given.output}: lmms-eval cuts it at the comma; name a folder without one")
    if given.limit is not None and not _is_limit(given.limit):
        raise ValueError(f"--limit {given.limit}: a number of documents a task, at least 1, or a share of them below 1")
    if given.json is not None and not given.json.parent.is_dir():
        raise ValueError(f"--json {given.json}: the folder {given.json.parent} does not exist; create it")


def _without_numbers(method: str) -> str:
    having = ", ".join(name for name in lazy.interventions().names() if lazy.card(name).published)
    return f"{method}: its card has no published numbers, so there is nothing to reproduce; these have: {having}"


def _is_limit(text: str) -> bool:
    try:
        value = float(text)
    except ValueError:
        return False
    return 0 < value < 1 or (value >= 1 and value.is_integer())


def _more(given: argparse.Namespace) -> list[str]:
    """What both arms of every row get."""
    named = [("--batch_size", given.batch_size), ("--limit", given.limit)]
    return [part for name, value in named if value is not None for part in (name, value)]


def _require_own(output: Path) -> None:
    """Raise `ValueError` for an output folder that is a run's own."""
    if any(output.glob(f"*{SUFFIX}")) or any(output.glob(f"*/*{SUFFIX}")):
        raise ValueError(
            f"--output {output}: it is the output folder of a single run; name one of `hallu reproduce`, or a new one"
        )


def _arms(entries: Sequence[Entry]) -> Iterator[Arm]:
    """Every run once."""
    yield from {arm.folder: arm for entry in entries for arm in entry.arms}.values()


def _jobs(entries: Sequence[Entry], output: Path) -> list[Job]:
    """A job for every run, but for those that the printed commands have made: these are there."""
    found = []
    for arm in _arms(entries):
        job = Job(arm, output / arm.folder, ())
        if job.record.is_file() or measured.read(arm, output) is None:
            found += runs.jobs([arm], arm.tasks, output, arm.arguments)
    return found


def _result(entry: Entry, output: Path) -> Result:
    try:
        found = [measured.read(arm, output) for arm in entry.arms]
        both = [run for run in found if run is not None]
        if len(both) < 2:
            return Result(entry)
        files = tuple(str(run.file) for run in both)
        return Result(entry, tuple(measured.measure(entry, both)), limits=measured.limits(entry, both), files=files)
    except ValueError as error:
        return Result(entry, problem=str(error))


def _lines(given: argparse.Namespace, results: Sequence[Result], missing: Sequence[str], demo: bool) -> Iterator[str]:
    width = terminal.width()
    caution = terminal.folded(text.NOT_REPRODUCED, width) if demo else []
    yield from caution
    shown: dict[str, int] = {}
    for place, result in enumerate(results):
        yield from [""] if place or caution else []
        yield from text.commands(result, given.output, shown, width)
    if any(result.scores for result in results):
        yield from ("", *terminal.folded(text.BLOCKS, width))
    if missing:
        yield from ("", "Data that are missing here:", *(f"  {line}" for line in missing))
    yield from ["", *caution] if caution else []


def _write(given: argparse.Namespace, results: Sequence[Result], missing: Sequence[str]) -> None:
    if given.json is not None:
        value = text.as_data(results, given.output, demo=plan.is_demo(given.model_args), missing=missing)
        whole_file.write(given.json, json.dumps(value, indent=2, ensure_ascii=False) + "\n")
        print(f"wrote {given.json}", file=sys.stderr)
