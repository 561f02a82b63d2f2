"""What two runs must share for a difference between them to be the method's, and in what they differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

from hallu_tasks.benchmark import Benchmark
from hallu_tasks.runs.results import Run, Sample
from registry.cards.parameter import show

__all__ = ["NAMES", "Difference", "find", "refusal", "sampled", "shared_documents"]

NAMES = (
    "checkpoint", "decoding", "dtype", "attention", "device", "batch_size", "documents", "prompt", "scorer",
    "versions", "commit",
)  # fmt: skip
"""What a comparison demands to be equal, and what ``--allow-different`` takes."""

ABSENT = "not recorded"

_LONGEST = 60
_SAMPLING = ("do_sample", "temperature", "top_p", "top_k", "min_p")


@dataclass(frozen=True)
class Difference:
    """One setting with its value in each arm; `name` is one of `NAMES`, `detail` the task and the setting.

    Where there is a `remark`, it says what the difference does to the scores, and the values are predicates.
    """

    name: str
    detail: str
    values: tuple[str, ...]
    remark: str = ""

    def text(self, arms: Sequence[str]) -> str:
        """``decoding (hallu_demo_chair max_new_tokens): llava_base=64, llava_vhr=128``."""
        where = f" ({self.detail})" if self.detail else ""
        verb = " " if self.remark else "="
        values = ", ".join(f"{arm}{verb}{value}" for arm, value in zip(arms, self.values))
        return f"{self.name}{where}: {values}" + (f": {self.remark}" if self.remark else "")


def find(runs: Sequence[Run], benchmarks: Mapping[str, Benchmark]) -> list[Difference]:
    """Return every setting in which the runs differ, ordered as `NAMES`; `benchmarks` are the shared tasks'.

    A setting that only some of the runs recorded, as runs of an older version, counts as one that differs.
    """
    drawn = {task for task in benchmarks if all(sampled(run, task) for run in runs)}
    settings = [{**_run_settings(run), **_task_settings(run, benchmarks, drawn)} for run in runs]
    _leave_to_contents(settings)
    found = []
    for name, detail in dict.fromkeys(key for arm in settings for key in arm):
        values = [arm.get((name, detail), ABSENT) for arm in settings]
        if len(set(values)) > 1:
            found.append(Difference(name, detail, _shortened(values)))
    for task, benchmark in benchmarks.items():
        found += _sampling([_options(run, task) for run in runs], task)
        found += _contents(runs, task, benchmark)
    return sorted(found, key=lambda difference: NAMES.index(difference.name))


def refusal(differences: Sequence[Difference], arms: Sequence[str]) -> str:
    """The message for differences nobody allowed."""
    lines = "\n".join(f"  {difference.text(arms)}" for difference in differences)
    allowed = " ".join(f"--allow-different {name}" for name in dict.fromkeys(d.name for d in differences))
    return (
        f"the arms differ in more than the method:\n{lines}\n"
        f"rerun an arm with the other's settings, or compare all the same with {allowed}"
    )


def sampled(run: Run, task: str) -> bool:
    """Whether the run's answers to a task were sampled."""
    return _samples(_options(run, task))


def shared_documents(samples: Sequence[Mapping[int, Sample]], benchmark: Benchmark) -> list[int]:
    """The ids of the documents that all arms answered and that are the same in all of them, sorted."""
    common = set(samples[0]).intersection(*samples[1:])
    return sorted(document for document in common if len({_identity(arm[document], benchmark) for arm in samples}) == 1)


def _run_settings(run: Run) -> dict[tuple[str, str], str]:
    hallu, results = run.hallu, run.results
    recorded = {
        ("checkpoint", "pretrained"): hallu.get("pretrained") or results.get("model_name"),
        ("checkpoint", "revision"): hallu.get("revision"),
        ("checkpoint", "commit"): _short(hallu.get("checkpoint_commit")),
        ("checkpoint", "files"): _short(hallu.get("checkpoint_files")),
        ("dtype", ""): hallu.get("dtype"),
        ("attention", ""): hallu.get("attention"),
        ("device", ""): hallu.get("device"),
        ("batch_size", ""): _batch_class(hallu.get("batch_size") or results["config"].get("batch_size")),
        ("prompt", "system prompt"): repr(hallu.get("system_prompt") or ""),
        ("prompt", "system instruction"): repr(results.get("system_instruction") or ""),
        **{("versions", name): version for name, version in (hallu.get("versions") or {}).items()},
        ("commit", ""): _short((hallu.get("git") or {}).get("commit")),
    }
    return {key: str(value) for key, value in recorded.items() if value is not None}


