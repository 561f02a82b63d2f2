"""Runs as lmms-eval leaves them, with answers made up for a test."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hallu_tasks.amber import task as amber_task
from hallu_tasks.chair import task as chair_task
from hallu_tasks.hallusion import task as hallusion_task
from hallu_tasks.mme import task as mme_task
from hallu_tasks.pope import task as pope_task
from hallu_tasks.scoring import amber
from hallu_tasks.textvqa import task as textvqa_task

WITHOUT_MARGINS = "AUROC is left out: these runs recorded no margins of yes and no; rerun with this version"
"""What is said of runs as they are written here unless their lines are given margins."""

IMAGES = 40
TRUTH = ("cat", "clock")
RIGHT, WRONG, SILENT = "A cat and a clock.", "A cat and a dog.", "Nothing here."
"""Captions: all of the truth; one of two mentions hallucinated; no object."""

METRICS = {
    "hallu_demo_chair": ("chair_s", "chair_i", "recall", "precision", "f1", "mean_length", "mean_mentions"),
    "hallu_demo_pope": ("accuracy", "precision", "recall", "f1", "yes_ratio", "unparsed_count", "by_default_count"),
    "hallu_demo_mme": ("existence", "count", "position"),
}
METADATA = {
    "hallu_demo_chair": {"version": 1, "chair_mode": "reference"},
    "hallu_demo_pope": {"version": 1, "answer_policy": "official"},
    "hallu_demo_mme": {"version": 1, "answer_policy": "prefix"},
    "hallu_amber_generative": {"version": 1, "chair_mode": "reference", "similarity": "none"},
    "hallu_amber_discriminative": {"version": 1, "answer_policy": "words"},
    "hallu_hallusion": {"version": 1, "answer_policy": "words"},
    "hallu_textvqa": {"version": 1},
}
OTHERS = tuple(METADATA)[3:]
STRATEGIES = ("hallu_pope_random", "hallu_pope_popular", "hallu_pope_adversarial")
METADATA |= {**dict.fromkeys(STRATEGIES, METADATA["hallu_demo_pope"]), "hallu_mme": METADATA["hallu_demo_mme"]}
NOUNS = amber.Vocabulary({noun: (noun,) for noun in ("cat", "clock", "dog")}, frozenset())


TRUE = {
    "hallu_amber_generative": RIGHT,
    "hallu_amber_discriminative": "No.",
    "hallu_hallusion": "No.",
    "hallu_textvqa": "stop",
}


@dataclass
class Arm:
    """One run to be written. The answers are functions of the image and, for questions, of the right answer."""

    model: str = "llava_base"
    method: str = "none"
    parameters: str = ""
    caption: Callable[[int], str] = lambda image: RIGHT
    truth: Callable[[int], Sequence[str]] = lambda image: TRUTH
    """The objects in an image that is captioned."""
    pope: Callable[[int, str], str] = lambda image, right: right
    mme: Callable[[int, str], str] = lambda image, right: right
    other: Callable[[str, int], str] = lambda task, image: TRUE[task]
    """The answers of the tasks in `OTHERS`."""
    strategy: Callable[[str, int, str], str] = lambda strategy, image, right: right
    """The answers of the tasks in `STRATEGIES`, by the last word of the task."""
    groups: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """What ``--tasks`` named, with the tasks below."""
    tasks: Sequence[str] = tuple(METRICS)
    images: Sequence[int] = range(IMAGES)
    speed: float | None = 123.4
    change: Callable[[dict[str, Any]], None] = lambda data: None
    """Edits the results file's content before it is written."""
    lines: Callable[[str, list[dict[str, Any]]], list[dict[str, Any]]] = lambda task, lines: lines
    """Edits a task's samples before they are written."""
    hallu: Mapping[str, Any] = field(default_factory=dict)
    """Replaces settings that the adapter recorded."""


BASE = Arm(caption=lambda image: WRONG if image < 30 else RIGHT, pope=lambda image, right: "Yes")
VHR = Arm("llava_vhr", "vhr", "alpha=2,layers=1+4-7,variant=paper", caption=lambda i: WRONG if i < 5 else RIGHT)


