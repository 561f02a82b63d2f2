"""lmms-eval's ``--use_cache``: answers are replayed where the code of now made them, and nowhere else."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import warm
from lmms_eval.api.instance import Instance
from lmms_eval.caching.response_cache import ResponseCache

import hallu_tasks
from hallu_models import models
from hallu_models.adapter import response_cache
from registry.runner.mismatch import RunnerMismatch
from registry.runs import source

ROOT = Path(hallu_tasks.__file__).parents[1]
DOCS = [{"text": "Describe this image."}, {"text": "Is there a cup in the image?"}]
ARGUMENTS = "pretrained=demo,alpha=2"


class _Task:
    """As lmms-eval's tasks: the parsed command line, and a bound method in every request."""

    def __init__(self) -> None:
        self.args = Namespace()

    def messages(self, doc: dict[str, Any]) -> list[dict[str, Any]]:
        return [{"role": "user", "content": [{"type": "text", "text": doc["text"]}]}]


@pytest.fixture(scope="module")
def model() -> Any:
    return models.llava_vhr(pretrained="demo", device="cpu", alpha=2)


@pytest.fixture
def task() -> _Task:
    return _Task()


@pytest.fixture
def run(
    model: Any, task: _Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[list[Any], int]]:
    """A run with ``--use_cache``, as lmms-eval does one: its answers, and how many of them the model gave."""
    monkeypatch.setenv("HALLU_RECOVERY", str(tmp_path / "recovery"))
    asked: list[int] = []
    generate = model.generate_until
    monkeypatch.setattr(model, "generate_until", lambda requests: asked.append(len(requests)) or generate(requests))

    def once(docs: int = 2, arguments: str = ARGUMENTS) -> tuple[list[Any], int]:
        asked.clear()
        model.task_dict["some_task"] = {"test": DOCS}
        options = {"max_new_tokens": 2, "temperature": 0, "do_sample": False, "until": []}
        requests = [
            Instance(
                request_type="generate_until",
                arguments=(doc["text"], task.messages, dict(options), number, "some_task", "test"),
                idx=0,
                metadata={"task": "some_task", "doc_id": number, "repeats": 1},
            )
            for number, doc in enumerate(DOCS[:docs])
        ]
        cache = ResponseCache.create(str(tmp_path / "cache"), model="llava_vhr", model_args=arguments)
        answers = cache.execute(model, "generate_until", requests)
        cache.finalize(success=True)
        once.answers = answers  # type: ignore[attr-defined]
        return [getattr(answer, "text", answer) for answer in answers], sum(asked)

    return once


def test_the_same_code_takes_its_answers_again(run: Any) -> None:
    answers, asked = run()
    assert asked == 2
    assert run() == (answers, 0)


def margins(answers: list[Any]) -> list[Any]:
    return [answer.token_counts.to_dict().get("margin") for answer in answers]


def test_answers_of_the_cache_have_the_margins_that_they_were_made_with(run: Any, tmp_path: Path) -> None:
    run(docs=1)
    (some,) = margins(run.answers)
    run(docs=2)
    both = margins(run.answers)
    assert both[0] == some is not None and both[1] is not None
    with (tmp_path / "cache" / "hallu_margins.0.jsonl").open("a") as file:
        file.write('{"model": "torn')
    assert run(docs=2)[1] == 0
    assert margins(run.answers) == both


def test_without_their_file_the_answers_have_no_margins_and_are_taken_all_the_same(run: Any, tmp_path: Path) -> None:
    answers, _ = run()
    (tmp_path / "cache" / "hallu_margins.0.jsonl").unlink()
    assert run() == (answers, 0)
    assert margins(run.answers) == [None, None]


