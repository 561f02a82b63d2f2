"""The Hub's formats: ``.eval_results/*.yaml`` and a model card's ``model-index``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import yaml

from hallu_tasks.export import facts
from hallu_tasks.export.facts import Result
from hallu_tasks.runs.results import Run

__all__ = ["eval_results", "model_card"]

_TASK_TYPE = "image-text-to-text"


def eval_results(
    run: Run, results: Sequence[Result], dataset_id: str, task_id: str, task: str | None, metric: str | None
) -> str:
    """The YAML of one score on one benchmark of the Hub.

    `dataset_id` and `task_id` name the benchmark as its ``eval.yaml`` does; they cannot be told from a task's name.
    Raises `ValueError` where `task` and `metric` do not name one score.
    """
    result = _one(results, task, metric)
    date = facts.dated(run)
    entry: dict[str, Any] = {
        "dataset": {"id": dataset_id, "task_id": task_id},
        "value": result.score.value,
        **({"date": date.isoformat().replace("+00:00", "Z")} if date else {}),
        "notes": f"{facts.notes(run)}; {result.score.task} {result.score.metric}{_interval(result)}",
    }
    return yaml.safe_dump([entry], sort_keys=False, allow_unicode=True, width=1000)


def model_card(run: Run, results: Sequence[Result], repository: str) -> str:
    """A model card's metadata block with the run's scores as ``model-index``, the method in each metric's name."""
    from huggingface_hub import EvalResult
    from huggingface_hub.repocard_data import eval_results_to_model_index

    noted, method = facts.notes(run), run.hallu["method"]
    entries = []
    for result in results:
        score, config = result.score, run.results["configs"].get(result.score.task) or {}
        label = result.metric.label if result.metric else score.metric
        entries.append(
            EvalResult(
                task_type=_TASK_TYPE,
                dataset_type=score.task,
                dataset_name=f"{result.benchmark.title} ({score.task})" if result.benchmark else score.task,
                dataset_split=config.get("test_split") or config.get("validation_split"),
                metric_type=score.metric,
                metric_value=score.value,
                metric_name=label if method == "none" else f"{label} with {method}",
                metric_config=f"{noted}{_interval(result)}",
            )
        )
    index = eval_results_to_model_index(facts.model_name(run, repository), entries)
    block = yaml.safe_dump({"model-index": index}, sort_keys=False, allow_unicode=True, width=1000)
    return f"---\n{block}---\n"


def _one(results: Sequence[Result], task: str | None, metric: str | None) -> Result:
    fitting = [
        result for result in results if task in (None, result.score.task) and metric in (None, result.score.metric)
    ]
    if len(fitting) != 1:
        allowed = ", ".join(f"--task {one.score.task} --metric {one.score.metric}" for one in fitting or results)
        number = "several scores fit" if fitting else "no score fits"
        raise ValueError(f"hf-eval-results holds one score a file, and {number}; choose one of {allowed}")
    return fitting[0]


def _interval(result: Result) -> str:
    estimate = result.estimate
    if estimate is not None and estimate.interval is not None:
        low, high = estimate.interval
        return f"; {estimate.confidence:g} % interval [{low:.2f}, {high:.2f}] ({estimate.method})"
    score = result.score
    return "" if score.error is None else f"; standard error {score.error:.3g} ({score.error_kind})"