def write(
    folder: Path, arm: Arm, date: str = "20261121_034427", checkpoint: str = "demo", samples: bool = True
) -> Path:
    """Write a run as lmms-eval 0.7.3 does, and return the folder."""
    place = folder / checkpoint
    place.mkdir(parents=True, exist_ok=True)
    lines = {task: arm.lines(task, LINES[task](arm)) for task in arm.tasks}
    hallu = {
        "model_id": arm.model,
        "method": arm.method,
        "parameters": arm.parameters,
        "pretrained": "demo",
        "revision": "default",
        "dtype": "float32",
        "attention": "sdpa",
        "system_prompt": "",
        "versions": {"lmms-eval-hallu": "0.1.0", "lmms-eval": "0.7.3", "transformers": "5.23.0", "torch": "2.15.0"},
        **arm.hallu,
    }
    data: dict[str, Any] = {
        "results": {task: {"alias": f" - {task}"} for task in arm.tasks},
        "group_subtasks": {name: list(tasks) for name, tasks in arm.groups.items()},
        "configs": {
            task: {
                "task": task,
                "output_type": "generate_until",
                "generation_kwargs": {"max_new_tokens": 64, "temperature": 0.0, "do_sample": False, "until": []},
                "num_fewshot": 0,
                "repeats": 1,
                "metadata": METADATA[task],
            }
            for task in sorted(arm.tasks)
        },
        "n-samples": {task: {"original": len(lines[task]), "effective": len(lines[task])} for task in arm.tasks},
        "config": {
            "model": arm.model,
            "model_args": "pretrained=demo",
            "limit": None,
            "offset": 0,
            "resolved_cli_args": {"model": arm.model, "hallu": hallu},
        },
        "date": date,
        "throughput": {"total_gen_tokens": 48, "avg_speed": arm.speed} if arm.speed is not None else {},
        "model_name": "demo",
        "system_instruction": None,
    }
    arm.change(data)
    (place / f"{date}_results.json").write_text(json.dumps(data, indent=2), encoding="utf-8")
    for task in arm.tasks if samples else ():
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines[task])
        (place / f"{date}_samples_{task}.jsonl").write_text(text, encoding="utf-8")
    return folder


def line(
    number: int, doc: Mapping[str, Any], answer: str, target: object, records: Mapping[str, Any]
) -> dict[str, Any]:
    return {
        "doc_id": number,
        "target": str(target),
        "filtered_resps": answer,
        "token_counts": [{"input_tokens": 76, "output_tokens": 2}],
        "doc_hash": "74234e98afe7498fb5daf1f36ac2d78acc339464f950703b8c019892f982b90b",
        **records,
        "input": doc["question"],
    }


def caption_lines(arm: Arm) -> list[dict[str, Any]]:
    made = []
    for image in arm.images:
        question = "Please describe this image in detail."
        doc = {"image_id": image, "objects": list(arm.truth(image)), "question": question}
        answer = arm.caption(image)
        made.append(line(image, doc, answer, doc["objects"], chair_task.process_results(doc, [answer])))
    return made


def pope_lines(arm: Arm) -> list[dict[str, Any]]:
    return question_lines(arm, arm.pope)


def strategy_lines(strategy: str, arm: Arm) -> list[dict[str, Any]]:
    return question_lines(arm, functools.partial(arm.strategy, strategy))


def question_lines(arm: Arm, said: Callable[[int, str], str]) -> list[dict[str, Any]]:
    """Six questions an image, in the benchmark's order."""
    made = []
    for image in arm.images:
        for place, right in enumerate(("Yes", "No") * 3):
            doc = {"image_id": image, "question": f"Is there a {place} in the image?", "answer": right}
            answer = said(image, right)
            made.append(line(6 * image + place, doc, answer, right, pope_task.process_results(doc, [answer])))
    return made


def mme_lines(arm: Arm) -> list[dict[str, Any]]:
    made = []
    for image in arm.images:
        for place, (subtask, right) in enumerate((s, r) for s in METRICS["hallu_demo_mme"] for r in ("Yes", "No")):
            doc = {"image_id": image, "question": f"{subtask} {right}?", "answer": right, "category": subtask}
            answer = arm.mme(image, right)
            made.append(line(6 * image + place, doc, answer, right, mme_task.process_results(doc, [answer])))
    return made


def other_lines(task: str, arm: Arm) -> list[dict[str, Any]]:
    """One question an image; the right answers are those of `TRUE`."""
    made = []
    for image in arm.images:
        answer = arm.other(task, image)
        doc: dict[str, Any] = {"image_id": image, "question": f"What of image {image}?"}
        if task == "hallu_amber_generative":
            record = amber.record_generative(answer, amber.Scene(TRUTH, ("dog",)), NOUNS)
            records = {metric: {"image_id": image, **record} for metric in amber_task.GENERATIVE}
        elif task == "hallu_amber_discriminative":
            records = amber_task.process_answer(
                {**doc, "type": "discriminative-hallucination", "truth": "no"}, [answer]
            )
        elif task == "hallu_hallusion":
            ids = {"set_id": str(image), "figure_id": "1", "question_id": "0", "visual_input": "1", "gt_answer": "0"}
            records = hallusion_task.process_results(
                {**doc, **ids, "category": "VD", "subcategory": "figure"}, [answer]
            )
        else:
            records = textvqa_task.process_results({**doc, "answers": ["stop"] * 10}, [answer])
        made.append(line(image, doc, answer, TRUE[task], records))
    return made


LINES: dict[str, Callable[[Arm], list[dict[str, Any]]]] = {
    "hallu_demo_chair": caption_lines,
    "hallu_demo_pope": pope_lines,
    "hallu_demo_mme": mme_lines,
    "hallu_mme": mme_lines,
    **{task: functools.partial(other_lines, task) for task in OTHERS},
    **{task: functools.partial(strategy_lines, task.rpartition("_")[2]) for task in STRATEGIES},
}
