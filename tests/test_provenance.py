"""What a run's results say about where they come from."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import datasets
import numpy as np
import pytest
import warm
from lmms_eval.api.instance import Instance
from PIL import Image

from hallu_models import models
from hallu_models.adapter import provenance
from registry.runs import source
from registry.runs.command_line import redacted

BIN = Path(sys.executable).parent


# The command line


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (["--api_key", "abc", "--limit", "8"], ["--api_key", "[REDACTED]", "--limit", "8"]),
        (["--openai-api_key=abc"], ["--openai-api_key=[REDACTED]"]),
        (["pretrained=demo,hf_token=abc,alpha=2"], ["pretrained=demo,hf_token=[REDACTED],alpha=2"]),
        (['{"pretrained": "demo", "my_secret": "a b,c"}'], ['{"pretrained": "demo", "my_secret": [REDACTED]}']),
        (["db_password='a b'"], ["db_password=[REDACTED]"]),
        (["run hf_" + "A1" * 15], ["run [REDACTED]"]),
        # Names that only look alike.
        (["--max_tokens", "100", "max_new_tokens=64"], ["--max_tokens", "100", "max_new_tokens=64"]),
        (["--tasks", "secret_santa"], ["--tasks", "secret_santa"]),
    ],
)
def test_secrets_do_not_reach_the_results(given: list[str], shown: list[str]) -> None:
    assert redacted(given) == shown


@pytest.mark.parametrize(
    ("program", "start"),
    [
        ("/opt/venv/bin/lmms-eval", ["lmms-eval"]),
        ("/opt/lib/lmms_eval/__main__.py", ["python", "-m", "lmms_eval"]),
        ("tools/evaluate.py", ["python", "tools/evaluate.py"]),
    ],
)
def test_the_command_can_be_typed_again(monkeypatch: pytest.MonkeyPatch, program: str, start: list[str]) -> None:
    monkeypatch.setattr(sys, "argv", [program, "--model", "llava_vhr"])
    assert provenance.of_process(1)["command"] == [*start, "--model", "llava_vhr"]


def test_the_packages_own_variables_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("HALLU_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HALLU_DATA", "/data/a=b")
    monkeypatch.setenv("HALLU_TOKEN", "abc")
    assert provenance.of_process(1)["environment"] == {"HALLU_DATA": "/data/a=b", "HALLU_TOKEN": "[REDACTED]"}


# The source


def git(folder: Path, *command: str) -> str:
    identity = ("-c", "user.name=a", "-c", "user.email=a@b")
    done = subprocess.run(["git", "-C", str(folder), *identity, *command], check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for name in ("registry", "hallu_tasks", "hallu_models"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "code.py").write_text("")
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "-m", "one")
    return tmp_path


def test_the_commit_is_the_last_that_changed_the_code(checkout: Path) -> None:
    first = git(checkout, "rev-parse", "HEAD")
    (checkout / "README.md").write_text("text")
    git(checkout, "add", ".")
    git(checkout, "commit", "--quiet", "-m", "two")
    assert source.git(checkout) == {"commit": first, "dirty": False}


def test_changed_and_new_files_of_the_code_make_it_dirty(checkout: Path) -> None:
    (checkout / "notes.txt").write_text("no code")
    assert source.git(checkout)["dirty"] is False
    (checkout / "registry" / "new.py").write_text("")
    assert source.git(checkout)["dirty"] is True


def test_a_package_installed_inside_another_checkout_has_no_commit(checkout: Path) -> None:
    installed = checkout / ".venv" / "site-packages"
    (installed / "registry").mkdir(parents=True)
    assert source.git(installed) is None


def test_a_checkout_without_git_has_no_commit(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert source.git(checkout) is None


def test_the_code_is_known_by_its_contents_committed_or_not(checkout: Path) -> None:
    known = source.code(checkout)
    (checkout / "registry" / "notes.md").write_text("no code")
    assert source.code(checkout) == known
    (checkout / "registry" / "code.py").write_text("x = 1")
    changed = source.code(checkout)
    git(checkout, "commit", "--quiet", "--all", "-m", "two")
    assert source.code(checkout) == changed != known


# What made a run, and what would make it now


MADE = {
    "versions": {"lmms-eval-hallu": "0.1.0", "lmms-eval": "0.7.3", "transformers": "5.23.0", "torch": "2.15.0"},
    "git": {"commit": "abcdef0123", "dirty": False},
    "code": "1",
    "cards": {"vhr": 1},
    "pretrained": "demo",
    "checkpoint_files": "1",
}


@pytest.mark.parametrize(
    ("recorded", "current", "text"),
    [
        ({}, {}, None),
        ({}, {"git": {"commit": "1234567890", "dirty": False}}, None),
        ({}, {"checkpoint_files": None}, None),
        ({"versions": None}, {}, "its results do not say what made them"),
        (
            {},
            {"code": "2", "git": {"commit": "1234567890", "dirty": False}},
            "made by lmms-eval-hallu 0.1.0 commit abcdef0, now commit 1234567",
        ),
        (
            {"git": {"commit": "abcdef0123", "dirty": True}},
            {"code": "2", "git": {"commit": "abcdef0123", "dirty": True}},
            "made by lmms-eval-hallu 0.1.0 commit abcdef0 with uncommitted changes, now by other changes",
        ),
        (
            {},
            {"code": "2", "git": None, "versions": {**MADE["versions"], "lmms-eval-hallu": "0.2.0"}},
            "made by lmms-eval-hallu 0.1.0 commit abcdef0, now lmms-eval-hallu 0.2.0",
        ),
        (
            {},
            {"versions": {**MADE["versions"], "transformers": "5.24.0"}},
            "made with transformers 5.23.0, now 5.24.0",
        ),
        ({}, {"cards": {"vhr": 2}}, "made with card 1 of vhr, now card 2 of vhr"),
        ({"cards": {"a": "b 1"}}, {"cards": {"a": "b 2"}}, "made with a of b 1, now a of b 2"),
        ({}, {"checkpoint_files": "2"}, "made with other files of the checkpoint demo"),
        # Runs of versions that did not record the code's hash.
        ({"code": None}, {}, None),
        (
            {"code": None},
            {"git": {"commit": "abcdef0123", "dirty": True}},
            "made by lmms-eval-hallu 0.1.0 commit abcdef0, now commit abcdef0 with uncommitted changes",
        ),
    ],
)
def test_what_has_changed_since_is_told(recorded: dict, current: dict, text: str | None) -> None:
    assert source.changes({**MADE, **recorded}, {**MADE, **current}) == text


# The method and the checkpoint


def test_the_demo_checkpoint_is_found_without_importing_a_model() -> None:
    assert source.checkpoint_folder("demo") == provenance.DEMO
    assert source.checkpoint_folder("llava-hf/llava-1.5-7b-hf") is None


def test_a_method_is_known_by_its_cards_version() -> None:
    assert source.of_methods(["vhr", "eah"]) == {"vhr": 1, "eah": 1}


def checkpoint(folder: Path, **changed: bytes) -> Path:
    folder.mkdir()
    files = {"config.json": b"{}", "model.safetensors": bytes(1000), "README.md": b"a", **changed}
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def test_a_checkpoint_is_known_by_its_files_wherever_it_lies(tmp_path: Path) -> None:
    known = source.checkpoint_files(checkpoint(tmp_path / "a"))
    (tmp_path / "elsewhere").mkdir()
    assert known == source.checkpoint_files(checkpoint(tmp_path / "elsewhere" / "b"))
    assert known == source.checkpoint_files(checkpoint(tmp_path / "c", **{"README.md": b"other"}))
    assert known != source.checkpoint_files(checkpoint(tmp_path / "d", **{"config.json": b"{ }"}))
    assert known != source.checkpoint_files(checkpoint(tmp_path / "e", **{"chat_template.jinja": b""}))


@pytest.mark.parametrize("place", [0, 420, 999])
def test_large_weights_count_by_blocks_along_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: int
) -> None:
    monkeypatch.setattr(source, "WHOLE", 100)
    monkeypatch.setattr(source, "BLOCKS", 100)
    monkeypatch.setattr(source, "BLOCK", 10)
    changed = bytearray(1000)
    changed[place] = 1
    a, b = checkpoint(tmp_path / "a"), checkpoint(tmp_path / "b", **{"model.safetensors": bytes(changed)})
    assert source.checkpoint_files(a) != source.checkpoint_files(b)
    longer = checkpoint(tmp_path / "c", **{"model.safetensors": bytes(1001)})
    assert source.checkpoint_files(a) != source.checkpoint_files(longer)


# The questions


DOCS = [{"image_id": n, "question": f"Is there a cup in image {n}?", "answer": "Yes"} for n in range(7)]


def requests(docs: list[dict], places: list[int] | None = None, task: str = "some_task") -> list[Instance]:
    return [
        Instance(
            "generate_until",
            (docs[n]["question"], dict, {}, n, task, "test"),
            0,
            {"task": task, "doc_id": n, "repeats": 1},
        )
        for n in (range(len(docs)) if places is None else places)
    ]


def questions(docs: list[dict], places: list[int] | None = None) -> dict:
    return provenance.of_questions(requests(docs, places), {"some_task": {"test": docs}}, 1)["some_task"]


def test_questions_are_known_in_any_order_and_when_asked_twice() -> None:
    known = questions(DOCS)
    assert known["documents"] == 7 and len(known["sha256"]) == 64
    assert questions(DOCS, [3, 1, 0, 6, 5, 4, 2, 2]) == known
    assert questions(DOCS, [0, 1, 2])["documents"] == 3


@pytest.mark.parametrize("column", ["question", "answer", "image_id"])
def test_another_prompt_target_or_image_is_another_question(column: str) -> None:
    changed = [*DOCS[:6], {**DOCS[6], column: "other"}]
    assert questions(changed) != questions(DOCS)
    assert questions(changed, [0, 1]) == questions(DOCS, [0, 1])


def test_processes_know_the_questions_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = []
    monkeypatch.setattr(provenance, "gather_object", lambda part: parts.extend(part) or part)
    for rank in (0, 1):
        provenance.of_questions(requests(DOCS, list(range(rank, 7, 2))), {"some_task": {"test": DOCS}}, 2)
    monkeypatch.setattr(provenance, "gather_object", lambda part: parts)
    found = provenance.of_questions(requests(DOCS, [0, 2, 4, 6]), {"some_task": {"test": DOCS}}, 2)
    assert found["some_task"] == questions(DOCS)


def pictures(folder: Path, colour: int, embedded: bool) -> datasets.Dataset:
    folder.mkdir()
    path = folder / "picture.png"
    Image.fromarray(np.full((8, 8, 3), colour, np.uint8)).save(path)
    value = {"bytes": path.read_bytes(), "path": None} if embedded else {"bytes": None, "path": str(path)}
    made = datasets.Dataset.from_dict({"question": ["What is it?"], "image": [value]})
    return made.cast_column("image", datasets.Image())


def test_images_count_by_their_bytes_undecoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("decoded")

    asked = requests([{"question": "What is it?"}])
    monkeypatch.setattr(datasets.Image, "decode_example", refuse)
    black, black_file, grey, grey_file = (
        provenance.of_questions(asked, {"some_task": {"test": pictures(tmp_path / name, colour, embedded)}}, 1)
        for name, colour, embedded in (("a", 0, True), ("b", 0, False), ("c", 9, True), ("d", 9, False))
    )
    assert black == black_file != grey == grey_file


def test_a_column_with_a_files_path_counts_by_the_files_contents(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"1")
    (tmp_path / "b.jpg").write_bytes(b"1")
    (tmp_path / "c.jpg").write_bytes(b"2")
    a, b, c = (questions([{**DOCS[0], "image": str(tmp_path / name)}]) for name in ("a.jpg", "b.jpg", "c.jpg"))
    assert a == b != c


# What stands in the results


class _Task:
    """As lmms-eval's tasks: the parsed command line, and a bound method in every request."""

    def __init__(self) -> None:
        self.args = Namespace()

    def messages(self, doc: dict) -> list[dict]:
        return [{"role": "user", "content": [{"type": "text", "text": doc["question"]}]}]


