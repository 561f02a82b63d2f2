"""The same command gives the same bytes, and needs no network."""

from __future__ import annotations

import importlib
import json
import signal
import socket
import sys
from pathlib import Path

import huggingface_hub.constants
import pytest
from PIL import Image

import hallu_models
from hallu_tasks.scoring import chair
from registry.evaluation import process

pytestmark = pytest.mark.slow

COMMAND = ["--model_args", "pretrained=demo", "--limit", "4", "--batch_size", "3", "--log_samples", "--seed", "7"]
SAMPLED = ["--gen_kwargs", "do_sample=True,temperature=1.0"]


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What an evaluation leaves in its process is taken back."""
    main = importlib.import_module("lmms_eval.__main__")
    monkeypatch.setattr(main, "cli_evaluate_single", main.cli_evaluate_single)
    monkeypatch.setattr(sys, "argv", sys.argv)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setenv("HALLU_RECOVERY", str(tmp_path / "recovery"))


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Attempts to reach the network, all of which fail; nothing has switched the Hub off beforehand."""
    attempts: list[object] = []

    def refuse(*args: object, **_: object) -> None:
        attempts.append(args)
        raise OSError("no network here")

    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    return attempts


def samples(folder: Path) -> dict[str, bytes]:
    """The files of samples by task, as they are: they hold no times."""
    found = {path.name.split("_samples_")[1]: path.read_bytes() for path in folder.rglob("*_samples_*.jsonl")}
    assert found
    return found


def run(model: str, folder: Path, *more: str) -> dict[str, bytes]:
    line = ["--model", model, *COMMAND, "--tasks", "hallu_demo_chair", "--output_path", str(folder), *more]
    assert process.main(line) == 0
    return samples(folder)


@pytest.mark.usefixtures("program")
@pytest.mark.parametrize(
    ("model", "decoding"), [("llava_cicd", []), ("llava_base", SAMPLED)], ids=["another image", "sampled"]
)
def test_the_same_command_gives_the_same_bytes(model: str, decoding: list[str], tmp_path: Path) -> None:
    first, second = (run(model, tmp_path / number, *decoding) for number in ("first", "second"))
    assert first == second
    if decoding:
        other = run(model, tmp_path / "other", *decoding, "--seed", "8")
        assert other != first, "a seed decides"


@pytest.mark.usefixtures("program")
def test_a_run_of_the_demo_model_needs_no_network(no_network: list[object], tmp_path: Path) -> None:
    found = run("llava_vhr", tmp_path)
    scored = [json.loads(line)["chair_s"]["captions"] for line in found["hallu_demo_chair.jsonl"].splitlines()]
    assert scored == [1] * 4
    assert no_network == []


def test_loading_generating_and_scoring_need_no_network(no_network: list[object]) -> None:
    host = hallu_models.load("demo", device="cpu")
    question = hallu_models.conversation(Image.new("RGB", (64, 64), "red"), "Describe this image.")
    (answer,) = host.generate([question], "vhr", max_new_tokens=8)
    assert answer.text
    assert chair.objects("There is a cat.") == ["cat"]
    assert no_network == []
    with pytest.raises(OSError, match="no network here"):
        socket.create_connection(("localhost", 9))
