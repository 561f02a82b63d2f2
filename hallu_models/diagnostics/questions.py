"""Sweep the parameters that the papers leave open, on the demo model: ``python -m hallu_models.diagnostics.questions``.

Every cell answers the same captions and yes/no questions as the plain model and is compared with it scene by scene.
Finished cells are kept in the output folder, so that a stopped run goes on; the tables are printed as Markdown.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from hallu_models.conversations import conversation
from hallu_models.loading import Host, load
from hallu_tasks.demo import task as demo
from hallu_tasks.scoring import chair, paired, pope

PROMPT = "Please describe this image in detail."
BATCH = 32
RESAMPLES = 10_000
WORDINGS = (
    "Describe the content of the image.",
    "Please describe this image in detail.",
    "What is in this image?",
    "List the objects in the picture.",
    "Is there a dog in the image?",
)
"""General instructions for IAVA, in words the demo model knows; the last is a question that is not general at all."""


@dataclass(frozen=True)
class Cell:
    """One setting of a method; no method is the plain model."""

    label: str
    method: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Question:
    """A table: what is asked, and its settings."""

    title: str
    cells: Sequence[Cell]


def _cells(method: str, **grid: Iterable[Any]) -> list[Cell]:
    """One cell for each value of one parameter."""
    ((name, values),) = grid.items()
    return [Cell(f"{name} = {value}", method, {name: value}) for value in values]


QUESTIONS: Mapping[str, Question] = {
    "vhr": Question("VHR: does strength have the paper's shape?", _cells("vhr", alpha=(0.2, 0.5, 1.5, 2.0, 3.0, 4.0))),
    "iava-i": Question(
        "IAVA: how many tokens may the pseudo-image keep?", _cells("iava", i=(4, 8, 16, 32, 64, "auto"))
    ),
    "iava-lambda": Question(
        "IAVA: how strongly must they be attended?", _cells("iava", lam=(-1.0, -0.5, 0.0, 0.5, 1.0))
    ),
    "iava-instruction": Question(
        "IAVA: does the wording of the general instruction matter?",
        [Cell(f"“{words}”", "iava", {"instruction": words}) for words in WORDINGS],
    ),
    "dleaf-gamma": Question("D-LEAF: does performance grow with γ?", _cells("dleaf", gamma=(0.3, 0.6, 0.9, 1.0))),
    "dleaf-rule": Question(
        "D-LEAF: which threshold rule?",
        [
            *(Cell(f"running, k = {k}", "dleaf", {"k": k}) for k in (0.0, 0.5, 1.0, 2.0)),
            Cell("best", "dleaf", {"threshold": "best"}),
            Cell("running, entropy = max", "dleaf", {"entropy": "max"}),
            Cell("running, entropy = per_head", "dleaf", {"entropy": "per_head"}),
        ],
    ),
    "sevi": Question(
        "SEVI without CICD: ω and start layer",
        [
            Cell(f"ω = {omega}, from layer {start}", "sevi", {"omega": omega, "start_layer": start, "cicd": False})
            for start in (1, 2, 4)
            for omega in (0.5, 1.0, 2.0, 4.0)
        ],
    ),
}


def measure(host: Host, cell: Cell, scenes: int) -> dict[str, Any]:
    """One cell's records: CHAIR's of every scene, and POPE's of its questions with their images."""
    documents = [demo.scenes()[number] for number in range(scenes)]
    questions = [row for row in demo.questions() if row["image_id"] < scenes]
    captions = _answers(host, cell, [(doc["image_id"], PROMPT) for doc in documents], 64)
    replies = _answers(host, cell, [(row["image_id"], row["question"]) for row in questions], 8)
    return {
        "chair": [chair.record(text, doc["objects"]) for text, doc in zip(captions, documents)],
        "pope": [pope.record(reply, row["answer"]) for reply, row in zip(replies, questions)],
        "images": [row["image_id"] for row in questions],
    }