def test_other_arguments_share_the_folder(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    run()
    monkeypatch.setattr(source, "code", lambda root: "other code")
    assert run(arguments="pretrained=demo,alpha=2.0,seed=1")[1] == 2


def test_a_run_whose_answers_are_all_there_is_recorded_like_any_other(run: Any, task: _Task) -> None:
    run()
    recorded = task.args.hallu
    del task.args.hallu
    run()
    assert task.args.hallu == recorded
    assert recorded["questions"]["some_task"]["documents"] == 2


def test_of_a_run_with_some_answers_there_all_questions_are_recorded(run: Any, task: _Task) -> None:
    run(docs=1)
    assert run(docs=2)[1] == 1
    assert task.args.hallu["questions"]["some_task"]["documents"] == 2


OTHER = [
    ("code", "made by lmms-eval-hallu "),
    ("versions", "made with transformers 5.1, now "),
    ("cards", "made with card 0 of vhr, now card "),
    ("checkpoint_files", "made with other files of the checkpoint demo"),
    ("parameters", "made with parameters=alpha=3, now alpha=2,"),
]


@pytest.mark.parametrize(("name", "why"), OTHER, ids=[name for name, _ in OTHER])
def test_answers_that_something_else_made_end_the_run_before_it_generates(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, why: str
) -> None:
    command = ["lmms-eval", "--model", "llava_vhr", "--use_cache", str(tmp_path / "cache"), "--limit", "2"]
    monkeypatch.setattr(sys, "argv", command)
    run()
    file = tmp_path / "cache" / response_cache.FILE
    stamps = json.loads(file.read_text())
    (made,) = stamps.values()
    value = {"versions": {**made["versions"], "transformers": "5.1"}, "cards": {"vhr": 0}, "parameters": "alpha=3"}
    made[name] = value.get(name, "0")
    file.write_text(json.dumps(stamps))
    with pytest.raises(ValueError, match="holds answers of this model id with these arguments that are not") as error:
        run()
    assert why in str(error.value)
    told = shlex.split(str(error.value).partition("Use a cache of its own: ")[2])
    other = told[4]
    assert other.startswith(f"{tmp_path / 'cache'}-")
    assert told == [*command[:4], other, *command[5:]]
    # It stays so, and the command separates them.
    with pytest.raises(ValueError, match="holds answers"):
        run()
    (tmp_path / "cache").rename(tmp_path / "older")
    assert run()[1] == 2


def test_answers_that_nothing_is_known_of_end_the_run(run: Any, tmp_path: Path) -> None:
    run()
    (tmp_path / "cache" / response_cache.FILE).unlink()
    with pytest.raises(
        ValueError, match=r"its results do not say what made them\. Use a cache of its own: --use_cache"
    ):
        run()
    (tmp_path / "cache" / "cache.audit.jsonl").unlink()
    with pytest.raises(ValueError, match="its results do not say what made them"):
        run()


def test_a_cache_of_other_models_only_is_taken(run: Any, tmp_path: Path) -> None:
    cache = ResponseCache.create(str(tmp_path / "cache"), model="other", model_args="a=1")
    asked = Instance("generate_until", ("text", {}), 0, {"task": "some_task", "doc_id": 0, "repeats": 1})

    class Other:
        def generate_until(self, requests: list[Instance]) -> list[str]:
            return ["text"] * len(requests)

    assert cache.execute(Other(), "generate_until", [asked]) == ["text"]
    cache.finalize(success=True)
    assert run()[1] == 2


def test_a_damaged_file_is_named(run: Any, tmp_path: Path) -> None:
    run()
    (tmp_path / "cache" / response_cache.FILE).write_text("{")
    with pytest.raises(ValueError, match=f"{response_cache.FILE} cannot be read"):
        run()


def test_answers_that_are_logged_under_no_key_are_refused_before_the_folder_takes_them(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = ResponseCache._log_to_audit

    def without_key(self: Any, *args: Any, model_fingerprint_hash: str = "", **kwargs: Any) -> None:
        log(self, *args, **kwargs)

    monkeypatch.setattr(ResponseCache, "_log_to_audit", without_key)
    with pytest.raises(RunnerMismatch, match=r"did not log in .* whose answers they are.*leave --use_cache out"):
        run()
    assert not (tmp_path / "cache" / "cache.db").exists()


@pytest.mark.slow
def test_the_real_runner_stops_before_it_generates(tmp_path: Path) -> None:
    def run() -> subprocess.CompletedProcess[str]:
        command = [
            sys.executable, "-m", "registry.evaluation", "--model", "llava_vhr",
            "--model_args", "pretrained=demo", "--tasks", "hallu_demo_chair",
            "--limit", "4", "--batch_size", "4", "--output_path", "out",
            "--log_samples", "--use_cache", "cache",
        ]  # fmt: skip
        return warm.started(command, tmp_path, {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"})

    assert run().returncode == 0
    again = run()
    assert again.returncode == 0 and "all 4 requests served from cache" in again.stdout + again.stderr
    first, second = sorted((tmp_path / "out" / "demo").glob("*_results.json"))
    recorded, replayed = (
        json.loads(file.read_text())["config"]["resolved_cli_args"]["hallu"] for file in (first, second)
    )
    assert recorded == replayed
    file = tmp_path / "cache" / response_cache.FILE
    file.write_text(file.read_text().replace(recorded["code"], "0"))
    stopped = run()
    assert stopped.returncode == 2
    assert "served from cache" not in stopped.stdout + stopped.stderr
    last = stopped.stderr.splitlines()[-1]
    assert "are not this run's: made by lmms-eval-hallu " in last
    assert "--use_cache " + str(tmp_path / "cache-") in last
