"""What two runs must share, and how a difference is told."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from hallu_tasks.benchmarks import table
from hallu_tasks.compare import differences
from hallu_tasks.compare.compute import compare
from hallu_tasks.compare.differences import Difference
from hallu_tasks.pope import task as pope_task
from hallu_tasks.report import as_text
from hallu_tasks.runs.results import Run, Sample, TaskRun

TASK = "hallu_demo_pope"
GREEDY = {"max_new_tokens": 8, "temperature": 0.0, "do_sample": False, "until": []}
HALLU = {
    "pretrained": "demo",
    "revision": "default",
    "dtype": "float32",
    "attention": "sdpa",
    "device": "cpu",
    "batch_size": 16,
    "checkpoint_files": "a" * 64,
    "checkpoint_commit": None,
    "git": {"commit": "c" * 40, "dirty": False},
    "versions": {"lmms-eval-hallu": "0.1.0"},
    "questions": {TASK: {"documents": 6, "sha256": "1" * 64}},
}


def run(
    model: str, decoding: Mapping[str, Any] = GREEDY, documents: range = range(6), batch: object = None, **hallu: Any
) -> Run:
    """An arm that answers Yes to its questions; `batch` is what lmms-eval recorded, `hallu` what the adapter did."""
    samples = {}
    for number in documents:
        doc = {"image_id": number // 2, "question": f"Is there a {number}?", "answer": "Yes"}
        samples[number] = Sample(doc["question"], "Yes", "Yes", pope_task.process_results(doc, ["Yes"]))
    return Run(
        given=f"results/{model}",
        file=Path(f"results/{model}/demo/1_results.json"),
        runs_count=1,
        model=model,
        hallu={**HALLU, **hallu},
        results={"config": {"batch_size": batch}},
        tasks={TASK: TaskRun(TASK, {"generation_kwargs": decoding}, samples)},
    )


def find(*runs: Run) -> list[Difference]:
    kind = table.of(runs[0].tasks[TASK].samples)
    assert kind is not None
    return differences.find(runs, {TASK: kind})


def told(*runs: Run) -> list[str]:
    return [difference.text([run.model for run in runs]) for difference in find(*runs)]


BASE = run("llava_base")


def test_arms_of_equal_settings_do_not_differ() -> None:
    assert find(BASE, run("llava_vhr", method="vhr", parameters="alpha=2", cards={"vhr": 1})) == []


# The settings


@pytest.mark.parametrize(
    ("setting", "text"),
    [
        ({"device": "cuda"}, "device: llava_base=cpu, other=cuda"),
        ({"batch_size": 1}, "batch_size: llava_base=more than 1, other=1"),
        ({"checkpoint_files": "b" * 64}, "checkpoint (files): llava_base=aaaaaaaaaaaa, other=bbbbbbbbbbbb"),
        ({"git": {"commit": "d" * 40, "dirty": True}}, "commit: llava_base=cccccccccccc, other=dddddddddddd"),
        ({"versions": {"lmms-eval-hallu": "0.2.0"}}, "versions (lmms-eval-hallu): llava_base=0.1.0, other=0.2.0"),
        ({"checkpoint_commit": "e" * 40}, "checkpoint (commit): llava_base=not recorded, other=eeeeeeeeeeee"),
        (
            {"questions": {TASK: {"documents": 6, "sha256": "2" * 64}}},
            f"documents ({TASK} images or other columns): llava_base=111111111111, other=222222222222",
        ),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_setting_that_differs_is_named(setting: dict[str, Any], text: str) -> None:
    hub = {"checkpoint_files": None, "pretrained": "a/b"} if "checkpoint_commit" in setting else {}
    assert told(run("llava_base", **hub), run("other", **{**hub, **setting})) == [text]


@pytest.mark.parametrize("size", [2, 16, 64])
def test_batches_of_any_size_above_one_are_alike(size: int) -> None:
    assert find(BASE, run("other", batch_size=size)) == []


def test_the_batch_size_of_another_packages_model_is_lmms_evals() -> None:
    assert find(run("a", batch="8", batch_size=None), run("b", batch=16, batch_size=None)) == []
    assert [one.name for one in find(run("a", batch="1", batch_size=None), run("b"))] == ["batch_size"]


def test_equal_files_are_one_checkpoint_wherever_they_lie() -> None:
    assert find(BASE, run("other", pretrained="/data/demo", revision="main")) == []


def test_equal_commits_are_one_revision_of_a_checkpoint() -> None:
    hub = {"checkpoint_files": None, "pretrained": "a/b", "checkpoint_commit": "e" * 40}
    assert find(run("a", **hub), run("b", **hub, revision="e" * 40)) == []
    assert [one.detail for one in find(run("a", **hub), run("b", **{**hub, "pretrained": "a/c"}))] == ["pretrained"]


def test_runs_of_an_older_version_differ_from_new_ones_and_not_from_each_other() -> None:
    new = ("device", "batch_size", "checkpoint_files", "checkpoint_commit", "git", "questions")
    old = dict.fromkeys(new)
    assert find(run("a", **old), run("b", **old)) == []
    assert told(run("a", **old), run("b")) == [
        "checkpoint (files): a=not recorded, b=aaaaaaaaaaaa",
        "device: a=not recorded, b=cpu",
        "batch_size: a=not recorded, b=more than 1",
        "commit: a=not recorded, b=cccccccccccc",
    ]


# Decoding

SAMPLED = {**GREEDY, "do_sample": True, "temperature": 0.7}


def test_a_sampled_baseline_is_called_one() -> None:
    assert told(run("llava_base", SAMPLED), run("llava_vhr")) == [
        f"decoding ({TASK} sampling): llava_base samples (temperature 0.7), llava_vhr is greedy: "
        "a sampled baseline scores worse than a greedy one, so part of a gain is the decoding's"
    ]


def test_a_sampled_method_is_called_one() -> None:
    (text,) = told(BASE, run("llava_vhr", {"max_new_tokens": 8, "temperature": 1, "until": []}))
    assert "llava_base is greedy, llava_vhr samples (temperature 1): sampling moves scores by itself" in text


def test_the_warning_stands_in_what_is_printed_when_sampling_is_allowed_to_differ() -> None:
    arms = (run("llava_base", SAMPLED), run("llava_vhr"))
    with pytest.raises(ValueError, match=r"(?s)a sampled baseline scores worse.*--allow-different decoding"):
        compare(arms, resamples=100)
    printed = as_text(compare(arms, resamples=100, allow_different=["decoding"]))
    assert "llava_base samples (temperature 0.7), llava_vhr is greedy: a sampled baseline scores worse" in printed


def test_two_arms_that_sample_differ_in_their_temperature() -> None:
    (text,) = told(run("a", SAMPLED), run("b", {**SAMPLED, "temperature": 1.0}))
    assert text == f"decoding ({TASK} temperature): a=0.7, b=1"


@pytest.mark.parametrize("unused", [{"temperature": 0}, {"top_p": 0}, {"top_p": 1.0, "top_k": 50}])
def test_what_greedy_decoding_does_not_read_is_no_difference(unused: dict[str, Any]) -> None:
    assert find(BASE, run("other", {**GREEDY, **unused})) == []


def test_beams_are_a_difference() -> None:
    assert told(BASE, run("other", {**GREEDY, "num_beams": 5})) == [
        f"decoding ({TASK} num_beams): llava_base=not recorded, other=5"
    ]


# The documents


def test_other_documents_are_one_difference_whatever_the_hash_says() -> None:
    fewer = run("other", documents=range(4), questions={TASK: {"documents": 4, "sha256": "2" * 64}})
    assert told(BASE, fewer) == [f"documents ({TASK}): llava_base=6 (ids 0-5), other=4 (ids 0-3)"]


def test_the_documents_in_common_are_used_only_when_allowed_and_their_number_is_printed() -> None:
    arms = (BASE, run("llava_vhr", documents=range(2, 8)))
    with pytest.raises(ValueError, match="--allow-different documents"):
        compare(arms, resamples=100)
    compared = compare(arms, resamples=100, allow_different=["documents"])
    assert compared.blocks[0].documents_count == 4
    printed = as_text(compared)
    assert f"{TASK}: POPE in percent; 4 questions on 2 images" in printed
    assert f"Allowed to differ: documents ({TASK}): llava_base=6 (ids 0-5), llava_vhr=6 (ids 2-7)" in printed
