"""Read what a run of lmms-eval left in its output folder: the settings, and every document's records.

A run is ``<folder>/<checkpoint>/<timestamp>_results.json`` with ``<timestamp>_samples_<task>.jsonl`` beside it,
where ``<folder>`` is what ``--output_path`` named and the samples are there with ``--log_samples``.
What lmms-eval calls the parts of these files is known here.
"""

from __future__ import annotations

import json
import math
import reprlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from registry.runner.answers import NO_MARGIN, Margin, margin_in
from registry.runner.names import samples_file
from registry.runs import outcome
from registry.runs.outcome import SUFFIX

__all__ = ["Run", "Sample", "TaskRun", "read"]


@dataclass(frozen=True)
class Sample:
    """One answered document: what was asked, expected and said, and the scorers' record under each metric.

    `answer` is the text that was scored, `place` the file and line that it was read from. The document itself is not
    among the samples that lmms-eval writes. `margin` is that of yes and no; empty where none was recorded.
    """

    prompt: str
    target: str
    answer: str
    records: Mapping[str, Mapping[str, Any]]
    place: str = ""
    margin: Margin = NO_MARGIN


@dataclass(frozen=True)
class TaskRun:
    """One task of a run; `samples` by document id, `config` as the task's YAML was resolved."""

    name: str
    config: Mapping[str, Any]
    samples: Mapping[int, Sample]


@dataclass(frozen=True)
class Run:
    """One run. `hallu` holds the adapter's settings and is empty for a model of another package.

    `given` is the path the user gave, `runs_count` how many runs lie there, of which this is the latest. `tasks`
    is empty where the samples were not read.
    """

    given: str
    file: Path
    runs_count: int
    model: str
    hallu: Mapping[str, Any]
    results: Mapping[str, Any]
    tasks: Mapping[str, TaskRun]

    @property
    def tokens_per_second(self) -> float | None:
        """Generated tokens a second over the whole run, ``None`` where the model did not report it."""
        speed = (self.results.get("throughput") or {}).get("avg_speed")
        return float(speed) if isinstance(speed, (int, float)) else None

    def counts(self, task: str) -> tuple[int, int] | None:
        """How many documents of a task were to be answered, and how many it has; ``None`` where not recorded."""
        counted = (self.results.get("n-samples") or {}).get(task) or {}
        if counted.get("effective") is None or counted.get("original") is None:
            return None
        return _answered(counted, self.results.get("config") or {}), int(counted["original"])

    @property
    def limited(self) -> dict[str, tuple[int, int]]:
        """The tasks that ``--limit`` or ``--offset`` cut short, with `counts`."""
        counted = {task: self.counts(task) for task in self.results.get("n-samples") or {}}
        return {task: counts for task, counts in counted.items() if counts is not None and counts[0] < counts[1]}

    @property
    def groups(self) -> dict[str, tuple[str, ...]]:
        """The groups that the run was asked for, by name, with what stands below each: tasks, or further groups."""
        return {name: tuple(below) for name, below in (self.results.get("group_subtasks") or {}).items() if below}


def read(path: str, *, samples: bool = True) -> Run:
    """Read the latest run of an output folder, or the run of a ``..._results.json`` file.

    `samples` says whether every document's records are read too. Raises `ValueError` with the fix for a path
    without results, a folder where a later run of ``hallu run`` failed, a run without samples, damaged files, and files
    in the layout of another lmms-eval.
    """
    file, count = _latest(path)
    results = _json(_text(file), file)
    _require_layout(results, file)
    _require_commit(results, file)
    config = results["config"]
    hallu = (config.get("resolved_cli_args") or {}).get("hallu") or {}
    return Run(
        given=path,
        file=file,
        runs_count=count,
        model=str(hallu.get("model_id") or config.get("model")),
        hallu=hallu,
        results=results,
        tasks={name: _task(name, results, file) for name in results["configs"]} if samples else {},
    )


