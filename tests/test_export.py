"""``hallu export``: what each format says of a run, checked by the libraries that read it."""

from __future__ import annotations

import copy
import hashlib
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import parse_eval_result_entries
from huggingface_hub.repocard import ModelCard
from huggingface_hub.repocard_data import model_index_to_eval_results

import hallu_tasks
from hallu_tasks.chair import task as chair_task
from hallu_tasks.export import every_eval_ever, required
from hallu_tasks.mme import task as mme_task
from hallu_tasks.pope import task as pope_task
from registry.commands import cli

ROOT = Path(hallu_tasks.__file__).parents[1]
SCHEMAS = os.environ.get("EEE_SCHEMA_DIR")
HALLU: dict[str, Any] = {
    "model_id": "llava_vhr",
    "method": "vhr",
    "parameters": "alpha=2,layers=1+4-7",
    "pretrained": "org/model",
    "revision": "default",
    "checkpoint_commit": "c" * 40,
    "dtype": "float32",
    "versions": {"lmms-eval-hallu": "0.1.0", "lmms-eval": "0.7.3", "transformers": "5.23.0"},
    "cards": {"vhr": 1},
    "git": {"commit": "d" * 40, "dirty": True},
    "command": ["lmms-eval", "--model", "llava_vhr"],
    "questions": {"hallu_demo_pope": {"documents": 8, "sha256": "e" * 64}},
}
NOTE = (
    "mitigation method vhr (card 1): alpha=2,layers=1+4-7; lmms-eval-hallu 0.1.0, lmms-eval 0.7.3, "
    "transformers 5.23.0, commit dddddddddddd with changes; float32"
)


def caption(image: int) -> tuple[dict[str, Any], str, str]:
    doc = {"image_id": image, "objects": ["cat", "clock"], "question": "Describe."}
    return doc, "A cat and a dog." if image < 2 else "A cat and a clock.", str(doc["objects"])


