"""``hallu compare``: its arguments, what it prints and what it writes."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from hallu_tasks.compare import differences
from hallu_tasks.compare.compute import compare
from hallu_tasks.compare.published import harnesses
from hallu_tasks.report import as_json, as_latex, as_markdown, as_text, check, write
from hallu_tasks.runs.results import read
from registry import terminal

__all__ = ["arguments", "run"]


def arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``hallu compare``."""
    parser.add_argument(
        "results", metavar="RESULTS", nargs="+", help="folder of --output_path, one an arm, or a ..._results.json file"
    )
    parser.add_argument("--baseline", metavar="NAME", help="the arm the others are compared with (default: the first)")
    parser.add_argument(
        "--all",
        action="store_true",
        help="also precision, mentions, unparsed answers, every subtask, and each of POPE's strategies where a run of "
        "their group shows their mean",
    )
    parser.add_argument(
        "--allow-different",
        metavar="NAME",
        action="append",
        choices=differences.NAMES,
        default=[],
        help=f"compare although the arms differ in this (repeatable): {', '.join(differences.NAMES)}",
    )
    parser.add_argument("--resamples", type=int, default=10_000, metavar="N", help="of the bootstrap (default: 10000)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the bootstrap (default: 0)")
    parser.add_argument(
        "--published",
        action="store_true",
        help="also what papers state of these methods, from other harnesses",
    )
    parser.add_argument(
        "--controls",
        action="store_true",
        help="also the difference of each arm to those of its method's shams that are among the arms, and the commands "
        "that would run the others; nothing is run",
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON")
    form.add_argument("--markdown", action="store_true", help="print a Markdown table")
    form.add_argument("--latex", action="store_true", help="print LaTeX tables for a paper, with booktabs")
    parser.add_argument(
        "--plot",
        metavar="FILE",
        type=Path,
        help="write the differences as a forest plot: .png, .svg or .pdf; for captions also FILE_frontier, CHAIR_i "
        "against recall beside the baseline's captions cut short",
    )
    parser.add_argument("--html", metavar="FILE", type=Path, help="write a page with the answers that changed sides")
    parser.add_argument(
        "--images",
        metavar="FOLDER",
        type=Path,
        help="where the page finds the benchmark's images, at any depth (default: where HALLU_DATA has the task's)",
    )


def run(given: argparse.Namespace) -> int:
    """``hallu compare RESULTS...``.

    Raises `ValueError` as `compare` does, and for files that cannot be written. Files are written when all that
    is asked for has been made.
    """
    check(given.plot, given.html, given.images)
    comparison = compare(
        [read(path) for path in given.results],
        baseline=given.baseline,
        allow_different=given.allow_different,
        every_metric=given.all,
        controls=given.controls,
        resamples=given.resamples,
        seed=given.seed,
    )
    if given.published:
        comparison = replace(comparison, published=harnesses(comparison.runs))
    forms = {"json": as_json, "markdown": as_markdown, "latex": as_latex}
    chosen = next((forms[name] for name in forms if getattr(given, name)), None)
    printed = chosen(comparison) if chosen else as_text(comparison, terminal.width())
    write(comparison, given.plot, given.html, given.images)
    print(printed)
    return 0
