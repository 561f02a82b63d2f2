"""From what a publication states of its setting to tasks and options of lmms-eval, with what it leaves open."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hallu_tasks.benchmarks.command import leaves
from registry.cards.card import Card, Protocol, Published
from registry.files import yaml_files
from registry.task_search import task_folders

__all__ = ["Setting", "Unstated", "of", "parts", "resolved"]

LISTS_COUNT = 5
LIST_SIZE = 500
"""CHAIR's image lists and the images of each, see ``hallu_tasks/chair/README.md``."""

_BEAMS, _TEMPERATURE, _NUCLEUS, _SEED = 5, "1.0", "0.9", "0"


@dataclass(frozen=True)
class Unstated:
    """A field that the publication does not state, and what is used for it."""

    field: str
    used: str


@dataclass(frozen=True)
class Setting:
    """What runs for one published row; `name` is the same for rows whose control arms are the same run.

    `tasks` are as ``--tasks`` takes them. `options` are the plain model's ``--gen_kwargs``, `method_options` the
    method's, which lack the beams where it searches with its own; `method_args` are its ``--model_args``. Where there
    are `problems`, each naming a field, the setting cannot be expressed and nothing of it is run.
    """

    name: str = ""
    tasks: tuple[str, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)
    method_options: Mapping[str, str] = field(default_factory=dict)
    method_args: Mapping[str, object] = field(default_factory=dict)
    seed: str | None = None
    unstated: tuple[Unstated, ...] = ()
    problems: tuple[str, ...] = ()


def of(row: Published, card: Card, *, demo: bool = False) -> Setting:
    """The setting of a published row of `card`; with `demo` on the demo tasks, with their images and lengths."""
    protocol = row.protocol
    if protocol.benchmark is None:
        return Setting(problems=("benchmark: the card does not state one that is here, so there is no task to run",))
    problems = list(_inexpressible(row, card))
    unstated: list[Unstated] = []
    names = [protocol.benchmark]
    tasks: tuple[str, ...]
    if demo:
        tasks = (f"hallu_demo_{protocol.benchmark}",)
        if tasks[0] not in task_folders.tasks():
            problems.append(f"benchmark: the demo has no task in the place of hallu_{protocol.benchmark}")
    else:
        tasks = _tasks(protocol, names, unstated)
    if problems:
        return Setting(problems=tuple(problems))
    own_beams = card.parameter("beams") is not None
    options, seed = _decoding(protocol, names, unstated, card.name if own_beams else None)
    task = resolved(parts(tasks)[0])
    length = protocol.max_new_tokens
    if not demo:
        usual = task["generation_kwargs"]["max_new_tokens"]
        if length is None:
            unstated.append(Unstated("max_new_tokens", f"{usual}, the task's"))
        elif length != usual:
            options["max_new_tokens"] = str(length)
        names.append(str(length or usual))
    if protocol.prompt is None:
        unstated.append(Unstated("prompt", _prompt(task) or "each question as the benchmark has it"))
    method_options, method_args = dict(options), dict(protocol.parameters)
    if "num_beams" in options and own_beams:
        method_args["beams"] = int(method_options.pop("num_beams"))
    return Setting("-".join(names), tasks, options, method_options, method_args, seed, tuple(unstated))


def _inexpressible(row: Published, card: Card) -> list[str]:
    """The fields that no task, option or parameter expresses, each with the reason."""
    protocol, found = row.protocol, []
    task = resolved(parts((f"hallu_{protocol.benchmark}",))[0])
    scores = [metric["metric"] for metric in task["metric_list"]]
    if not set(scores) & set(row.numbers):
        numbers = ", ".join(row.numbers)
        found.append(f"numbers: {numbers} is no score of hallu_{protocol.benchmark}, which has {', '.join(scores)}")
    if protocol.unsupported:
        parameters = ", ".join(parameter.name for parameter in card.parameters)
        found.append(f"unsupported: no parameter of {card.name} stands for {protocol.unsupported}; it has {parameters}")
    if protocol.images not in (None, LIST_SIZE):
        found.append(f"images: there are lists of {LIST_SIZE} images, none of {protocol.images}")
    if protocol.seeds is not None and protocol.seeds > 1:
        if protocol.benchmark != "chair" or protocol.decoding in ("sampling", "nucleus"):
            found.append(f"seeds: only image lists of CHAIR are averaged here, not {protocol.seeds} runs that sample")
        elif protocol.seeds > LISTS_COUNT:
            found.append(f"seeds: there are {LISTS_COUNT} image lists, not {protocol.seeds}")
    if protocol.prompt is not None and protocol.benchmark == "chair":
        ours = _prompt(task)
        if protocol.prompt != ours:
            found.append(f"prompt: {protocol.prompt!r} is not that of the task, {ours!r}")
    elif protocol.prompt is not None:
        found.append(f"prompt: {protocol.prompt!r} cannot be given to the task, whose questions are the benchmark's")
    return found


