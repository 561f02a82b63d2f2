"""``hallu export``: its arguments and what each format needs."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from hallu_tasks.estimates.bootstrap import Bootstrap
from hallu_tasks.export import every_eval_ever, facts, hub
from hallu_tasks.files import whole_file
from hallu_tasks.runs.results import read

__all__ = ["FORMATS", "arguments", "run"]

FORMATS = {
    "hf-eval-results": ("dataset_id", "task_id"),
    "every-eval-ever": ("organization", "relationship"),
    "model-card": (),
}
"""Each format with the options it cannot do without."""

RELATIONSHIPS = ("first_party", "third_party", "collaborative", "other")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``hallu export``."""
    parser.add_argument("results", metavar="RESULTS", help="folder of --output_path, or a ..._results.json file")
    parser.add_argument("--format", required=True, choices=list(FORMATS), help="what to write")
    parser.add_argument(
        "--output",
        required=True,
        type=Path,
        metavar="PATH",
        help="a file; for every-eval-ever a folder, which gets data/",
    )
    parser.add_argument(
        "--model-id", metavar="ORG/NAME", help="the checkpoint's id on the Hub (default: what was loaded)"
    )
    parser.add_argument("--resamples", type=int, default=10_000, metavar="N", help="of the intervals (default: 10000)")
    one = parser.add_argument_group("hf-eval-results")
    one.add_argument("--dataset-id", metavar="ORG/NAME", help="the benchmark's data set on the Hub (never guessed)")
    one.add_argument("--task-id", metavar="NAME", help="the task of the benchmark, from its eval.yaml (never guessed)")
    one.add_argument("--task", metavar="NAME", help="the run's task whose score is written")
    one.add_argument("--metric", metavar="NAME", help="the metric that is written")
    two = parser.add_argument_group("every-eval-ever")
    two.add_argument("--organization", metavar="NAME", help="who ran the evaluation")
    two.add_argument("--relationship", choices=RELATIONSHIPS, help="of that organization to the model's developer")
    two.add_argument("--collection", default="lmms-eval-hallu", metavar="NAME", help="the folder below data/")


def run(given: argparse.Namespace) -> int:
    """``hallu export RESULTS --format ... --output PATH``.

    Raises `ValueError` for an option that the format needs, results that cannot be read, a run that does not say
    which method it used, and a file that cannot be written.
    """
    options = " and ".join(f"--{name.replace('_', '-')}" for name in FORMATS[given.format])
    if any(not getattr(given, name) for name in FORMATS[given.format]):
        raise ValueError(f"--format {given.format} needs {options}: what they say is not in the results")
    if given.format == "model-card" and given.output.exists():
        raise ValueError(
            f"--output {given.output} exists, and a model card is more than its scores; write another file and merge it"
        )
    exported = read(given.results)
    facts.notes(exported)  # before the work of the intervals
    repository = None if given.format == "hf-eval-results" else facts.repository(exported, given.model_id)
    results = facts.results(exported, Bootstrap(resamples=given.resamples))
    if not results:
        raise ValueError(f"{exported.file} holds no score")
    path = given.output
    if repository is None:
        text = hub.eval_results(exported, results, given.dataset_id, given.task_id, given.task, given.metric)
        whole_file.write(path, text)
    elif given.format == "model-card":
        whole_file.write(path, hub.model_card(exported, results, repository))
    else:
        source = every_eval_ever.Source(given.organization, given.relationship, given.collection)
        path = every_eval_ever.write(exported, results, repository, source, given.output, given.resamples)
    print(f"wrote {path}", file=sys.stderr)
    return 0
