"""``hallu show``: the settings of a run, its scores, and the command that repeats it."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest

import hallu_tasks
from registry.commands import cli

ROOT = Path(hallu_tasks.__file__).parents[1]
COMMIT = "c0ffee" * 6 + "cafe"
HALLU: dict[str, Any] = {
    "model_id": "llava_vhr",
    "method": "vhr",
    "parameters": "alpha=2,layers=1+4-7,top_k=0,variant=paper",
    "pretrained": "demo",
    "revision": "default",
    "dtype": "float32",
    "attention": "sdpa",
    "system_prompt": "",
    "versions": {"lmms-eval-hallu": "0.1.0", "lmms-eval": "0.7.3", "transformers": "5.23.0", "torch": "2.15.0"},
    "cards": {"vhr": 1},
    "batch_size": 16,
    "python": "3.11.7",
    "command": ["lmms-eval", "--model", "llava_vhr", "--model_args", "pretrained=demo", "--gen_kwargs", "a b"],
    "environment": {"HALLU_DATA": "/my data"},
    "processes": 1,
    "machines": 1,
    "git": {"commit": COMMIT, "dirty": False},
    "device": "cpu",
    "device_name": "x86_64",
    "checkpoint_commit": None,
    "checkpoint_files": "a" * 64,
    "questions": {"hallu_demo_chair": {"documents": 8, "sha256": "b" * 64}},
}


def write(folder: Path, without: Collection[str] = (), **hallu: Any) -> Path:
    """A run's results as lmms-eval 0.7.3 writes them, no samples; `hallu` replaces settings, `without` drops them."""
    settings = {name: value for name, value in {**HALLU, **hallu}.items() if name not in without}
    data = {
        "results": {
            "hallu_demo": {" ": " ", "alias": "hallu_demo"},
            "hallu_demo_chair": {
                "alias": " - hallu_demo_chair",
                "chair_s,none": 44.7265625,
                "chair_s_stderr,none": "N/A",
                "chair_s_stderr_clt,none": 2.5,
                "chair_s_stderr_clustered,none": 2.25,
                "recall,none": 86.9,
                "recall_stderr,none": "N/A",
            },
        },
        "configs": {"hallu_demo_chair": {"generation_kwargs": {"max_new_tokens": 64, "do_sample": False}}},
        "higher_is_better": {"hallu_demo_chair": {"chair_s": False, "recall": True}},
        "n-samples": {"hallu_demo_chair": {"original": 512, "effective": 8}},
        "config": {
            "model": "llava_vhr",
            "model_args": "pretrained=demo",
            "batch_size": "16",
            "resolved_cli_args": {
                "model": "llava_vhr", "model_args": "pretrained=demo", "tasks": "hallu_demo", "batch_size": "16",
                "limit": 8.0, "offset": 0, "log_samples": True, "gen_kwargs": "", "seed": [0, 1234, 1234, 1234],
                "output_path": "results/my run", "device": None, "hallu": settings,
            },
        },
        "date": "20261121_173348",
        "throughput": {"avg_speed": 551.81},
        "model_name": "demo",
    }  # fmt: skip
    (folder / "demo").mkdir(parents=True)
    (folder / "demo" / "20261121_173348_results.json").write_text(json.dumps(data))
    return folder


def show(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str, str]:
    code = cli.main(["show", *map(str, arguments)])
    out, err = capsys.readouterr()
    return code, out, err