def test_a_model_of_a_folder_records_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HALLU_RECOVERY", str(tmp_path))
    model = models.llava_vhr(pretrained=str(provenance.DEMO), device="cpu", batch_size=4, alpha=1.5)
    task = _Task()
    model.task_dict["some_task"] = {"test": DOCS}
    asked = requests(DOCS)
    for request in asked:
        context, _, _, *place = request.args
        request.arguments = (context, task.messages, {"max_new_tokens": 1}, *place)
    model.generate_until(asked)
    hallu = json.loads(json.dumps(task.args.hallu))
    assert hallu["parameters"] == "alpha=1.5,layers=1+4-7,top_k=0,variant=paper"
    assert hallu["cards"] == {"vhr": 1}
    assert (hallu["batch_size"], hallu["processes"], hallu["machines"]) == (4, 1, 1)
    assert (hallu["device"], hallu["dtype"], hallu["attention"]) == ("cpu", "float32", "sdpa")
    assert hallu["checkpoint_files"] == source.checkpoint_files(provenance.DEMO)
    assert hallu["questions"] == {"some_task": questions(DOCS)}
    assert source.changes(hallu, source.now("vhr", "demo")) is None
    assert set(hallu["versions"]) == {"lmms-eval-hallu", "lmms-eval", "transformers", "torch"}


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> list[dict]:
    """The settings that two real runs recorded: one process, and two.

    On a CPU accelerate starts one process whatever ``--num_processes`` says; torchrun starts two.
    """
    folder = tmp_path_factory.mktemp("work")
    command = (
        "--model", "llava_base", "--model_args", "pretrained=demo", "--tasks", "hallu_demo", "--batch_size", "4",
        "--limit", "5", "--log_samples", "--hf_hub_log_args", "token=abcdef",
    )  # fmt: skip
    launchers = {
        "one": (str(BIN / "lmms-eval"),),
        "two": (sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "-m", "lmms_eval"),
    }
    found = []
    for name, launcher in launchers.items():
        changes = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
        done = warm.started([*launcher, *command, "--output_path", str(folder / name)], folder, changes)
        assert done.returncode == 0, done.stderr[-3000:]
        text = max((folder / name).rglob("*_results.json")).read_text()
        assert "abcdef" not in text
        found.append(json.loads(text)["config"]["resolved_cli_args"]["hallu"])
    return found


