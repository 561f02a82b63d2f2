"""A package that stands for lmms-eval: built alike where a run fails, and quick."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

import hallu_tasks

ROOT = Path(hallu_tasks.__file__).parents[1]

DISPATCH = """
def main():
    from lmms_eval.__main__ import cli_evaluate
    cli_evaluate()
"""

PROGRAM = '''
"""Writes what lmms-eval would write, and does what FAKE says of the run's alpha or model."""
import argparse, json, os, re, signal, sys, time, traceback
from pathlib import Path


def cli_evaluate():
    parser = argparse.ArgumentParser("lmms-eval")
    options = "model model_args tasks output_path limit batch_size hf_hub_log_args include_path"
    for name in options.split():
        parser.add_argument(f"--{name}")
    parser.add_argument("--log_samples", action="store_true")
    args = parser.parse_args()
    try:
        cli_evaluate_single(args)
    except Exception as error:  # As lmms-eval does, which then ends with status 0.
        traceback.print_exc()
        print(f"Error during evaluation: {error}. Please set `--verbosity=DEBUG` to get more information.")


def cli_evaluate_single(args):
    if args.tasks in (None, "list"):
        sys.exit()
    with open(os.environ["CALLS"], "a") as calls:
        calls.write(json.dumps(sys.argv[1:]) + "\\n")
    found = re.search(r"alpha=([0-9.]+)", args.model_args or "")
    alpha = float(found[1]) if found else 0.0
    does = json.loads(os.environ.get("FAKE", "{}"))
    behaviour = does.get(str(alpha) if found else args.model, "")
    if behaviour == "sleep":
        Path(os.environ["CALLS"] + ".pid").write_text(str(os.getpid()))
        try:
            time.sleep(60)
        except BaseException as error:
            time.sleep(1.2)  # Time in which a second interrupt would do harm.
            Path(os.environ["CALLS"] + ".ended").write_text(type(error).__name__)
            raise
    if behaviour == "deaf":
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        Path(os.environ["CALLS"] + ".pid").write_text(str(os.getpid()))
        time.sleep(60)
    if behaviour == "error":
        raise ValueError("vhr is unwell\\nand says so")
    if behaviour == "secret":
        raise ValueError("cannot log in with hf_token=abcdef")
    if behaviour == "crash":
        os.abort()
    if behaviour == "vanish":
        os._exit(0)
    if behaviour == "exit":
        sys.exit(3)
    if behaviour == "terminal":
        print("terminals:", sys.stdin.isatty(), sys.stdout.isatty(), sys.stderr.isatty())
    if behaviour == "nothing" or args.output_path is None:
        return
    folder = Path(args.output_path) / "demo"
    folder.mkdir(parents=True, exist_ok=True)
    from registry.plugins import model_ids
    from registry.runs import source

    method = model_ids.split(args.model)[1]
    made = {"model_id": args.model, "method": method, "pretrained": "demo", **source.now(method, "demo")}
    lines = []
    for image in range(4):
        wrong = int(image < alpha)
        record = {
            "image_id": image, "captions": 1, "captions_hallucinated": wrong, "captions_without_objects": 0,
            "length": 5, "mentions": 2, "hallucinated": wrong, "distinct": 2 - wrong, "correct": 2 - wrong, "truth": 2,
            "mode": "reference",
        }
        lines.append(
            {"doc_id": image, "target": "", "filtered_resps": "A cat.", "input": "Describe.", "chair_s": record}
        )
    name = "hallu_demo_chair"
    wrong = sum(line["chair_s"]["hallucinated"] for line in lines)
    scores = {"chair_s,none": 25.0 * wrong, "recall,none": 12.5 * (8 - wrong), "f1,none": 50.0}
    stamp = f"20261121_{34427 + len(list(folder.glob('*.json'))):06}"
    (folder / f"{stamp}_results.json").write_text(json.dumps({
        "results": {name: scores}, "configs": {name: {"task": name}},
        "n-samples": {name: {"original": 4, "effective": 4}},
        "config": {"model": args.model, "resolved_cli_args": {"hallu": made}}, "throughput": {"avg_speed": 100.0},
    }))
    if behaviour == "half":
        lines = lines[:2]
    (folder / f"{stamp}_samples_{name}.jsonl").write_text("".join(json.dumps(line) + "\\n" for line in lines))
    if behaviour == "late":
        raise OSError("no room for the rest")


if __name__ == "__main__":
    from lmms_eval.cli.dispatch import main

    main()
'''


def install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[list[str]]]:
    """Put the stand-in before lmms-eval, and work in `folder`; gives the arguments of the runs started since."""
    package = folder / "fake" / "lmms_eval"
    (package / "cli").mkdir(parents=True)
    for name, text in (("__init__", ""), ("__main__", PROGRAM), ("cli/__init__", ""), ("cli/dispatch", DISPATCH)):
        (package / f"{name}.py").write_text(text)
    record = folder / "calls"
    path = [str(package.parent), str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path))
    monkeypatch.setenv("CALLS", str(record))
    monkeypatch.chdir(folder)

    def taken() -> list[list[str]]:
        made = [json.loads(line) for line in record.read_text().splitlines()] if record.exists() else []
        record.unlink(missing_ok=True)
        return made

    return taken