def question(number: int) -> tuple[dict[str, Any], str, str]:
    right = ("Yes", "No")[number % 2]
    doc = {"image_id": number // 2, "question": f"Is there a {number}?", "answer": right}
    return doc, "Yes" if number < 4 else right, right


def pair(number: int) -> tuple[dict[str, Any], str, str]:
    doc, answer, right = question(number)
    return {**doc, "category": "existence"}, answer, right


TASKS = {
    "hallu_demo_chair": (chair_task, caption, ("chair_s", "recall", "mean_length")),
    "hallu_demo_pope": (pope_task, question, ("accuracy", "f1")),
    "hallu_demo_mme": (mme_task, pair, ("existence",)),
}
CUSTOM = "my_task"


def write(folder: Path, *, date: str = "20261121_173348", **hallu: Any) -> Path:
    """A run of three tasks of this package and one of another; `hallu` replaces what the adapter recorded."""
    place = folder / "run"
    place.mkdir(parents=True)
    found: dict[str, Any] = {CUSTOM: {"score,none": 0.25, "score_stderr,none": "N/A", "score_stderr_clt,none": 0.0625}}
    lines: dict[str, list[dict[str, Any]]] = {
        CUSTOM: [{"doc_id": 0, "target": "x", "filtered_resps": "y", "input": "z", "score": 1.0}]
    }
    for name, (module, make, metrics) in TASKS.items():
        lines[name] = []
        for number in range(8):
            doc, answer, target = make(number)
            records = module.process_results(doc, [answer])
            line = {"doc_id": number, "target": target, "filtered_resps": answer, "input": doc["question"], **records}
            lines[name].append(line)
        found[name] = {
            f"{metric},none": getattr(module, metric)([line[metric] for line in lines[name]]) for metric in metrics
        }
    greedy = {"max_new_tokens": 64, "temperature": 0.0, "do_sample": False, "until": []}
    data = {
        "results": found,
        "configs": {
            name: {"task": name, "dataset_path": "json", "test_split": "test", "generation_kwargs": greedy}
            for name in lines
        },
        "higher_is_better": {CUSTOM: {"score": True}},
        "n-samples": {name: {"original": len(own), "effective": len(own)} for name, own in lines.items()},
        "config": {
            "model": "llava_vhr",
            "resolved_cli_args": {"timezone": "Asia/Singapore", "hallu": {**HALLU, **hallu}},
        },
        "date": date,
    }
    data["configs"][CUSTOM]["dataset_path"] = "org/data"
    (place / f"{date}_results.json").write_text(json.dumps(data))
    for name, own in lines.items():
        (place / f"{date}_samples_{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in own))
    return folder


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return write(tmp_path / "results")


def export(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str]:
    try:
        code = cli.main(["export", *map(str, arguments), "--resamples", "200"])
    except SystemExit as end:
        code = int(end.code or 0)
    out, err = capsys.readouterr()
    assert out == ""
    return code, err


BENCHMARK = ("--dataset-id", "org/bench", "--task-id", "adversarial")
ONE = ("--format", "hf-eval-results", *BENCHMARK, "--task", "hallu_demo_pope", "--metric", "accuracy")
EEE = ("--format", "every-eval-ever", "--organization", "My Lab", "--relationship", "third_party")


# The Hub's evaluation results


def test_the_hubs_file_is_what_its_library_reads(
    capsys: pytest.CaptureFixture[str], results: Path, tmp_path: Path
) -> None:
    path = tmp_path / ".eval_results" / "pope_vhr.yaml"
    assert export(capsys, results, *ONE, "--output", path) == (0, f"wrote {path}\n")
    (entry,) = parse_eval_result_entries(yaml.safe_load(path.read_text()))
    assert (entry.dataset_id, entry.task_id, entry.value) == ("org/bench", "adversarial", 75.0)
    assert entry.date == "2026-11-21T09:33:48Z"  # lmms-eval writes the time of Singapore.
    assert entry.notes is not None
    assert entry.notes.startswith(f"{NOTE}; hallu_demo_pope accuracy; 95 % interval [")


def test_a_limited_run_says_so_wherever_a_score_stands(
    capsys: pytest.CaptureFixture[str], results: Path, tmp_path: Path
) -> None:
    (file,) = results.glob("*/*_results.json")
    data = json.loads(file.read_text())
    data["n-samples"]["hallu_demo_pope"]["original"] = 256
    file.write_text(json.dumps(data))
    said = "limited: hallu_demo_pope 8 of 256 documents"
    export(capsys, results, *ONE, "--output", tmp_path / "pope.yaml")
    assert said in (tmp_path / "pope.yaml").read_text()
    export(capsys, results, "--format", "model-card", "--output", tmp_path / "card.md")
    assert said in (tmp_path / "card.md").read_text()
    export(capsys, results, *EEE, "--output", tmp_path)
    (record,) = (tmp_path / "data").rglob("*.json")
    found = json.loads(record.read_text())["evaluation_results"]
    assert found and all(said in one["score_details"]["details"]["notes"] for one in found)


def test_the_plain_model_is_called_plain(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    folder = write(tmp_path / "base", method="none", parameters="", cards={}, model_id="llava_base")
    export(capsys, folder, *ONE, "--output", tmp_path / "a.yaml")
    (entry,) = yaml.safe_load((tmp_path / "a.yaml").read_text())
    assert entry["notes"].startswith("plain model, no mitigation method; lmms-eval-hallu 0.1.0")


def test_the_benchmark_is_never_guessed(capsys: pytest.CaptureFixture[str], results: Path, tmp_path: Path) -> None:
    for missing in (0, 2):
        given = BENCHMARK[:missing] + BENCHMARK[missing + 2 :]
        code, err = export(capsys, results, "--format", "hf-eval-results", *given, "--output", tmp_path / "a.yaml")
        assert code == 2 and "needs --dataset-id and --task-id" in err
    assert not (tmp_path / "a.yaml").exists()


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ((), "several scores fit; choose one of --task my_task --metric score, --task hallu_demo_chair"),
        (
            ("--task", "hallu_demo_pope"),
            "choose one of --task hallu_demo_pope --metric accuracy, --task hallu_demo_pope",
        ),
        (("--task", "hallu_pope", "--metric", "f1"), "no score fits; choose one of --task my_task"),
    ],
)
def test_one_file_holds_one_score(
    capsys: pytest.CaptureFixture[str], results: Path, tmp_path: Path, chosen: tuple[str, ...], message: str
) -> None:
    path = tmp_path / "a.yaml"
    code, err = export(capsys, results, "--format", "hf-eval-results", *BENCHMARK, *chosen, "--output", path)
    assert code == 2 and message in err and not path.exists()


# The model card


def test_a_model_cards_index_survives_the_hubs_library(
    capsys: pytest.CaptureFixture[str], results: Path, tmp_path: Path
) -> None:
    path = tmp_path / "scores.md"
    assert export(capsys, results, "--format", "model-card", "--output", path)[0] == 0
    name, entries = model_index_to_eval_results(yaml.safe_load(path.read_text().strip("-\n"))["model-index"])
    assert name == "org/model+vhr"
    found = {(one.dataset_type, one.metric_type): one for one in entries}
    assert len(found) == len(entries) == 7
    accuracy = found["hallu_demo_pope", "accuracy"]
    assert (accuracy.metric_value, accuracy.metric_name, accuracy.dataset_split) == (75.0, "accuracy with vhr", "test")
    assert all(str(one.metric_config).startswith(NOTE) for one in entries)
    assert "standard error 0.0625 (clt)" in str(found[CUSTOM, "score"].metric_config)
    assert len(ModelCard(path.read_text()).data.eval_results) == 7


def test_a_model_card_that_exists_is_left_alone(
    capsys: pytest.CaptureFixture[str], results: Path, tmp_path: Path
) -> None:
    path = tmp_path / "README.md"
    path.write_text("My model")
    code, err = export(capsys, results, "--format", "model-card", "--output", path)
    assert code == 2 and "a model card is more than its scores" in err
    assert path.read_text() == "My model"


# every_eval_ever


def exported(capsys: pytest.CaptureFixture[str], results: Path, folder: Path) -> tuple[Path, dict[str, Any], list[Any]]:
    code, err = export(capsys, results, *EEE, "--output", folder)
    assert code == 0, err
    (path,) = folder.rglob("*.json")
    aggregate = json.loads(path.read_text())
    detailed = folder / aggregate["detailed_evaluation_results"]["file_path"]
    return path, aggregate, [json.loads(line) for line in detailed.read_text().splitlines()]


def test_the_record_stands_where_the_format_wants_it(
    capsys: pytest.CaptureFixture[str], results: Path, tmp_path: Path
) -> None:
    path, aggregate, samples = exported(capsys, results, tmp_path / "out")
    assert path.parent == tmp_path / "out/data/lmms-eval-hallu/org/model+vhr"
    detailed = aggregate["detailed_evaluation_results"]
    file = tmp_path / "out" / detailed["file_path"]
    assert file == path.with_name(f"{path.stem}_samples.jsonl")
    assert detailed["checksum"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert detailed["total_rows"] == len(samples) == 24
    assert {sample["evaluation_id"] for sample in samples} == {aggregate["evaluation_id"]}
    identities = {result["evaluation_result_id"] for result in aggregate["evaluation_results"]}
    assert {sample["evaluation_result_id"] for sample in samples} == {
        "hallu_demo_chair.chair_s", "hallu_demo_pope.accuracy", "hallu_demo_mme.existence",
    } <= identities  # fmt: skip


def test_a_mitigated_model_is_another_entry_than_the_plain_one(
    capsys: pytest.CaptureFixture[str], results: Path, tmp_path: Path
) -> None:
    _, mitigated, _ = exported(capsys, results, tmp_path / "a")
    plain_run = write(tmp_path / "base", method="none", parameters="", cards={})
    _, plain, _ = exported(capsys, plain_run, tmp_path / "b")
    assert (mitigated["model_info"]["id"], plain["model_info"]["id"]) == ("org/model+vhr", "org/model")
    details = mitigated["model_info"]["additional_details"]
    assert (details["base_model"], details["method"], details["parameters"]) == (
        "org/model", "vhr", "alpha=2,layers=1+4-7",
    )  # fmt: skip
    assert {result["score_details"]["details"]["notes"] for result in mitigated["evaluation_results"]} == {NOTE}
    assert mitigated["eval_library"]["version"] == "0.1.0"


def test_scores_have_their_direction_range_and_interval(
    capsys: pytest.CaptureFixture[str], results: Path, tmp_path: Path
) -> None:
    _, aggregate, _ = exported(capsys, results, tmp_path / "out")
    found = {one["evaluation_result_id"]: one for one in aggregate["evaluation_results"]}
    config = {name: one["metric_config"] for name, one in found.items()}
    assert config["hallu_demo_chair.chair_s"]["lower_is_better"] and not config["hallu_demo_pope.f1"]["lower_is_better"]
    assert config["hallu_demo_chair.chair_s"]["max_score"] == 100.0
    assert (config["hallu_demo_mme.existence"]["max_score"], config["hallu_demo_mme.existence"]["metric_unit"]) == (
        200.0, "points",
    )  # fmt: skip
    assert config["hallu_demo_chair.mean_length"]["max_score"] == "Infinity"
    assert config["hallu_demo_chair.mean_length"]["additional_details"] == {"direction": "neither is better"}
    # Wilson's interval of 2 in 8.
    interval = found["hallu_demo_chair.chair_s"]["score_details"]["uncertainty"]["confidence_interval"]
    assert (interval["lower"], interval["upper"]) == pytest.approx((7.15, 59.07), abs=0.01)
    assert (interval["confidence_level"], interval["method"]) == (0.95, "Wilson")
    drawn = found["hallu_demo_pope.f1"]["score_details"]["uncertainty"]
    assert (drawn["num_samples"], drawn["num_bootstrap_samples"]) == (4, 200)
    assert found[f"{CUSTOM}.score"]["score_details"]["uncertainty"]["standard_error"]["value"] == 0.0625
    assert found[f"{CUSTOM}.score"]["source_data"]["hf_repo"] == "org/data"
    assert found["hallu_demo_pope.f1"]["source_data"]["additional_details"]["questions_sha256"] == "e" * 64
    assert found["hallu_demo_pope.f1"]["generation_config"]["generation_args"]["max_tokens"] == 64


def test_samples_say_what_was_asked_said_and_scored(
    capsys: pytest.CaptureFixture[str], results: Path, tmp_path: Path
) -> None:
    _, _, samples = exported(capsys, results, tmp_path / "out")
    by_task = {task: [one for one in samples if one["evaluation_name"] == task] for task in TASKS}
    wrong = {
        task: [one["sample_id"] for one in own if not one["evaluation"]["is_correct"]] for task, own in by_task.items()
    }
    assert wrong == {"hallu_demo_chair": ["0", "1"], "hallu_demo_pope": ["1", "3"], "hallu_demo_mme": ["1", "3"]}
    first = by_task["hallu_demo_chair"][0]
    assert first["input"] == {"raw": "Describe.", "reference": ["cat", "clock"]}
    assert first["output"] == {"raw": ["A cat and a dog."]}
    assert first["evaluation"] == {"score": 1.0, "is_correct": False}


def test_the_same_run_gives_the_same_files(capsys: pytest.CaptureFixture[str], results: Path, tmp_path: Path) -> None:
    for folder in ("a", "b"):
        exported(capsys, results, tmp_path / folder)
    a, b = (
        {path.relative_to(tmp_path / folder): path.read_bytes() for path in (tmp_path / folder).rglob("*.json*")}
        for folder in ("a", "b")
    )
    assert a == b and len(a) == 2


@pytest.mark.skipif(
    SCHEMAS is None or importlib.util.find_spec("jsonschema") is None,
    reason="needs every_eval_ever's schemas in EEE_SCHEMA_DIR, and jsonschema",
)
def test_the_record_and_its_samples_fit_the_formats_schemas(
    capsys: pytest.CaptureFixture[str], results: Path, tmp_path: Path
) -> None:
    import jsonschema

    _, aggregate, samples = exported(capsys, results, tmp_path / "out")
    schemas = [json.loads((Path(str(SCHEMAS)) / name).read_text()) for name in (
        "eval.schema.json", "instance_level_eval.schema.json",
    )]  # fmt: skip
    assert [schema["version"] for schema in schemas] == [every_eval_ever.SCHEMA] * 2
    jsonschema.validate(aggregate, schemas[0])
    for sample in samples:
        jsonschema.validate(sample, schemas[1])


def remove(value: dict[str, Any], place: str) -> None:
    *path, last = place.replace("[]", ".0").split(".")
    for name in path:
        value = value[int(name)] if isinstance(value, list) else value[name]
    del value[last]


def test_every_required_field_is_missed(capsys: pytest.CaptureFixture[str], results: Path, tmp_path: Path) -> None:
    _, aggregate, (sample, *_) = exported(capsys, results, tmp_path / "out")
    checks = (
        (aggregate, required._AGGREGATE, required.check_aggregate),
        (sample, required._SAMPLE, required.check_sample),
    )
    for whole, fields, check in checks:
        check(whole)
        for place in fields:
            broken = copy.deepcopy(whole)
            remove(broken, place)
            with pytest.raises(ValueError, match="takes"):
                check(broken)


def test_details_that_are_no_text_are_named(capsys: pytest.CaptureFixture[str], results: Path, tmp_path: Path) -> None:
    _, aggregate, _ = exported(capsys, results, tmp_path / "out")
    aggregate["model_info"]["additional_details"]["alpha"] = 2
    with pytest.raises(ValueError, match=r"model_info\.additional_details\.alpha is no text"):
        required.check_aggregate(aggregate)


# Bad input


@pytest.mark.parametrize("form", [ONE, EEE, ("--format", "model-card")], ids=lambda form: form[1])
def test_a_run_that_does_not_name_its_method_is_not_exported(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, form: tuple[str, ...]
) -> None:
    folder = write(tmp_path / "results")
    (file,) = folder.rglob("*_results.json")
    data = json.loads(file.read_text())
    del data["config"]["resolved_cli_args"]["hallu"]
    file.write_text(json.dumps(data))
    code, err = export(capsys, folder, *form, "--output", tmp_path / "out")
    assert code == 2 and "its scores could pass for the plain model's" in err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("form", [EEE, ("--format", "model-card")], ids=lambda form: form[1])
def test_a_checkpoint_without_an_id_needs_one(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, form: tuple[str, ...]
) -> None:
    demo = write(tmp_path / "demo", pretrained="demo", checkpoint_files="a" * 64)
    local = write(tmp_path / "local", pretrained="my/checkpoint", checkpoint_files="a" * 64)
    for folder in (demo, local):
        code, err = export(capsys, folder, *form, "--output", tmp_path / "out")
        assert code == 2 and "is not an id on the Hub; give one as --model-id ORGANIZATION/NAME" in err
    assert export(capsys, demo, *form, "--output", tmp_path / "out", "--model-id", "me/model")[0] == 0


def test_what_every_eval_ever_asks_is_not_guessed(
    capsys: pytest.CaptureFixture[str], results: Path, tmp_path: Path
) -> None:
    code, err = export(capsys, results, "--format", "every-eval-ever", "--output", tmp_path / "out")
    assert code == 2 and "needs --organization and --relationship" in err


def test_damaged_results_leave_nothing_half_written(
    capsys: pytest.CaptureFixture[str], results: Path, tmp_path: Path
) -> None:
    (file,) = results.rglob("*_samples_hallu_demo_pope.jsonl")
    file.write_text(file.read_text()[:-20])
    code, err = export(capsys, results, *EEE, "--output", tmp_path / "out")
    assert code == 2 and f"{file}, line 8 is not valid JSON" in err
    assert not (tmp_path / "out").exists()
    (tmp_path / "empty").mkdir()
    code, err = export(capsys, tmp_path / "empty", *EEE, "--output", tmp_path / "out")
    assert code == 2 and "holds no results of lmms-eval" in err


def test_a_file_that_cannot_be_written_is_named(
    capsys: pytest.CaptureFixture[str], results: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    code, err = export(capsys, results, *ONE, "--output", tmp_path / "file" / "a.yaml")
    assert code == 2 and f"{tmp_path / 'file' / 'a.yaml'} cannot be written" in err


def test_nothing_heavy_is_imported(results: Path, tmp_path: Path) -> None:
    script = (
        "import sys; from registry.commands import cli\n"
        f"cli.main(['export', {str(results)!r}, *{list(ONE)!r}, '--output', {str(tmp_path / 'a.yaml')!r}])\n"
        "heavy = ('torch', 'transformers', 'lmms_eval', 'hallu_models', 'huggingface_hub')\n"
        "print(sorted(name for name in sys.modules if name.split('.')[0] in heavy))"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
