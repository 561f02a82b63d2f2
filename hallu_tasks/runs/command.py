"""``hallu show``: what a run's results say about where they come from, its scores, and how to repeat it."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hallu_tasks.runs import scores
from hallu_tasks.runs.repeat import Repeat, repeat
from hallu_tasks.runs.results import Run, read
from hallu_tasks.runs.scores import Score
from registry import terminal

__all__ = ["arguments", "as_json", "as_text", "run"]

ABSENT = "not recorded"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``hallu show``."""
    parser.add_argument("results", metavar="RESULTS", help="folder of --output_path, or a ..._results.json file")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(given: argparse.Namespace) -> int:
    """``hallu show RESULTS``. Raises `ValueError` for a path without readable results."""
    shown = read(given.results, samples=False)
    print(as_json(shown) if given.json else as_text(shown, terminal.width()))
    return 0


def as_text(run: Run, width: int | None = None) -> str:
    """The settings a line each, a block of scores a task, the command that repeats the run last.

    Lines are folded to `width`, but for those of the command, which are there to be copied.
    """
    settings = list(_settings(run))
    size = max(len(name) for name, _ in settings)
    latest = f", the latest of {run.runs_count} runs" if run.runs_count > 1 else ""
    lines = [*terminal.folded(f"{run.file}{latest}", width), ""]
    for name, value in settings:
        lines += terminal.folded(f"{name.ljust(size)}  {value}", width, " " * (size + 2))
    lines.append("")
    for task, found in _by_task(scores.of(run)).items():
        lines += terminal.folded(_title(run, task), width, "    ")
        lines += [part for line in _aligned([_cells(score) for score in found]) for part in _fitted(line, width)]
        lines.append("")
    return "\n".join([*lines, "To repeat this run:", *_repeat_lines(repeat(run))])


def _fitted(line: str, width: int | None) -> list[str]:
    return terminal.folded(line, width, "      ")


def as_json(run: Run) -> str:
    """Everything, with unrounded numbers; ``settings`` is what the adapter recorded, as it recorded it."""
    again = repeat(run)
    value = {
        "results_file": str(run.file),
        "runs_count": run.runs_count,
        "model": run.model,
        "model_args": run.results["config"].get("model_args"),
        "date": run.results.get("date"),
        "settings": run.hallu,
        "tokens_per_second": run.tokens_per_second,
        "tasks": {
            task: {
                "decoding": _decoding(run, task),
                "documents": _documents(run, task),
                "scores": {
                    score.metric: {
                        "value": score.value,
                        "standard_error": score.error,
                        "standard_error_kind": score.error_kind,
                        "higher_is_better": score.higher_is_better,
                    }
                    for score in found
                },
            }
            for task, found in _by_task(scores.of(run)).items()
        },
        "repeat": {"setup": again.setup, "command": again.command, "warnings": again.warnings},
    }
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)


def _settings(run: Run) -> Iterator[tuple[str, str]]:
    hallu, config = run.hallu, run.results["config"]
    yield "model", run.model
    yield "model_args", str(config.get("model_args") or "none")
    cards = [
        f"{name} ({f'card {of}' if isinstance(of, int) else of})" for name, of in (hallu.get("cards") or {}).items()
    ]
    yield "method", " + ".join(cards) or hallu.get("method", ABSENT)
    yield "parameters", hallu.get("parameters", ABSENT) or "none"
    yield "checkpoint", str(hallu.get("pretrained") or run.results.get("model_name") or ABSENT)
    yield (
        "revision",
        ", ".join(
            str(part) for part in (hallu.get("revision", ABSENT), hallu.get("checkpoint_commit")) if part is not None
        ),
    )
    if hallu.get("checkpoint_files"):
        yield "checkpoint files", f"sha256 {hallu['checkpoint_files']}"
    for name in ("dtype", "attention", "system_prompt", "branch", "seed"):
        if hallu.get(name) not in (None, ""):
            yield name.replace("_", " "), str(hallu[name])
    yield "device", " ".join(str(hallu[name]) for name in ("device", "device_name") if hallu.get(name)) or ABSENT
    yield "batch size", str(hallu.get("batch_size") or config.get("batch_size") or ABSENT)
    yield "processes", _processes(hallu)
    yield "versions", ", ".join(f"{name} {of}" for name, of in (hallu.get("versions") or {}).items()) or ABSENT
    yield "python", str(hallu.get("python", ABSENT))
    yield "source", _source(hallu)
    for name, value in (hallu.get("environment") or {}).items():
        yield name, value
    yield "date", str(run.results.get("date", ABSENT))
    yield "tokens/s", ABSENT if run.tokens_per_second is None else f"{run.tokens_per_second:.1f}"


def _processes(hallu: Mapping[str, Any]) -> str:
    if "processes" not in hallu:
        return ABSENT
    machines = hallu.get("machines", 1)
    return f"{hallu['processes']}" + (f" on {machines} machines" if machines > 1 else "")


def _source(hallu: Mapping[str, Any]) -> str:
    if "git" not in hallu:
        return ABSENT
    git = hallu["git"]
    if git is None:
        return "an installed package"
    return f"commit {git['commit']}{', with changes that no commit holds' if git.get('dirty') else ''}"


def _by_task(found: Sequence[Score]) -> dict[str, list[Score]]:
    tasks: dict[str, list[Score]] = {}
    for score in found:
        tasks.setdefault(score.task, []).append(score)
    return tasks


def _title(run: Run, task: str) -> str:
    parts = []
    documents = _documents(run, task)
    if limited := documents["limited"]:
        parts.append(f"limited: {limited['answered']} of {limited['documents']} documents")
    elif documents["count"] is not None:
        parts.append(f"{documents['count']} documents")
    if documents["sha256"]:
        parts.append(f"sha256 {documents['sha256']}")
    if decoding := _decoding(run, task):
        parts.append(", ".join(f"{name}={value}" for name, value in decoding.items()))
    return f"{task}: {'; '.join(parts)}" if parts else task


def _documents(run: Run, task: str) -> dict[str, Any]:
    questions = (run.hallu.get("questions") or {}).get(task) or {}
    counted = ((run.results.get("n-samples") or {}).get(task) or {}).get("effective")
    cut = run.limited.get(task)
    return {
        "count": questions.get("documents", counted),
        "limited": cut and {"answered": cut[0], "documents": cut[1]},
        "sha256": questions.get("sha256"),
    }


def _decoding(run: Run, task: str) -> Mapping[str, Any]:
    return (run.results["configs"].get(task) or {}).get("generation_kwargs") or {}


def _cells(score: Score) -> tuple[str, str, str]:
    error = "" if score.error is None else f"± {score.error:.3g} ({score.error_kind} standard error)"
    return f"  {score.metric}", f"{score.value:.4g}", error


def _aligned(rows: Sequence[tuple[str, str, str]]) -> Iterator[str]:
    first, second = (max(len(row[column]) for row in rows) for column in (0, 1))
    for name, value, error in rows:
        yield f"{name.ljust(first)}  {value.rjust(second)}  {error}".rstrip()


def _repeat_lines(again: Repeat) -> Iterator[str]:
    yield from (f"  # warning: {warning}" for warning in again.warnings)
    yield from (f"  {line}" for line in again.setup)
    yield f"  {again.command}"
