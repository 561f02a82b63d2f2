"""What is read from an output folder of lmms-eval."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from hallu_tasks.runs import results

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


def test_settings_can_be_read_without_the_samples(tmp_path: Path) -> None:
    folder = write(tmp_path, [])
    for file in folder.glob("*/*.jsonl"):
        file.unlink()
    run = results.read(str(folder), samples=False)
    assert (run.model, dict(run.tasks)) == ("llava_base", {})


def test_groups_are_those_that_the_run_was_asked_for(tmp_path: Path) -> None:
    line = {"doc_id": 0, "target": "Yes", "filtered_resps": "Yes", "input": "?"}
    below = {"hallu_suite": ["hallu_chair", "hallu_pope"], "hallu_pope": [TASK, "other"], TASK: []}
    recorded = results.read(str(write(tmp_path / "a", [line], group_subtasks=below)))
    assert recorded.groups == {"hallu_suite": ("hallu_chair", "hallu_pope"), "hallu_pope": (TASK, "other")}
    assert results.read(str(write(tmp_path / "b", [line]))).groups == {}


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"config": {"resolved_cli_args": "--model x"}}, "config.resolved_cli_args"),
        ({"config": {"resolved_cli_args": {"hallu": [1]}}}, "config.resolved_cli_args.hallu"),
        ({"configs": {TASK: "pope.yaml"}}, f"configs.{TASK}"),
        ({"n-samples": {TASK: 40}}, f"n-samples.{TASK}"),
        ({"n-samples": 40}, "n-samples"),
        ({"results": {TASK: 81.5}}, f"results.{TASK}"),
        ({"group_subtasks": [TASK]}, "group_subtasks"),
    ],
)
def test_another_layout_is_named_with_its_version(tmp_path: Path, changes: dict[str, Any], place: str) -> None:
    folder = write(tmp_path, [{"doc_id": 0}], lmms_eval_version="0.9.1", **changes)
    with pytest.raises(ValueError, match=f": {place} is not an object; lmms-eval 0.9.1 wrote it in a layout that is"):
        results.read(str(folder))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n-samples": {TASK: {"original": "40", "effective": 40}}}, f"n-samples.{TASK}.original is not a number"),
        ({"n-samples": {TASK: {"original": 40, "effective": [8]}}}, f"n-samples.{TASK}.effective is not a number"),
        ({"n-samples": {TASK: {"original": 40, "effective": True}}}, f"n-samples.{TASK}.effective is not a number"),
        ({"n-samples": {TASK: {"effective": float("nan")}}}, f"n-samples.{TASK}.effective is not a number"),
        ({"n-samples": {TASK: {"effective": 10**400}}}, f"n-samples.{TASK}.effective is not a number"),
        ({"config": {"offset": "3"}}, "config.offset is not a number"),
        ({"group_subtasks": {"hallu_pope": 3}}, "group_subtasks.hallu_pope is not a list"),
        ({"throughput": {"avg_speed": "fast"}}, "throughput.avg_speed is not a number"),
        ({"config": {"resolved_cli_args": {"hallu": {"versions": 7}}}}, "hallu.versions is not an object"),
        ({"config": {"resolved_cli_args": {"hallu": {"git": {"commit": 7}}}}}, "hallu.git.commit is not text"),
        ({"config": {"resolved_cli_args": {"hallu": {"git": {}}}}}, "hallu.git names no commit"),
        ({"configs": {TASK: {"generation_kwargs": "greedy"}}}, f"configs.{TASK}.generation_kwargs is not an object"),
    ],
)
def test_a_malformed_part_is_named_with_its_file(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    folder = write(tmp_path, [{"doc_id": 0}], **changes)
    (file,) = folder.glob("*/*_results.json")
    with pytest.raises(ValueError, match=f"^{re.escape(f'{file}: ')}.*{re.escape(message)}"):
        results.read(str(folder))


@pytest.mark.parametrize("task", ["a/b", "../up", "a\x00b", "x" * 300, "\ud800"])
def test_a_task_that_no_file_can_be_named_for(tmp_path: Path, task: str) -> None:
    folder = write(tmp_path, [{"doc_id": 0}], configs={task: {}})
    with pytest.raises(ValueError, match=r"_results\.json( has no samples of|: configs names a task)"):
        results.read(str(folder))


@pytest.mark.parametrize("document", ["0", [0], {"a": 1}, 0.5, True])
def test_a_document_id_is_a_whole_number(tmp_path: Path, document: object) -> None:
    with pytest.raises(ValueError, match=r"jsonl, line 1: doc_id is .*, not a whole number"):
        results.read(str(write(tmp_path, [{"doc_id": document}])))


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a": 1' + "0" * 5000 + "}"])
def test_json_that_python_does_not_read_is_named(tmp_path: Path, text: str) -> None:
    (file,) = write(tmp_path, [{"doc_id": 0}]).glob("*/*_results.json")
    file.write_text(text)
    with pytest.raises(ValueError, match=r"_results\.json is not valid JSON"):
        results.read(str(tmp_path))


def test_samples_of_an_older_lmms_eval_are_named(tmp_path: Path) -> None:
    folder = write(tmp_path, [{"doc_id": 0}])
    (file,) = folder.glob("*/*.jsonl")
    file.rename(file.with_suffix(".json"))
    with pytest.raises(ValueError, match=r"samples_hallu_demo_pope\.json is in the layout of an older lmms-eval"):
        results.read(str(folder))


@pytest.mark.parametrize("name", ["*_results.json", "*.jsonl"])
def test_files_that_are_no_text_are_named(tmp_path: Path, name: str) -> None:
    (file,) = write(tmp_path, [{"doc_id": 0}]).glob(f"*/{name}")
    file.write_bytes(b"\xff\xfe{}")
    with pytest.raises(ValueError, match=f"{file.name} cannot be read"):
        results.read(str(tmp_path))
