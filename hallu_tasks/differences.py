"""What two runs must share for a difference between them to be the method's, and in what they differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hallu_tasks.benchmarks import Benchmark
from hallu_tasks.results import Run, Sample

__all__ = ["NAMES", "Difference", "find", "refusal", "shared_documents"]

NAMES = ("checkpoint", "decoding", "dtype", "attention", "documents", "prompt", "scorer", "versions")
"""What a comparison demands to be equal, and what ``--allow-different`` takes."""

ABSENT = "not recorded"

_LONGEST = 60


@dataclass(frozen=True)
class Difference:
    """One setting with its value in each arm; `name` is one of `NAMES`, `detail` the task and the setting."""

    name: str
    detail: str
    values: tuple[str, ...]

    def text(self, arms: Sequence[str]) -> str:
        """``decoding (hallu_demo_chair max_new_tokens): llava_base=64, llava_vhr=128``."""
        where = f" ({self.detail})" if self.detail else ""
        return f"{self.name}{where}: " + ", ".join(f"{arm}={value}" for arm, value in zip(arms, self.values))


def find(runs: Sequence[Run], benchmarks: Mapping[str, Benchmark]) -> list[Difference]:
    """Return every setting in which the runs differ, ordered as `NAMES`; `benchmarks` are the shared tasks'."""
    settings = [{**_run_settings(run), **_task_settings(run, benchmarks)} for run in runs]
    found = []
    for name, detail in dict.fromkeys(key for arm in settings for key in arm):
        values = [arm.get((name, detail), ABSENT) for arm in settings]
        if len(set(values)) > 1:
            found.append(Difference(name, detail, _shortened(values)))
    for task, benchmark in benchmarks.items():
        found += _contents([run.tasks[task].samples for run in runs], task, benchmark)
    return sorted(found, key=lambda difference: NAMES.index(difference.name))


def refusal(differences: Sequence[Difference], arms: Sequence[str]) -> str:
    """The message for differences nobody allowed."""
    lines = "\n".join(f"  {difference.text(arms)}" for difference in differences)
    allowed = " ".join(f"--allow-different {name}" for name in dict.fromkeys(d.name for d in differences))
    return (
        f"the arms differ in more than the method:\n{lines}\n"
        f"rerun an arm with the other's settings, or compare all the same with {allowed}"
    )


def shared_documents(samples: Sequence[Mapping[int, Sample]], benchmark: Benchmark) -> list[int]:
    """The ids of the documents that all arms answered and that are the same in all of them, sorted."""
    common = set(samples[0]).intersection(*samples[1:])
    return sorted(document for document in common if len({_identity(arm[document], benchmark) for arm in samples}) == 1)


def _run_settings(run: Run) -> dict[tuple[str, str], str]:
    hallu, results = run.hallu, run.results
    recorded = {
        ("checkpoint", "pretrained"): hallu.get("pretrained") or results.get("model_name"),
        ("checkpoint", "revision"): hallu.get("revision"),
        ("dtype", ""): hallu.get("dtype"),
        ("attention", ""): hallu.get("attention"),
        ("prompt", "system prompt"): repr(hallu.get("system_prompt") or ""),
        ("prompt", "system instruction"): repr(results.get("system_instruction") or ""),
        **{("versions", name): version for name, version in (hallu.get("versions") or {}).items()},
    }
    return {key: str(value) for key, value in recorded.items() if value is not None}


def _task_settings(run: Run, benchmarks: Mapping[str, Benchmark]) -> dict[tuple[str, str], str]:
    recorded: dict[tuple[str, str], Any] = {}
    for task, benchmark in benchmarks.items():
        config, samples = run.tasks[task].config, run.tasks[task].samples
        for name, value in (config.get("generation_kwargs") or {}).items():
            recorded["decoding", f"{task} {name}"] = value
        recorded["decoding", f"{task} repeats"] = config.get("repeats", 1)
        recorded["prompt", f"{task} num_fewshot"] = config.get("num_fewshot") or 0
        for name, value in (config.get("metadata") or {}).items():
            recorded["scorer", f"{task} {name}"] = value
        if benchmark.rule:
            rules = {str((benchmark.record(sample) or {}).get(benchmark.rule)) for sample in samples.values()}
            recorded["scorer", f"{task} {benchmark.rule} of the records"] = " and ".join(sorted(rules))
        recorded["documents", task] = _ranges(sorted(samples))
    return {key: str(value) for key, value in recorded.items()}


def _contents(samples: Sequence[Mapping[int, Sample]], task: str, benchmark: Benchmark) -> Iterator[Difference]:
    """Documents with one id and other contents, and prompts that differ: the first of each, and how many."""
    common = sorted(set(samples[0]).intersection(*samples[1:]))
    same = set(shared_documents(samples, benchmark))
    changed = [document for document in common if document not in same]
    if changed:
        values = ["image {}, target {}".format(*_identity(arm[changed[0]], benchmark)) for arm in samples]
        yield Difference("documents", _first(task, changed), _shortened(values))
    asked = [document for document in common if len({arm[document].prompt for arm in samples}) > 1]
    if asked:
        prompts = [repr(arm[asked[0]].prompt) for arm in samples]
        yield Difference("prompt", _first(task, asked), _shortened(prompts))


def _identity(sample: Sample, benchmark: Benchmark) -> tuple[str, str]:
    return repr((benchmark.record(sample) or {}).get(benchmark.image)), sample.target


def _first(task: str, documents: Sequence[int]) -> str:
    more = f" and {len(documents) - 1} more" if len(documents) > 1 else ""
    return f"{task} document {documents[0]}{more}"


def _ranges(documents: Sequence[int]) -> str:
    """``512 (ids 0-511)``: how many, and the ids as ranges."""
    spans: list[list[int]] = []
    for document in documents:
        if spans and document == spans[-1][1] + 1:
            spans[-1][1] = document
        else:
            spans.append([document, document])
    spelled = ", ".join(f"{first}-{last}" if first < last else f"{first}" for first, last in spans)
    return f"{len(documents)} (ids {spelled})"


def _shortened(values: Sequence[str]) -> tuple[str, ...]:
    """Long values cut to the surroundings of the first character in which they differ."""
    if max(map(len, values)) <= _LONGEST:
        return tuple(values)
    differing = (place for place, characters in enumerate(zip(*values)) if len(set(characters)) > 1)
    start = max(0, next(differing, min(map(len, values))) - _LONGEST // 2)
    end = start + _LONGEST
    return tuple(f"{'... ' * (start > 0)}{value[start:end]}{' ...' * (len(value) > end)}" for value in values)