def shown(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    code, out, err = show(capsys, *arguments)
    assert (code, err) == (0, "")
    return out


def repeated(capsys: pytest.CaptureFixture[str], folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(shown(capsys, folder, "--json"))["repeat"]
    return found


# Settings and scores


def test_every_setting_has_a_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    lines = [line.split("  ") for line in shown(capsys, write(tmp_path)).splitlines()]
    rows = {line[0]: line[-1].strip() for line in lines}
    assert {
        name: rows[name] for name in ("method", "parameters", "checkpoint files", "device", "python", "source")
    } == {
        "method": "vhr (card 1)",
        "parameters": "alpha=2,layers=1+4-7,top_k=0,variant=paper",
        "checkpoint files": f"sha256 {'a' * 64}",
        "device": "cpu x86_64",
        "python": "3.11.7",
        "source": f"commit {COMMIT}",
    }
    assert rows["versions"] == "lmms-eval-hallu 0.1.0, lmms-eval 0.7.3, transformers 5.23.0, torch 2.15.0"
    assert (rows["tokens/s"], rows["HALLU_DATA"]) == ("551.8", "/my data")


def test_scores_stand_with_the_standard_error_that_fits_best(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    out = shown(capsys, write(tmp_path))
    title = f"hallu_demo_chair: limited: 8 of 512 documents; sha256 {'b' * 64}; max_new_tokens=64, do_sample=False"
    assert title in out
    assert "  chair_s  44.73  ± 2.25 (clustered standard error)\n  recall    86.9\n" in out
    (found,) = json.loads(shown(capsys, tmp_path, "--json"))["tasks"].values()
    assert found["scores"]["chair_s"] == {
        "value": 44.7265625, "standard_error": 2.25, "standard_error_kind": "clustered", "higher_is_better": False,
    }  # fmt: skip
    assert found["scores"]["recall"]["standard_error"] is None
    assert found["documents"] == {"count": 8, "limited": {"answered": 8, "documents": 512}, "sha256": "b" * 64}


def test_json_holds_the_settings_as_they_were_recorded(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    settings = json.loads(shown(capsys, write(tmp_path), "--json"))["settings"]
    assert settings == HALLU


def test_runs_of_older_versions_and_other_packages_say_what_is_not_recorded(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    out = shown(capsys, write(tmp_path, without=HALLU))
    for name in ("method", "parameters", "device", "processes", "versions", "python", "source"):
        assert any(line.split("  ")[0] == name and line.endswith("not recorded") for line in out.splitlines()), name
    assert "# warning: the versions of the packages were not recorded" in out


# The command


def test_the_command_can_be_pasted(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    again = repeated(capsys, write(tmp_path))
    assert again["command"] == (
        "HALLU_DATA='/my data' lmms-eval --model llava_vhr --model_args pretrained=demo --gen_kwargs 'a b'"
    )
    assert shlex.split(again["command"])[1:] == HALLU["command"]
    assert again["warnings"] == []
    assert shown(capsys, tmp_path).endswith(f"\n  {again['command']}\n")


def test_a_clean_checkout_is_named_by_its_commit(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    checkout, install = repeated(capsys, write(tmp_path))["setup"]
    assert checkout.startswith(f"git checkout {COMMIT} ")
    assert install == "pip install --editable . lmms-eval==0.7.3 transformers==5.23.0 torch==2.15.0"


def test_a_changed_checkout_gets_a_warning_and_no_commit_to_check_out(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    again = repeated(capsys, write(tmp_path, git={"commit": COMMIT, "dirty": True}))
    assert not any("git checkout" in line for line in again["setup"])
    (warning,) = again["warnings"]
    assert COMMIT in warning and "cannot be repeated exactly" in warning
    assert f"# warning: {warning}" in shown(capsys, tmp_path)


def test_an_installed_package_is_named_by_its_version(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (install,) = repeated(capsys, write(tmp_path, git=None))["setup"]
    assert "source            an installed package" in shown(capsys, tmp_path)
    assert install == "pip install lmms-eval-hallu==0.1.0 lmms-eval==0.7.3 transformers==5.23.0 torch==2.15.0"


@pytest.mark.parametrize(
    ("settings", "start"),
    [
        ({"processes": 8, "device": "cuda"}, "accelerate launch --num_processes 8 -m lmms_eval --model llava_vhr"),
        (
            {"processes": 2, "device": "cpu"},
            "ACCELERATE_USE_CPU=true torchrun --nproc_per_node 2 -m lmms_eval --model llava_vhr",
        ),
        (
            {"processes": 16, "machines": 2, "device": "cuda"},
            "accelerate launch --num_processes 16 --num_machines 2 -m lmms_eval --model llava_vhr",
        ),
    ],
)
def test_several_processes_are_launched_again(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, settings: dict[str, Any], start: str
) -> None:
    command = ["python", "-m", "lmms_eval", *HALLU["command"][1:]]
    again = repeated(capsys, write(tmp_path, environment={}, command=command, **settings))
    assert again["command"].startswith(start)
    assert any("machines took part" in text for text in again["warnings"]) is ("machines" in settings)


def test_a_command_with_a_secret_says_that_it_is_missing(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    command = ["lmms-eval", "--hf_hub_log_args", "token=[REDACTED]"]
    again = repeated(capsys, write(tmp_path, command=command))
    assert again["warnings"] == ["[REDACTED] stands for a secret that was not recorded"]


def test_without_a_recorded_command_lmms_evals_arguments_are_used(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    again = repeated(capsys, write(tmp_path, without=["command"], environment={}))
    assert again["command"] == (
        "lmms-eval --model llava_vhr --model_args pretrained=demo --tasks hallu_demo --batch_size 16 --limit 8.0 "
        "--output_path 'results/my run' --log_samples"
    )
    assert again["warnings"][0].startswith("the command was not recorded")


# Bad input


def test_a_folder_without_results_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, out, err = show(capsys, tmp_path)
    assert (code, out) == (2, "")
    assert f"hallu: {tmp_path} holds no results of lmms-eval" in err


def test_nothing_heavy_is_imported(tmp_path: Path) -> None:
    script = (
        "import sys; from registry.commands import cli\n"
        f"cli.main(['show', {str(write(tmp_path))!r}])\n"
        "heavy = ('torch', 'transformers', 'lmms_eval', 'hallu_models', 'numpy')\n"
        "print(sorted(name for name in sys.modules if name.split('.')[0] in heavy))"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