_OBJECTS = (
    "config.resolved_cli_args.hallu.versions", "config.resolved_cli_args.hallu.cards",
    "config.resolved_cli_args.hallu.git", "config.resolved_cli_args.hallu.questions.*",
    "config.resolved_cli_args.hallu.environment", "configs.*.generation_kwargs", "configs.*.metadata", "n-samples.*",
    "results.*", "higher_is_better.*", "throughput", "group_subtasks",
)  # fmt: skip
_NUMBERS = ("n-samples.*.original", "n-samples.*.effective", "config.offset", "throughput.avg_speed")
_LISTS = ("group_subtasks.*", "config.resolved_cli_args.hallu.command")
_TEXTS = ("config.resolved_cli_args.hallu.git.commit", "config.resolved_cli_args.hallu.environment.*")


def _require_layout(results: Mapping[str, Any], file: Path) -> None:
    """Raise `ValueError` where a part that is read is not what lmms-eval 0.7 writes; parts may be missing or null."""
    if not isinstance(results.get("configs"), dict) or not isinstance(results.get("config"), dict):
        raise ValueError(f"{file} is not a results file of lmms-eval: it has no config and configs")
    kinds: tuple[tuple[tuple[str, ...], type | tuple[type, ...], str], ...] = (
        (_OBJECTS, dict, "an object"),
        (_NUMBERS, (int, float), "a number"),
        (_LISTS, list, "a list"),
        (_TEXTS, str, "text"),
    )
    for places, kind, wanted in kinds:
        for place in places:
            for found, value, last in _parts(results, place.split(".")):
                allowed, needed = (kind, wanted) if last else (dict, "an object")
                if not isinstance(value, allowed) or (needed == "a number" and not _is_finite(value)):
                    version = results.get("lmms_eval_version") or "of an unknown version"
                    raise ValueError(
                        f"{file}: {found} is not {needed}; lmms-eval {version} wrote it in a layout that is not known "
                        f"here (known: lmms-eval 0.7; found: {reprlib.repr(value)}), so rerun with a supported version"
                    )


def _require_commit(results: Mapping[str, Any], file: Path) -> None:
    git = ((results["config"].get("resolved_cli_args") or {}).get("hallu") or {}).get("git")
    if git is not None and not git.get("commit"):
        raise ValueError(
            f"{file}: config.resolved_cli_args.hallu.git names no commit; the file was edited, so rerun, or "
            "set it to null"
        )


def _is_finite(value: Any) -> bool:
    try:
        return not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:
        return False


def _parts(value: Any, keys: Sequence[str], above: str = "") -> Iterator[tuple[str, Any, bool]]:
    """What stands on the way to a place, and there: where, the value, and whether it is the place itself."""
    key, *rest = keys
    for name in list(value) if key == "*" else [key]:
        part = value.get(name)
        if part is None:
            continue
        place = f"{above}.{name}" if above else str(name)
        yield place, part, not rest
        if rest:
            yield from _parts(part, rest, place)


def _latest(path: str) -> tuple[Path, int]:
    given = Path(path)
    if given.is_file():
        if not given.name.endswith(SUFFIX):
            raise ValueError(
                f"{path} is not a results file; give the folder of --output_path, or a file ending in {SUFFIX}"
            )
        return given, 1
    if not given.is_dir():
        raise ValueError(f"{path} does not exist; give the folder that lmms-eval's --output_path named")
    # The names begin with the time of the run, so the last one is the latest.
    found = sorted([*given.glob(f"*{SUFFIX}"), *given.glob(f"*/*{SUFFIX}")], key=lambda file: (file.name, str(file)))
    _require_success(given, found)
    if found:
        return found[-1], len(found)
    arms = sorted({file.parents[1] for file in given.glob(f"*/*/*{SUFFIX}")})
    if arms:
        raise ValueError(
            f"{path} holds several output folders; name each arm: hallu compare {' '.join(map(str, arms))}"
        )
    raise ValueError(
        f"{path} holds no results of lmms-eval (<checkpoint>/<timestamp>{SUFFIX}); "
        f"run lmms-eval with --output_path {path} --log_samples"
    )


