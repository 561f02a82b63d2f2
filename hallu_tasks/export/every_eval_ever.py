"""The every_eval_ever format, version 0.3.0: one JSON a run with its scores, one JSONL with its samples."""

from __future__ import annotations

import ast
import hashlib
import json
import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from hallu_tasks.benchmark import Benchmark
from hallu_tasks.export import facts, required
from hallu_tasks.export.facts import Result
from hallu_tasks.files import whole_file
from hallu_tasks.runs.repeat import repeat
from hallu_tasks.runs.results import Run, Sample
from registry import DISTRIBUTION
from registry.cards.parameter import show

__all__ = ["SCHEMA", "Source", "write"]

SCHEMA = "0.3.0"


@dataclass(frozen=True)
class Source:
    """Who evaluated: `relationship` to the model's developer as the format spells it."""

    organization: str
    relationship: str
    collection: str


_HIGHEST = {"percent": 100.0, "points": 200.0}


def write(run: Run, results: Sequence[Result], repository: str, source: Source, folder: Path, resamples: int) -> Path:
    """Write both files under ``folder/data/<collection>/<developer>/<model>/`` and return the JSON's path.

    The same run gives the same names and contents. Raises `ValueError` for a run whose date cannot be read.
    """
    date = facts.dated(run)
    if date is None:
        raise ValueError(f"{run.file}: its date cannot be read, and every_eval_ever identifies a run by it")
    stamp, model = str(int(date.timestamp())), facts.model_name(run, repository)
    identity = f"{source.collection}/{model}/{stamp}"
    seed = hashlib.sha256(f"{identity} {json.dumps(run.hallu, sort_keys=True)}".encode()).digest()
    name = uuid.UUID(bytes=seed[:16], version=4)
    place = PurePosixPath("data", *(_safe(part) for part in (source.collection, *model.split("/", 1))))

    lines = list(_samples(run, results, identity, model))
    samples = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines).encode()
    aggregate: dict[str, Any] = {
        "schema_version": SCHEMA,
        "evaluation_id": identity,
        "evaluation_timestamp": date.isoformat(),
        "retrieved_timestamp": stamp,
        "source_metadata": {
            "source_name": DISTRIBUTION,
            "source_type": "evaluation_run",
            "source_organization_name": source.organization,
            "evaluator_relationship": source.relationship,
            "additional_details": {"notes": facts.notes(run)},
        },
        "eval_library": {
            "name": DISTRIBUTION,
            "version": facts.version(run),
            "additional_details": _strings(run.hallu.get("versions") or {}),
        },
        "model_info": _model(run, repository, model),
        "evaluation_results": [_result(run, result, date.isoformat(), resamples) for result in results],
    }
    if lines:
        aggregate["detailed_evaluation_results"] = {
            "format": "jsonl",
            "file_path": str(place / f"{name}_samples.jsonl"),
            "hash_algorithm": "sha256",
            "checksum": hashlib.sha256(samples).hexdigest(),
            "total_rows": len(lines),
        }
    required.check_aggregate(aggregate)
    for line in lines:
        required.check_sample(line)
    # The samples first: the JSON, which names them, is there only when they are.
    if lines:
        whole_file.write(folder / place / f"{name}_samples.jsonl", samples)
    path = folder / place / f"{name}.json"
    whole_file.write(path, json.dumps(aggregate, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
    return path


def _model(run: Run, repository: str, model: str) -> dict[str, Any]:
    hallu = run.hallu
    settings = {
        "method": hallu["method"], "parameters": hallu.get("parameters"), "base_model": repository,
        "revision": hallu.get("checkpoint_commit") or hallu.get("revision"), "dtype": hallu.get("dtype"),
        "attention": hallu.get("attention"), "device": hallu.get("device_name"), "notes": facts.notes(run),
    }  # fmt: skip
    return {
        "name": model.rpartition("/")[2],
        "id": model,
        "developer": repository.partition("/")[0],
        "inference_engine": {
            "name": "transformers",
            "version": str((hallu.get("versions") or {}).get("transformers", "unknown")),
        },
        "additional_details": {
            "deployment_type": "self_deployed",
            "model_availability": "open_weights",
            **_strings(settings),
        },
    }


def _result(run: Run, result: Result, date: str, resamples: int) -> dict[str, Any]:
    score, metric = result.score, result.metric
    direction = metric.direction if metric else {True: "higher", False: "lower", None: None}[score.higher_is_better]
    details: dict[str, Any] = {"score": score.value, "details": {"notes": facts.notes(run)}}
    if uncertainty := _uncertainty(result, resamples):
        details["uncertainty"] = uncertainty
    return {
        "evaluation_result_id": f"{score.task}.{score.metric}",
        "evaluation_name": score.task,
        "evaluation_timestamp": date,
        "source_data": _data(run, result),
        "metric_config": {
            "evaluation_description": f"{result.benchmark.title if result.benchmark else score.task}: {score.metric}",
            "metric_id": f"{score.task}.{score.metric}",
            "metric_name": metric.label if metric else score.metric,
            "metric_unit": result.unit,
            "lower_is_better": direction == "lower",
            "score_type": "continuous",
            "min_score": 0.0,
            "max_score": _highest(result),
            **({} if direction else {"additional_details": {"direction": "neither is better"}}),
        },
        "score_details": details,
        "generation_config": _generation(run, score.task),
    }


def _uncertainty(result: Result, resamples: int) -> dict[str, Any]:
    estimate, score = result.estimate, result.score
    if estimate is not None and estimate.interval is not None:
        low, high = estimate.interval
        level = estimate.confidence / 100
        interval = {"lower": low, "upper": high, "confidence_level": level, "method": estimate.method}
        drawn = {"num_bootstrap_samples": resamples} if "bootstrap" in estimate.method else {}
        return {"confidence_interval": interval, "num_samples": estimate.units_count, **drawn}
    if score.error is not None:
        return {"standard_error": {"value": score.error, "method": str(score.error_kind)}}
    return {}


def _highest(result: Result) -> float | str | None:
    if result.metric is None:
        return None
    if result.unit == "points":
        return _HIGHEST["points"] * len(result.metric.subtasks)
    return _HIGHEST.get(result.unit, "Infinity")


def _data(run: Run, result: Result) -> dict[str, Any]:
    task = result.score.task
    config = run.results["configs"].get(task) or {}
    questions = (run.hallu.get("questions") or {}).get(task) or {}
    details = _strings({"dataset_path": config.get("dataset_path"), "questions_sha256": questions.get("sha256")})
    data = {"dataset_name": result.benchmark.title if result.benchmark else task, "additional_details": details}
    path = str(config.get("dataset_path") or "")
    if not re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", path):
        return {**data, "source_type": "other"}
    split = config.get("test_split") or config.get("validation_split")
    return {
        **data,
        "source_type": "hf_dataset",
        "hf_repo": path,
        **({"hf_split": str(split)} if split else {}),
        **({"samples_number": len(run.tasks[task].samples)} if task in run.tasks else {}),
    }


def _generation(run: Run, task: str) -> dict[str, Any]:
    options = (run.results["configs"].get(task) or {}).get("generation_kwargs") or {}
    named = {"temperature": "temperature", "top_p": "top_p", "top_k": "top_k", "max_new_tokens": "max_tokens"}
    arguments = {new: options[name] for name, new in named.items() if isinstance(options.get(name), (int, float))}
    return {
        "generation_args": {**arguments, "execution_command": repeat(run).command},
        "additional_details": {name: show(value) for name, value in options.items() if name not in named},
    }


def _samples(run: Run, results: Sequence[Result], identity: str, model: str) -> Iterator[dict[str, Any]]:
    """A line for each sample of this package's tasks, under the metric that one sample decides most directly."""
    known = {result.score.task: result.benchmark for result in results if result.benchmark is not None}
    written = {(result.score.task, result.score.metric) for result in results}
    for task, benchmark in known.items():
        for document, sample in sorted(run.tasks[task].samples.items()):
            line = _sample(task, document, sample, benchmark, written)
            yield {"schema_version": SCHEMA, "evaluation_id": identity, "model_id": model, **line}


def _sample(
    task: str, document: int, sample: Sample, benchmark: Benchmark, written: set[tuple[str, str]]
) -> dict[str, Any]:
    record, per_sample = benchmark.record(sample) or {}, benchmark.per_sample
    metric, score, reference = per_sample.metric(record), per_sample.score(record), _reference(sample.target)
    rule = str(record.get(benchmark.rule)) if benchmark.rule else benchmark.title
    return {
        "evaluation_name": task,
        **({"evaluation_result_id": f"{task}.{metric}"} if (task, metric) in written else {}),
        "sample_id": str(document),
        "sample_hash": hashlib.sha256("".join([sample.prompt, *reference]).encode()).hexdigest(),
        "interaction_type": "single_turn",
        "input": {"raw": sample.prompt, "reference": reference},
        "output": {"raw": [sample.answer]},
        "answer_attribution": [
            {
                "turn_idx": 0,
                "source": "output.raw",
                "extracted_value": sample.answer,
                "extraction_method": rule,
                "is_terminal": True,
            }
        ],
        "evaluation": {"score": score, "is_correct": score == per_sample.best},
        "metadata": {"image": str(record.get(benchmark.image)), "metric": metric},
    }


def _reference(target: str) -> list[str]:
    """The answers of a target; lmms-eval writes a list as Python spells it."""
    if target.startswith("["):
        try:
            return [str(one) for one in ast.literal_eval(target)]
        except (SyntaxError, ValueError):
            return [target]
    return [target]


def _strings(values: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in values.items() if value is not None}


def _safe(name: str) -> str:
    return re.sub(r"[^\w.+-]", "_", name)
