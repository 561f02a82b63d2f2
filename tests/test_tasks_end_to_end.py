"""Every task through the real command, on data in the official formats, with the demo model."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import official
import pytest
import warm
from datasets import Dataset, Features, Image, Value

from hallu_tasks.benchmarks import table

pytestmark = pytest.mark.slow

BIN = Path(sys.executable).parent
SHORT = ("hallu_suite", "hallu_mme_hallucination", "hallu_hallusion")
REST = (
    "hallu_pope_aokvqa",
    "hallu_pope_gqa",
    "hallu_repope",
    "hallu_dash_b",
    "hallu_crpe_exist",
    "hallu_mmvp",
    *(f"hallu_chair_s{seed}" for seed in (1, 2, 3, 4)),
    "hallu_chair_64",
    "hallu_textvqa_ocr",
)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return official.everything(tmp_path_factory.mktemp("data"))


def command(folder, tasks, *more, processes=1, model="llava_base", pretrained="demo", **environment):
    launcher = [BIN / "lmms-eval"]
    if processes > 1:
        # accelerate launch --cpu starts a single process, whatever number it is given.
        launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", processes]
        launcher += ["-m", "lmms_eval"]
        environment = {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1", **environment}
    line = [
        *launcher, "--model", model, "--model_args", f"pretrained={pretrained}", "--tasks", ",".join(tasks),
        "--batch_size", "16", "--output_path", folder / "out", "--log_samples", *more,
    ]  # fmt: skip
    folder.mkdir(exist_ok=True)
    return warm.started(list(map(str, line)), folder, {"HF_HUB_OFFLINE": "1", **environment})


def results(folder):
    found = list((folder / "out").rglob("*_results.json"))
    return json.loads(found[0].read_text()) if found else None


def scores(folder):
    """Every score of every task and group, without the names of the files they are in."""
    return {
        (task, name): value
        for task, values in results(folder)["results"].items()
        for name, value in values.items()
        if "," in name and "stderr" not in name
    }


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    """A function that runs the tasks once with a limit, processes and scoring threads; all of them at an odd limit."""
    done = {}

    def ran(limit, processes, threads):
        if (limit, processes, threads) not in done:
            folder = tmp_path_factory.mktemp(f"run_{limit}_{processes}_{threads}")
            more = ("--limit", limit, "--process_docs_parallel", threads)
            tasks = (*SHORT, *REST) if limit % 2 else SHORT
            cache = str(folder.parent / "cache")
            finished = command(folder, tasks, *more, processes=processes, HALLU_DATA=str(data), XDG_CACHE_HOME=cache)
            assert results(folder), finished.stderr[-3000:] + finished.stdout[-3000:]
            assert results(folder)["config"]["resolved_cli_args"]["hallu"]["processes"] == processes
            done[limit, processes, threads] = folder
        return done[limit, processes, threads]

    return ran


def test_every_task_runs_and_has_its_scores(run):
    folder = run(7, 1, 8)
    found = scores(folder)
    assert {task for task, _ in found} >= set(table.TASKS)
    for (task, name), value in found.items():
        total = name.split(",")[0] in ("perception", "cognition", "hallucination")
        assert isinstance(value, int | float) or (total and value is None), (task, name, value)
    for task in table.TASKS:
        (file,) = (folder / "out").rglob(f"*_samples_{task}.jsonl")
        assert len(file.read_text().splitlines()) == 7, task


def test_a_metric_without_a_better_direction_gets_no_arrow(run):
    better = results(run(7, 1, 8))["higher_is_better"]
    assert better["hallu_pope_random"] == {
        **dict.fromkeys(("accuracy", "precision", "recall", "f1", "f1_pooled"), True),
        "yes_ratio": None,
        "unparsed_count": False,
        "by_default_count": False,
    }
    assert better["hallu_pope"]["yes_ratio"] is None


def test_the_demo_model_sees_the_pictures(run):
    """Blind answers would be right half of the time and name few of the objects."""
    found = scores(run(7, 1, 8))
    assert found["hallu_pope_random", "accuracy,none"] > 80
    assert found["hallu_chair_s0", "recall,none"] > 70
    assert found["hallu_amber_generative", "cover,none"] > 50


def test_a_group_has_the_mean_and_the_pooled_f1(run):
    found = scores(run(7, 1, 8))
    for group in ("hallu_pope", "hallu_pope_aokvqa", "hallu_pope_gqa", "hallu_repope"):
        single = [found[f"{group}_{strategy}", "f1,none"] for strategy in official.STRATEGIES]
        assert found[group, "f1,none"] == pytest.approx(sum(single) / 3)
        assert isinstance(found[group, "f1_pooled,none"], float)


@pytest.mark.parametrize("limit", [7, 4])
def test_two_processes_and_one_thread_score_as_one_process_and_eight(run, limit):
    assert scores(run(limit, 2, 1)) == scores(run(limit, 1, 8))


def test_missing_data_are_named_before_the_model_is_loaded(tmp_path):
    (tmp_path / "data").mkdir()
    done = command(tmp_path, ["hallu_chair"], pretrained="no/such-model", HALLU_DATA=str(tmp_path / "data"))
    said = done.stdout + done.stderr
    assert results(tmp_path) is None
    assert "COCO val2014 (CHAIR) is not available" in said and "annotations_trainval2014.zip" in said
    assert "no/such-model" not in said.split("is not available")[1]


def test_without_the_hook_the_readers_still_say_what_is_wrong(tmp_path):
    (tmp_path / "data").mkdir()
    folder = subprocess.run([BIN / "hallu", "tasks-path"], capture_output=True, text=True, check=True).stdout.strip()
    path = ("--include_path", folder)
    done = command(tmp_path, ["hallu_chair_s0"], *path, HALLU_DATA=str(tmp_path / "data"), HALLU_TASKS="0")
    assert "COCO val2014 (CHAIR) is not available" in done.stdout + done.stderr


@pytest.mark.parametrize("model", ["llava_base", "llava_cicd"])
def test_the_runners_own_pope_and_mme_run_untouched(tmp_path, model):
    """A folder called like the data set, in the working directory, stands in for the Hub."""
    columns = {
        "id": "string", "question_id": "string", "question": "string", "answer": "string", "image_source": "string",
        "category": "string",
    }  # fmt: skip
    rows = [
        {
            "id": str(number),
            "question_id": f"existence/{number // 2}.jpg",
            "question": f"Is there a {thing} in the image?",
            "answer": answer,
            "image_source": f"COCO_val2014_{number:012d}",
            "category": "existence",
            "image": {"bytes": official.scene(number // 2)["image"]["bytes"], "path": None},
        }
        for number, (thing, answer) in enumerate(
            pair for place in range(4) for pair in ((official.scene(place)["objects"][0], "Yes"), ("hair drier", "No"))
        )
    ]
    features = Features({**{name: Value(kind) for name, kind in columns.items()}, "image": Image()})
    for repository in ("POPE", "MME"):
        place = tmp_path / "lmms-lab-encoder" / repository / "data"
        place.mkdir(parents=True)
        Dataset.from_list(rows, features=features).to_parquet(place / "test-00000.parquet")
    done = command(tmp_path, ["pope", "mme"], model=model, HF_HOME=str(tmp_path / "hf"))
    assert results(tmp_path), done.stderr[-3000:]
    found = scores(tmp_path)
    assert found["pope", "pope_accuracy,none"] >= 0 and found["mme", "mme_perception_score,none"] >= 0
