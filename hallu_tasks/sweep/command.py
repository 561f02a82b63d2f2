"""``hallu sweep``: its arguments, its progress, and what it prints."""

from __future__ import annotations

import argparse
import functools
import itertools
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hallu_tasks import report
from hallu_tasks.benchmarks import table as benchmarks
from hallu_tasks.compare import compute, differences
from hallu_tasks.files import whole_file
from hallu_tasks.runs import results
from hallu_tasks.runs.results import Run
from hallu_tasks.sweep import arms, grid, runs, table
from hallu_tasks.sweep.runs import Job, Outcome
from hallu_tasks.sweep.table import Line, Point
from registry import terminal
from registry.plugins import model_ids
from registry.runs import source
from registry.task_search import task_names

__all__ = ["arguments", "run", "run_all"]

_OWN = ("--model", "--model_args", "--tasks", "--output_path", "--log_samples", "--config")
_LOG_LINES = 15
_CLEARED = "\r\x1b[K"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``hallu sweep``."""
    parser.usage = (
        "hallu sweep --model MODEL (--grid NAME=VALUE,VALUE [--grid ...] | --methods METHODS) --tasks TASKS [options] "
        "[-- ARGUMENT ...]"
    )
    parser.add_argument(
        "--model", required=True, help="model id with a method, e.g. llava_vhr; with --methods one without, llava_base"
    )
    parser.add_argument(
        "--model_args",
        default="",
        help="as lmms-eval takes it, without the parameters of --grid; with --methods, vhr.alpha=3 is for vhr alone",
    )
    kind = parser.add_mutually_exclusive_group(required=True)
    kind.add_argument(
        "--grid",
        action="append",
        metavar="NAME=VALUE,VALUE",
        help="a parameter of the method and its values (repeatable: every combination is run)",
    )
    kind.add_argument(
        "--methods",
        metavar="NAME,NAME",
        help="run the plain model and each of these methods, or all, and compare them as hallu compare does",
    )
    parser.add_argument(
        "--controls",
        action="store_true",
        help="with --methods: run the methods' shams too, and compare each method with its shams",
    )
    parser.add_argument("--tasks", required=True, help="as lmms-eval takes it")
    parser.add_argument(
        "--output", type=Path, default=Path("results/sweep"), metavar="FOLDER", help="a folder a setting is made there"
    )
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="runs at a time (default: 1)")
    parser.add_argument(
        "--keep-finished",
        action="store_true",
        help="keep finished runs although the code, a version, a card or the checkpoint has changed since",
    )
    parser.add_argument(
        "--plot",
        type=Path,
        metavar="FILE",
        help="draw CHAIR_s against recall, or with --methods what hallu compare draws: .png, .svg or .pdf",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--baseline", metavar="RESULTS", help="a run of the plain model, shown beside the settings")
    parser.add_argument("more", nargs="*", metavar="ARGUMENT", help="after --: further arguments of lmms-eval")


def run(given: argparse.Namespace) -> int:
    """``hallu sweep``. 2 where a run failed, 130 where it was interrupted.

    A run that is there already is made again where other code, versions, cards or checkpoint files made it, unless
    ``--keep-finished`` says otherwise. Raises `ValueError` before the first run for a grid the method does not take,
    tasks that nobody knows, folders of other runs, and files that cannot be written.
    """
    _check(given)
    if given.methods:
        cells = arms.cells(given.model, given.model_args, given.methods, given.controls)
    else:
        cells = grid.cells(given.model, given.model_args, given.grid)
    jobs = runs.jobs(cells, given.tasks, given.output, given.more)
    task_names.require(given.tasks, _included(given.more))
    baseline = results.read(given.baseline) if given.baseline else None
    failed = run_all(jobs, given.output, given.jobs, given.keep_finished)
    if failed is None:
        return 130
    complete = [job for job in jobs if job not in [one for one, _ in failed]]
    if complete and given.methods:
        _compare(given, complete)
    elif complete:
        _show(given, complete, baseline)
    for job, problem in failed:
        print(f"hallu: {job.cell.text} failed: {problem}", file=sys.stderr)
    return 2 if failed else 0


def run_all(jobs: Sequence[Job], output: Path, at_once: int, keep_finished: bool) -> list[tuple[Job, str]] | None:
    """Run the jobs that are not there yet, or were made by other code, and tell the progress.

    The jobs that failed, with their problems; ``None`` where it was interrupted. Raises `ValueError` while another
    sweep works in `output`.
    """
    with runs.locked(output) as lock, runs.requests_to_end() as asked:
        there = [job for job in jobs if runs.finished(job)]
        now = functools.cache(source.now)
        changed = {job.folder: why for job in there if (why := _outdated(job, now))}
        kept = [job for job in there if keep_finished or job.folder not in changed]
        progress = Progress(len(jobs), len(kept), at_once)
        for job in there:
            if job.folder in changed:
                progress.told(job, f"{'kept' if keep_finished else 'run again'}, {changed[job.folder]}")
        try:
            waiting = [job for job in jobs if job not in kept]
            runs.start_all(waiting, at_once, lock, asked, progress.done, progress.going)
        except KeyboardInterrupt:
            print("hallu: interrupted; the same command goes on from here", file=sys.stderr)
            return None
    return progress.failed


class Progress:
    """A line as each run ends, with the time that the others will take; the end of the log where one failed.

    A terminal's last line tells how far the present runs are.
    """

    def __init__(self, total: int, before: int, at_once: int) -> None:
        self.failed: list[tuple[Job, str]] = []
        self._total, self._ended, self._at_once = total, before, at_once
        self._seconds: list[float] = []
        self._live, self._shown = sys.stderr.isatty(), 0.0
        found = f", {before} of them are there already" if before else ""
        self._print(f"{total} runs{found}" + (f", {at_once} at a time" if at_once > 1 else ""))

    def done(self, outcome: Outcome) -> None:
        """Tell the end of a run."""
        self._ended += 1
        self._seconds.append(outcome.seconds)
        job, took = outcome.job, f"in {_duration(outcome.seconds)}"
        if outcome.problem is None:
            self._print(f"[{self._ended}/{self._total}] {job.cell.text}: done {took}{self._left()}")
            return
        self.failed.append((job, outcome.problem))
        self._print(f"[{self._ended}/{self._total}] {job.cell.text}: failed {took}: {outcome.problem}{self._left()}")
        log = job.log.read_text(encoding="utf-8", errors="replace").splitlines()
        for text in log[-_LOG_LINES:]:
            self._print(f"    {text}")
        self._print(f"    (the whole log: {job.log})")

    def told(self, job: Job, text: str) -> None:
        """Tell something of a setting."""
        self._print(f"{job.cell.text}: {text}")

    def going(self, present: Sequence[Job]) -> None:
        """Tell how far the runs are, once a second."""
        now = time.monotonic()
        if not self._live or now < self._shown + 1:
            return
        self._shown = now
        told = ", ".join(f"{job.cell.text} {runs.share(job)} %" for job in present)
        room = shutil.get_terminal_size().columns - 1
        print(f"{_CLEARED}{told[:room]}", end="", file=sys.stderr, flush=True)

    def _left(self) -> str:
        left = self._total - self._ended
        if not left:
            return ""
        seconds = sum(self._seconds) / len(self._seconds) * -(-left // self._at_once)
        return f"; {left} left, about {_duration(seconds)}"

    def _print(self, text: str) -> None:
        print(f"{_CLEARED if self._live else ''}{text}", file=sys.stderr, flush=True)


def _check(given: argparse.Namespace) -> None:
    if given.jobs < 1:
        raise ValueError(f"--jobs {given.jobs}: a whole number of at least 1")
    if own := [text for text in given.more if text.partition("=")[0] in _OWN]:
        raise ValueError(
            f"{own[0]} after --: hallu sweep sets it, so leave it out; allowed: any argument but {', '.join(_OWN)}"
        )
    if "," in str(given.output):
        raise ValueError(f"--output {given.output}: lmms-eval cuts it at the comma; name a folder without one")
    if given.methods and given.baseline:
        raise ValueError("--baseline: --methods runs the plain model itself; leave it out")
    if given.controls and not given.methods:
        raise ValueError("--controls: the shams are those of --methods; name the methods there, or leave it out")
    report.check(given.plot, None, None)


def _outdated(job: Job, now: Callable[[str | None, str], Mapping[str, Any]]) -> str | None:
    model, model_args = job.cell.model, job.cell.model_args
    return runs.outdated(
        job, grid.checkpoint_of(model, model_args), functools.partial(now, grid.method_of(model, model_args))
    )


def _included(more: Sequence[str]) -> list[Path]:
    """The folders that ``--include_path`` among the further arguments names."""
    values = [text.partition("=")[2] for text in more if text.startswith("--include_path=")]
    values += [value for name, value in itertools.pairwise(more) if name == "--include_path"]
    return [Path(part) for value in values for part in value.split(",")]


def _compare(given: argparse.Namespace, complete: Sequence[Job]) -> None:
    """The methods beside the plain model, which is the first of the runs."""
    if complete[0].cell.method != model_ids.CONTROL or len(complete) < 2:
        return
    found = compute.compare([results.read(str(job.folder)) for job in complete], controls=given.controls)
    report.write(found, given.plot, None, None)
    print(report.as_json(found) if given.json else report.as_text(found, terminal.width()))
    controls = ["--controls"] if given.controls else []
    again = shlex.join(["hallu", "compare", *(str(job.folder) for job in complete), *controls])
    print(f"again, as Markdown, LaTeX or a page: {again} --html FILE", file=sys.stderr)


def _show(given: argparse.Namespace, complete: Sequence[Job], baseline: Run | None) -> None:
    lines = []
    for job in complete:
        found = results.read(str(job.folder))
        lines.append(table.line(job.cell.text, job.cell.values, found))
        if baseline is not None and job is complete[0]:
            _warn(baseline, found)
    plain = [] if baseline is None else [table.line(baseline.model, {}, baseline)]
    print(table.as_json([*plain, *lines]) if given.json else table.text([*plain, *lines]))
    if given.plot is not None:
        _plot(given, lines, plain)


def _warn(baseline: Run, found: Run) -> None:
    """Say where the baseline is no fair one. All settings were run alike, so the first stands for them."""
    shared = {name: benchmarks.of(task.samples) for name, task in found.tasks.items() if name in baseline.tasks}
    known = {name: benchmark for name, benchmark in shared.items() if benchmark is not None}
    for difference in differences.find([baseline, found], known):
        text = difference.text(["the baseline", "the sweep"])
        print(f"hallu: warning: not the method alone differs: {text}", file=sys.stderr)


def _plot(given: argparse.Namespace, lines: Sequence[Line], plain: Sequence[Line]) -> None:
    tasks = table.points(lines)
    if not tasks:
        raise ValueError(
            f"--plot {given.plot}: no task has both chair_s and recall; sweep a CHAIR task, or leave it out"
        )
    from hallu_tasks.sweep import curve

    stars: dict[str, Point] = {task: points[0] for task, points in table.points(plain).items()}
    figure = curve.draw(f"{given.model}: hallucination against recall", tasks, stars)
    whole_file.write(given.plot, curve.encoded(figure, given.plot.suffix[1:]))
    print(f"wrote {given.plot}", file=sys.stderr)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