def _require_success(given: Path, found: Sequence[Path]) -> None:
    """Raise `ValueError` where a run failed after the latest of the results that were found."""
    # --output_path named the given folder or, where results lie right in it, the one above.
    folders = [given, given.resolve().parent] if any(file.parent == given for file in found) else [given]
    for folder in folders:
        run = outcome.read(folder)
        latest = found[-1].resolve().relative_to(folder.resolve()).as_posix() if found else None
        if run is not None and (latest is None or latest in run.results):
            all_the_same = f", or give the results file itself to take it all the same: {found[-1]}" if found else ""
            raise ValueError(f"{given}: {run.text}; run it again{all_the_same}")


def _task(name: str, results: Mapping[str, Any], file: Path) -> TaskRun:
    try:
        path = file.with_name(samples_file(file.name, name))
        path.stat()
    except FileNotFoundError:
        pass  # what is said of it depends on what lies beside it
    except (OSError, ValueError):
        raise ValueError(f"{file}: configs names a task {reprlib.repr(name)}, which no file can be named for") from None
    if path.with_suffix(".json").is_file() and not path.is_file():
        raise ValueError(
            f"{path.with_suffix('.json')} is in the layout of an older lmms-eval; known is {path.name} with a line a "
            "document, as lmms-eval 0.7 writes it, so rerun with a supported version"
        )
    if not path.is_file():
        raise ValueError(
            f"{file} has no samples of {name} beside it ({path.name}), and a comparison is paired document by "
            "document; rerun lmms-eval with --log_samples"
        )
    samples: dict[int, Sample] = {}
    for place, line in _lines(path):
        document = line.get("doc_id")
        if document is None:
            raise ValueError(f"{place} has no doc_id; it is not a samples file of lmms-eval")
        if not isinstance(document, int) or isinstance(document, bool):
            raise ValueError(
                f"{place}: doc_id is {reprlib.repr(document)}, not a whole number; it is not a samples file of "
                "lmms-eval"
            )
        if document in samples:
            raise ValueError(
                f"{place}: document {document} occurs twice; one answer a document can be compared, so rerun "
                "without --repeats and with one filter"
            )
        for part in ("input", "target", "filtered_resps"):
            if part not in line or (line[part] is None and part != "filtered_resps"):
                raise ValueError(
                    f"{place}: document {document} has no {part}, which lmms-eval writes; it was edited or damaged, so "
                    "rerun lmms-eval"
                )
        records = {key: value for key, value in line.items() if isinstance(value, dict)}
        samples[document] = Sample(
            str(line.get("input")), str(line.get("target")), _answer(line), records, place, margin_in(line)
        )
    _require_complete(path, len(samples), (results.get("n-samples") or {}).get(name) or {}, results["config"])
    return TaskRun(name, results["configs"][name] or {}, samples)


def _answer(line: Mapping[str, Any]) -> str:
    """The text the scorer got; ``filtered_resps`` holds it bare, or in a list where the filter kept several."""
    kept = line.get("filtered_resps")
    while isinstance(kept, list) and len(kept) == 1:
        kept = kept[0]
    if isinstance(kept, list):
        return "\n".join(map(str, kept))
    return "" if kept is None else str(kept)


def _require_complete(path: Path, found: int, counts: Mapping[str, Any], config: Mapping[str, Any]) -> None:
    expected = _answered(counts, config)
    if found < expected:
        raise ValueError(f"{path} holds {found} of {expected} documents; it was cut off, so rerun lmms-eval")
    if not found:
        raise ValueError(f"{path} holds no document; rerun lmms-eval with a larger --limit or none")


def _answered(counts: Mapping[str, Any], config: Mapping[str, Any]) -> int:
    # lmms-eval's "effective" leaves --offset out of account.
    effective, original = counts.get("effective") or 0, counts.get("original") or 0
    return int(min(effective, original - (config.get("offset") or 0)))


def _lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, line in enumerate(_text(path).split("\n"), start=1):
        if line.strip():
            yield f"{path}, line {number}", _json(line, f"{path}, line {number}")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} cannot be read ({error})") from None


def _json(text: str, place: Path | str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:  # also for numbers of thousands of digits
        raise ValueError(f"{place} is not valid JSON ({error}); it was cut off or edited, so rerun lmms-eval") from None
    if not isinstance(value, dict):
        raise ValueError(f"{place} is not a JSON object; it is not a file of lmms-eval")
    return value
