"""``hallu score``: score the files of answers that other code wrote, without a model."""

from __future__ import annotations

import argparse

from hallu_tasks.benchmarks.table import SCORERS
from hallu_tasks.estimates.bootstrap import Bootstrap
from hallu_tasks.score import report

__all__ = ["arguments", "run"]

EXAMPLES = """\
examples:
{}

Each benchmark has its own help: hallu score chair --help
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``hallu score``."""
    form = argparse.RawDescriptionHelpFormatter
    parser.formatter_class = form
    parser.epilog = EXAMPLES.format("\n".join(f"  {scorer.example}" for scorer in SCORERS.values()))
    kinds = parser.add_subparsers(dest="benchmark", metavar="BENCHMARK", required=True)
    for name, scorer in SCORERS.items():
        kind = kinds.add_parser(
            name,
            help=scorer.summary,
            description=scorer.description,
            epilog=scorer.examples,
            formatter_class=form,
        )
        scorer.arguments(kind)
        kind.add_argument(
            "--resamples", type=int, default=10_000, metavar="N", help="of the bootstrap (default: 10000)"
        )
        kind.add_argument("--seed", type=int, default=0, metavar="N", help="of the bootstrap (default: 0)")
        kind.add_argument("--json", action="store_true", help="print JSON")


def run(given: argparse.Namespace) -> int:
    """``hallu score BENCHMARK``. Raises `ValueError` as `Scorer.score` does."""
    if given.seed < 0:
        raise ValueError(f"--seed {given.seed}: a whole number of at least 0, e.g. --seed 0")
    scorer = SCORERS[given.benchmark]
    found = scorer.score(given, Bootstrap(given.resamples, given.seed))
    result = {"warnings": [], "benchmark": scorer.title, **found}
    settings = {"confidence": 95.0, "resamples": given.resamples, "seed": given.seed}
    print(report.as_json({**result, **settings}) if given.json else report.as_text(result, scorer.lines(result)))
    return 0