def _leave_to_contents(settings: Sequence[dict[tuple[str, str], str]]) -> None:
    """Drop a checkpoint's names where its contents are known to be equal: a copied folder is the same checkpoint."""
    for known, names in (("files", ("pretrained", "revision", "commit")), ("commit", ("revision",))):
        values = {arm.get(("checkpoint", known)) for arm in settings}
        if len(values) == 1 and None not in values:
            for arm in settings:
                for name in names:
                    arm.pop(("checkpoint", name), None)


def _batch_class(size: object) -> str | None:
    """Alone or together: padding can flip near-ties, and the speed is another one. Larger batches are alike."""
    if size is None:
        return None
    return str(size) if str(size) in ("1", "auto") else "more than 1"


def _task_settings(run: Run, benchmarks: Mapping[str, Benchmark], drawn: Set[str]) -> dict[tuple[str, str], str]:
    recorded: dict[tuple[str, str], Any] = {}
    for task, benchmark in benchmarks.items():
        config, samples = run.tasks[task].config, run.tasks[task].samples
        for name, value in _options(run, task).items():
            # Greedy decoding does not read what it is sampled with, and tasks set it to all kinds of values.
            if name != "do_sample" and (name not in _SAMPLING or task in drawn):
                recorded["decoding", f"{task} {name}"] = show(value)
        recorded["decoding", f"{task} repeats"] = config.get("repeats", 1)
        recorded["prompt", f"{task} num_fewshot"] = config.get("num_fewshot") or 0
        for name, value in (config.get("metadata") or {}).items():
            recorded["scorer", f"{task} {name}"] = value
        if benchmark.rule:
            rules = {str((benchmark.record(sample) or {}).get(benchmark.rule)) for sample in samples.values()}
            recorded["scorer", f"{task} {benchmark.rule} of the records"] = " and ".join(sorted(rules))
        recorded["documents", task] = _ranges(sorted(samples))
    return {key: str(value) for key, value in recorded.items()}


def _options(run: Run, task: str) -> Mapping[str, Any]:
    return run.tasks[task].config.get("generation_kwargs") or {}


def _samples(options: Mapping[str, Any]) -> bool:
    """Whether a task's generation_kwargs sample: as they say, else where there is a temperature.

    Raises `ValueError` for a temperature that is no number; YAML gives texts of numbers too.
    """
    if "do_sample" in options:
        return bool(options["do_sample"])
    temperature = options.get("temperature") or 0
    try:
        return float(temperature) > 0
    except (TypeError, ValueError):
        raise ValueError(f"generation_kwargs of a run: temperature {temperature!r} is no number") from None


def _sampling(options: Sequence[Mapping[str, Any]], task: str) -> Iterator[Difference]:
    """The classic trap: sampled answers against greedy ones."""
    if len({_samples(arm) for arm in options}) == 1:
        return
    values = [
        f"samples (temperature {show(arm.get('temperature', 1))})" if _samples(arm) else "is greedy" for arm in options
    ]
    remark = "sampling moves scores by itself, so part of the difference is the decoding's"
    if _samples(options[0]):
        remark = "a sampled baseline scores worse than a greedy one, so part of a gain is the decoding's"
    yield Difference("decoding", f"{task} sampling", tuple(values), remark)


def _contents(runs: Sequence[Run], task: str, benchmark: Benchmark) -> Iterator[Difference]:
    """Documents with one id and other contents, and prompts that differ: the first of each, and how many.

    Where these agree, the hash that the runs made of their questions tells whether images or other columns do.
    """
    samples = [run.tasks[task].samples for run in runs]
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
    hashes = [_short(((run.hallu.get("questions") or {}).get(task) or {}).get("sha256")) for run in runs]
    alike = not changed and not asked and all(len(arm) == len(common) for arm in samples)
    if alike and None not in hashes and len(set(hashes)) > 1:
        yield Difference("documents", f"{task} images or other columns", tuple(map(str, hashes)))


def _short(digest: object) -> str | None:
    """The beginning of a hash, which tells two of them apart."""
    return None if digest is None else str(digest)[:12]


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