def _answers(host: Host, cell: Cell, asked: Sequence[tuple[int, str]], length: int) -> list[str]:
    texts: list[str] = []
    for start in range(0, len(asked), BATCH):
        part = [conversation(demo.visual({"image_id": n})[0], text) for n, text in asked[start : start + BATCH]]
        answers = host.generate(part, method=cell.method, max_new_tokens=length, observe=False, **dict(cell.parameters))
        texts += [answer.text for answer in answers]
    return texts


METRICS = ("CHAIR_s", "CHAIR_i", "recall", "POPE accuracy")


def row(found: Mapping[str, Any], plain: Mapping[str, Any]) -> list[str]:
    """Each metric with its 95 % interval and the p value of the difference from the plain model, where below 0.05."""
    compared = (
        paired.compare_proportions(plain["chair"], found["chair"], outcome="captions_hallucinated"),
        *(
            paired.compare(plain["chair"], found["chair"], statistic=chair.STATISTICS[name], resamples=RESAMPLES)
            for name in ("chair_i", "recall")
        ),
        paired.compare(
            plain["pope"],
            found["pope"],
            statistic=pope.STATISTICS["accuracy"],
            unit=found["images"],
            resamples=RESAMPLES,
        ),
    )
    return [*map(_cell, compared)]


def _cell(comparison: paired.Comparison) -> str:
    value, interval, p_value = comparison.b.value, comparison.b.interval, comparison.p_value
    if value is None or interval is None:
        return "undefined"
    shown = f"{value:.1f} [{interval[0]:.1f}, {interval[1]:.1f}]"
    if p_value is None or p_value >= 0.05:
        return shown
    arrow = "▲" if (comparison.difference or 0) > 0 else "▼"
    return f"{shown} {arrow} p {'< .001' if p_value < 0.001 else f'= {p_value:.3f}'.replace('0.', '.')}"


def table(question: Question, results: Mapping[str, Mapping[str, Any]], plain: Mapping[str, Any]) -> str:
    """Markdown."""
    head = ["setting", *METRICS]
    lines = [head, ["---"] * len(head), ["plain model", *row(plain, plain)]]
    lines += [[cell.label, *row(results[key(cell)], plain)] for cell in question.cells if key(cell) in results]
    return f"### {question.title}\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines)


def key(cell: Cell) -> str:
    """The name under which a cell is kept: the same setting in two tables is measured once."""
    return json.dumps([cell.method, dict(cell.parameters)], sort_keys=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="folder for finished cells")
    parser.add_argument("--only", nargs="+", choices=QUESTIONS, default=list(QUESTIONS), help="these tables only")
    parser.add_argument("--scenes", type=int, default=160, help="of the 512 held-out scenes (160; POPE asks about 256)")
    given = parser.parse_args()
    given.output.mkdir(parents=True, exist_ok=True)
    host = load("demo", device="cpu")
    plain = Cell("plain model")
    cells = {key(cell): cell for name in given.only for cell in QUESTIONS[name].cells}
    results: dict[str, Any] = {}
    slow = 0.2 if sys.stderr.isatty() else 30
    for name, cell in tqdm({key(plain): plain, **cells}.items(), unit="cell", mininterval=slow):
        file = given.output / "cells.jsonl"
        kept = _kept(file, given.scenes)
        if name not in kept:
            kept[name] = {"cell": name, "scenes": given.scenes, **measure(host, cell, given.scenes)}
            with open(file, "a") as stream:
                stream.write(json.dumps(kept[name]) + "\n")
        results[name] = kept[name]
    for name in given.only:
        print(table(QUESTIONS[name], results, results[key(plain)]), end="\n\n")
        sys.stdout.flush()


def _kept(file: Path, scenes: int) -> dict[str, Any]:
    """Finished cells over this many scenes."""
    if not file.exists():
        return {}
    lines = [json.loads(line) for line in file.read_text().splitlines() if line.endswith("}")]
    return {entry["cell"]: entry for entry in lines if entry["scenes"] == scenes}


if __name__ == "__main__":
    main()