@pytest.mark.slow
def test_runs_of_several_tasks_and_processes_record_the_same_questions(recorded: list[dict]) -> None:
    one, two = recorded
    assert set(one["questions"]) == {"hallu_demo_chair", "hallu_demo_mme", "hallu_demo_pope"}
    assert all(task["documents"] == 5 for task in one["questions"].values())
    assert one["questions"] == two["questions"]
    assert one["checkpoint_files"] == two["checkpoint_files"] == source.checkpoint_files(provenance.DEMO)
    assert (one["processes"], two["processes"]) == (1, 2)


def test_runs_record_the_command_that_was_typed(recorded: list[dict]) -> None:
    for hallu, start in zip(recorded, (["lmms-eval"], ["python", "-m", "lmms_eval"])):
        assert hallu["command"][: len(start)] == start
        assert hallu["command"][len(start) : len(start) + 4] == [
            "--model",
            "llava_base",
            "--model_args",
            "pretrained=demo",
        ]
        assert "token=[REDACTED]" in hallu["command"]


def test_the_questions_hash_is_the_hash_of_its_parts() -> None:
    """Pinned: a hash that changes with the package's version would make old runs incomparable."""
    parts = [
        hashlib.sha256(json.dumps([n, doc["question"], doc], sort_keys=True).encode()).hexdigest()
        for n, doc in enumerate(DOCS)
    ]
    assert questions(DOCS)["sha256"] == hashlib.sha256("".join(parts).encode()).hexdigest()
