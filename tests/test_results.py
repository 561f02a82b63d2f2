"""What is read from an output folder of lmms-eval."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hallu_tasks import results

TASK = "hallu_demo_pope"


def write(folder: Path, lines: list[dict[str, Any]], **changes: Any) -> Path:
    """A run of one task with these samples; `changes` replace parts of the results file."""
    place = folder / "demo"
    place.mkdir(parents=True)
    data = {
        "results": {TASK: {}},
        "configs": {TASK: {"task": TASK}},
        "config": {"model": "llava_base"},
        "n-samples": {TASK: {"original": len(lines), "effective": len(lines)}},
        **changes,
    }
    (place / "20261121_034427_results.json").write_text(json.dumps(data))
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (place / f"20261121_034427_samples_{TASK}.jsonl").write_text(text)
    return folder


@pytest.mark.parametrize(
    ("kept", "answer"),
    [
        ("Yes", "Yes"),
        (["Yes"], "Yes"),
        ([["Yes"]], "Yes"),
        (["Yes", "No"], "Yes\nNo"),
        ([], ""),
        ("", ""),
        (None, ""),
        (7, "7"),
    ],
)
def test_the_answer_is_the_text_that_was_scored(tmp_path: Path, kept: object, answer: str) -> None:
    line = {"doc_id": 3, "target": "Yes", "resps": ["<think>No</think>Yes"], "filtered_resps": kept, "input": "?"}
    sample = results.read(str(write(tmp_path, [line]))).tasks[TASK].samples[3]
    assert (sample.prompt, sample.target, sample.answer) == ("?", "Yes", answer)
