"""The commands of the README, run as a user runs them."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest
import warm

from hallu_tasks.benchmarks import table

BIN = Path(sys.executable).parent
HEADLINE = {
    "hallu_demo_chair": ("chair_s", "chair_i", "recall", "mean_length"),
    "hallu_demo_pope": ("accuracy", "f1", "yes_ratio"),
    "hallu_demo_mme": ("existence",),
}


def run(*command, cwd, check=True, **environment):
    done = warm.started([str(part) for part in command], cwd, {"HF_HUB_OFFLINE": "1", **environment})
    assert not check or done.returncode == 0, done.stderr[-3000:]
    return done


def evaluate(cwd, model, *more, launcher=(BIN / "lmms-eval",), output=None, **environment):
    output = output or f"results/{model}"
    return run(
        *launcher, "--model", model, "--model_args", "pretrained=demo", "--tasks", "hallu_demo", "--batch_size", "16",
        "--limit", "21", "--output_path", output, "--log_samples", *more, cwd=cwd, **environment,
    )  # fmt: skip


def results(folder):
    return json.loads(max(folder.rglob("*_results.json")).read_text())


def scores(folder):
    found = results(folder)["results"]
    return {f"{task}/{name}": found[task][f"{name},none"] for task, names in HEADLINE.items() for name in names}


def answers(folder):
    return {
        (file.name.split("_samples_")[1], sample["doc_id"]): sample["filtered_resps"]
        for file in folder.rglob("*_samples_*.jsonl")
        for sample in map(json.loads, file.read_text().splitlines())
    }


MARGIN = re.compile(rb', "margin": ([-+.e0-9]+)')


def sample_lines(folder):
    """The lines of the samples by task, as they are: they hold no times. Processes take turns at the documents.

    Behind each its margin, in which batches of other sizes agree but for rounding.
    """
    found = {file.name.split("_samples_")[1]: file.read_bytes() for file in folder.rglob("*_samples_*.jsonl")}
    lines = {task: sorted(text.splitlines(), key=lambda line: MARGIN.sub(b"", line)) for task, text in found.items()}
    margins = [float(MARGIN.search(line)[1]) for task in sorted(lines) for line in lines[task]]
    return {task: [MARGIN.sub(b"", line) for line in own] for task, own in lines.items()}, margins


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """Both arms, from a folder that is not the repository."""
    folder = tmp_path_factory.mktemp("work")
    for model in ("llava_base", "llava_vhr"):
        evaluate(folder, model)
    return folder


def test_both_arms_have_every_headline_score(workplace):
    for model in ("llava_base", "llava_vhr"):
        found = scores(workplace / "results" / model)
        assert all(isinstance(value, int | float) for value in found.values()), found
        assert results(workplace / "results" / model)["config"]["model"] == model


def test_vhr_changes_answers(workplace):
    base, vhr = (answers(workplace / "results" / model) for model in ("llava_base", "llava_vhr"))
    assert base.keys() == vhr.keys()
    assert base != vhr


def test_the_run_is_recorded(workplace):
    config = results(workplace / "results" / "llava_vhr")["config"]["resolved_cli_args"]["hallu"]
    assert config["parameters"] == "alpha=2,layers=1+4-7,top_k=0,variant=paper"
    assert config["attention"] == "sdpa" and config["dtype"] == "float32"


def test_alpha_one_answers_as_the_control_arm(workplace):
    evaluate(workplace, "llava_vhr", "--model_args", "pretrained=demo,alpha=1", output="results/one")
    assert answers(workplace / "results" / "one") == answers(workplace / "results" / "llava_base")


@pytest.mark.slow
def test_two_processes_give_the_bytes_of_one(workplace):
    # accelerate launch --cpu starts a single process, whatever number it is given.
    launcher = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", "-m", "lmms_eval")
    settings = {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    evaluate(workplace, "llava_vhr", launcher=launcher, output="results/two", **settings)
    assert results(workplace / "results" / "two")["config"]["resolved_cli_args"]["hallu"]["processes"] == 2
    assert scores(workplace / "results" / "two") == scores(workplace / "results" / "llava_vhr")
    (two, margins), (one, expected) = (sample_lines(workplace / "results" / name) for name in ("two", "llava_vhr"))
    assert margins == pytest.approx(expected, abs=2e-4)
    assert len(one) == 3 and two == one


def test_compare_prints_both_arms(workplace):
    printed = run(BIN / "hallu", "compare", "results/llava_base", "results/llava_vhr", cwd=workplace).stdout
    for text in (
        "llava_base",
        "llava_vhr",
        "CHAIR_s",
        "CHAIR_i",
        "recall",
        "length",
        "accuracy",
        "F1",
        "yes ratio",
        "existence",
    ):
        assert text in printed, printed


@pytest.mark.slow
def test_tasks_are_listed_without_a_flag_and_can_be_switched_off(tmp_path):
    listed = run(BIN / "lmms-eval", "--model", "llava_vhr", "--tasks", "list", cwd=tmp_path)
    groups = {
        "hallu_demo",
        "hallu_suite",
        "hallu_chair",
        "hallu_pope",
        "hallu_pope_aokvqa",
        "hallu_pope_gqa",
        "hallu_repope",
    }
    assert set((listed.stdout + listed.stderr).split()) >= {*table.TASKS, *groups, "hallu_demo_chair"}
    off = run(BIN / "lmms-eval", "--model", "llava_vhr", "--tasks", "list", cwd=tmp_path, HALLU_TASKS="0")
    assert "hallu_demo_chair" not in off.stdout + off.stderr


def test_the_tasks_subcommand_finds_them_with_the_path(tmp_path):
    path = run(sys.executable, "-m", "hallu_tasks", cwd=tmp_path).stdout.strip()
    listed = run(BIN / "lmms-eval", "tasks", "list", "--include-path", path, cwd=tmp_path, check=False)
    assert "hallu_demo_chair" in listed.stdout + listed.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--model_args", "pretrained=demo,alpha=abc"), "vhr: alpha=abc is not a number; allowed: a number >= 0"),
        (("--tasks", "pope"), "hf download --repo-type dataset"),
    ],
)
def test_a_wrong_argument_ends_with_what_is_allowed(tmp_path, arguments, message):
    failed = evaluate(tmp_path, "llava_vhr", *arguments, check=False, HF_HOME=str(tmp_path / "empty"))
    assert message in (failed.stdout + failed.stderr).replace("\n", " ")
    assert not list(tmp_path.rglob("*_results.json"))


@pytest.mark.slow
def test_a_stray_registry_file_is_named(tmp_path):
    (tmp_path / "registry.py").write_text("")
    failed = evaluate(tmp_path, "llava_vhr", launcher=(sys.executable, "-m", "lmms_eval"), check=False)
    assert f"{tmp_path / 'registry.py'} hides the registry package" in failed.stderr
    doctor = run(BIN / "hallu", "doctor", "--quick", cwd=tmp_path, check=False)
    assert doctor.returncode == 1
    assert "registry.py" in doctor.stdout