def _tasks(protocol: Protocol, names: list[str], unstated: list[Unstated]) -> tuple[str, ...]:
    """The tasks on the benchmark's own images; their parts of the setting's name go to `names`."""
    if protocol.benchmark == "pope":
        questions, strategy = protocol.questions or "coco", protocol.strategy or "mean"
        names += [questions, strategy]
        if protocol.questions is None:
            unstated.append(Unstated("questions", f"those on {questions.upper()} images"))
        if protocol.strategy is None:
            unstated.append(Unstated("strategy", "the mean over random, popular and adversarial"))
        words = [
            "hallu_pope",
            *([questions] if questions != "coco" else []),
            *([strategy] if strategy != "mean" else []),
        ]
        return ("_".join(words),)
    if protocol.benchmark != "chair":
        return (f"hallu_{protocol.benchmark}",)
    count = protocol.seeds or 1
    names += [f"{count}lists"] if count > 1 else []
    drawn = f"{'our lists' if count > 1 else 'our list'} of seed{'s' * (count > 1)} 0{f' to {count - 1}' * (count > 1)}"
    size = "" if protocol.images else f", {LIST_SIZE} of COCO val2014"
    unstated.append(Unstated("which images" if protocol.images else "images", f"{drawn}{size}"))
    return tuple(f"hallu_chair_s{number}" for number in range(count))


def _decoding(
    protocol: Protocol, names: list[str], unstated: list[Unstated], searching: str | None
) -> tuple[dict[str, str], str | None]:
    """Options of generation beside the length, and the seed of what samples.

    `searching` is the method where it brings beams of its own.
    """
    decoding = protocol.decoding or "greedy"
    if protocol.decoding is None:
        unstated.append(Unstated("decoding", decoding + (f", beside {searching}'s own beams" if searching else "")))
    if decoding == "greedy":
        names.append(decoding)
        return {}, None
    if decoding == "beams":
        beams = protocol.beams or _BEAMS
        if protocol.beams is None:
            unstated.append(Unstated("beams", str(beams)))
        names.append(f"{decoding}{beams}")
        return {"num_beams": str(beams)}, None
    names.append(decoding)
    top_p = _NUCLEUS if decoding == "nucleus" else "1.0"
    unstated.append(Unstated("temperature", _TEMPERATURE))
    unstated.append(Unstated("top_p", top_p))
    unstated.append(Unstated("top_k", "none"))
    unstated.append(Unstated("seed", f"{_SEED}, one run"))
    return {"do_sample": "True", "temperature": _TEMPERATURE, "top_p": top_p, "top_k": "0"}, _SEED


@functools.cache
def parts(tasks: tuple[str, ...]) -> tuple[str, ...]:
    """The tasks that tasks and groups stand for."""
    return tuple(leaves(tasks))


@functools.cache
def resolved(task: str) -> Mapping[str, Any]:
    """A task's YAML with what it includes."""
    file: Path | None = task_folders.tasks()[task].file
    found: dict[str, Any] = {}
    while file is not None:
        config = yaml_files.read(file)
        assert isinstance(config, dict)
        found = {**config, **found}
        file = file.with_name(config["include"]) if "include" in config else None
    return found


def _prompt(task: Mapping[str, Any]) -> str | None:
    prompt = ((task.get("lmms_eval_specific_kwargs") or {}).get("default") or {}).get("prompt")
    return None if prompt is None else str(prompt)
