"""Kept answers: in the file at once, whole lines only, one writer, gone when lmms-eval has written its files."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys

import pytest
from lmms_eval.api.instance import GenerationResult, TokenCounts
from lmms_eval.loggers import EvaluationTracker
from loguru import logger

from hallu_models.adapter import results_saved
from hallu_models.adapter.recovery import Answers


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HALLU_RECOVERY", str(tmp_path / "recovery"))
    return tmp_path / "recovery"


@pytest.fixture
def warnings():
    found = []
    sink = logger.add(lambda message: found.append(str(message)), level="WARNING", format="{message}")
    yield found
    logger.remove(sink)


def answer(text, tokens=3):
    return GenerationResult(text, TokenCounts(input_tokens=70, output_tokens=tokens))


def keys(path):
    return [json.loads(line)["key"] for line in path.read_bytes().splitlines()]


def test_answers_are_in_the_file_when_add_returns():
    with Answers("run") as kept:
        kept.add([("a", answer("one")), ("b", answer("two"))])
        assert keys(kept.path) == ["a", "b"]
        kept.add([("c", answer("three\u2028\n"))])
        assert keys(kept.path) == ["a", "b", "c"]


def test_the_next_run_has_them_with_their_counts():
    with Answers("run") as kept:
        kept.add([("a", answer("one\n\u2028ü", 5))])
    with Answers("run") as again:
        found = again.get("a")
        assert (found.text, found.token_counts.input_tokens, found.token_counts.output_tokens) == (
            "one\n\u2028ü",
            70,
            5,
        )
        assert again.get("b") is None
        again.add([("b", answer("two"))])
    assert keys(again.path) == ["a", "b"]


def test_a_batch_is_one_write_and_at_most_one_sync(monkeypatch):
    from hallu_models.adapter import recovery

    monkeypatch.setattr(recovery, "SYNC_SECONDS", 0)
    calls = []
    for name in ("write", "fsync"):
        plain = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *a, name=name, plain=plain: calls.append(name) or plain(*a))
    with Answers("run") as kept:
        kept.add([(str(number), answer("text")) for number in range(16)])
        assert calls == ["write", "fsync"]


def test_ranks_have_files_of_their_own_and_the_run_removes_them_together(folder):
    for rank in (0, 1):
        with Answers("run", rank, 2) as kept:
            kept.add([(f"rank {rank}", answer("text"))])
    assert [keys(path) for path in sorted(folder.iterdir())] == [["rank 0"], ["rank 1"]]
    kept.forget()
    assert [keys(path) for path in folder.iterdir()] == [["rank 0"]]
    kept.forget_run()
    assert not list(folder.iterdir())


@pytest.mark.parametrize("torn", [b'{"key": "c", "te', b"\0\0\0", b'{"key": "c", "text": "", "input_tokens": 1}'])
def test_a_torn_last_line_is_no_answer_and_the_next_one_is_a_line_again(torn):
    with Answers("run") as kept:
        kept.add([("a", answer("one"))])
    with kept.path.open("ab") as file:
        file.write(torn)
    with Answers("run") as again:
        assert len(again) == 1
        again.add([("b", answer("two"))])
    assert keys(kept.path) == ["a", "b"]


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{",
        b"[]",
        b"\xff",
        b'{"key": "c"}',
        b'{"key": 1, "text": "", "input_tokens": 1, "output_tokens": 1}',
        b'{"key": "c", "text": "", "input_tokens": "many", "output_tokens": 1}',
    ],
)
def test_any_other_malformed_line_names_file_line_and_fix(line):
    with Answers("run") as kept:
        kept.add([("a", answer("one"))])
    whole = kept.path.read_bytes()
    kept.path.write_bytes(whole + line + b"\n" + whole)
    with pytest.raises(ValueError, match=rf"{kept.path}, line 2: .*delete this line.*or the file"), Answers("run"):
        pass
    kept.path.write_bytes(whole + whole)
    with Answers("run") as again:
        assert len(again) == 1, "a refused file is left as it was, and unlocked"


@pytest.fixture
def disk():
    """A function that lets files grow to a number of bytes only; None for any size."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (before[0] if size is None else size, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_keeps_whole_lines_warns_once_and_catches_up_when_there_is_room(disk, warnings):
    with Answers("run") as kept:
        kept.add([("a", answer("one"))])
        disk(kept.path.stat().st_size + 20)
        for key in "bc":
            kept.add([(key, answer("text"))])
            assert keys(kept.path) == ["a"], "the first 20 bytes of a line are taken back"
        disk(None)
        kept.add([("d", answer("text"))])
        assert keys(kept.path) == ["a", "b", "c", "d"]
    assert len(warnings) == 1
    assert all(part in warnings[0] for part in (str(kept.path), "File too large", "the run goes on", "HALLU_RECOVERY"))


def test_a_folder_that_cannot_be_written_is_one_warning(folder, warnings):
    folder.write_text("a file")
    with Answers("run") as kept:
        kept.add([("a", answer("one"))])
        kept.add([("b", answer("two"))])
        assert kept.get("a").text == "one"
    kept.forget_run()
    assert len(warnings) == 1 and str(kept.path) in warnings[0]


HOLD = """
import sys
from hallu_models.adapter.recovery import Answers
with Answers("run") as kept:
    print("held", flush=True)
    sys.stdin.read()
"""


def test_two_processes_with_the_same_command_are_told_apart_by_their_number():
    other = subprocess.Popen([sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(RuntimeError, match=rf"process {other.pid} on .*same command.*HALLU_RECOVERY"):
            Answers("run").__enter__()
        with Answers("another run") as kept:
            kept.add([("a", answer("one"))])
        Answers("run").forget()
        assert Answers("run").path.exists(), "not removed while it is written"
    finally:
        other.send_signal(signal.SIGKILL)
        other.communicate()
    with Answers("run") as kept:
        kept.add([("a", answer("one"))])


# When the file goes.


def tracker(path):
    found = EvaluationTracker(output_path=str(path) if path else None)
    found.general_config_tracker.model_name_sanitized = "demo"
    return found


SAMPLE = {"doc_hash": "", "arguments": ["a"], "doc": {}, "target": "", "resps": ["a"], "filtered_resps": ["a"]}


def save(found, samples):
    """As lmms-eval's command line does it."""
    found.save_results_aggregated(results={"results": {}}, samples=samples or None, datetime_str="2026-01-01T00:00:00")
    for task, lines in samples.items():
        found.save_results_samples(task_name=task, samples=[dict(line) for line in lines])


@pytest.fixture
def done():
    calls = []
    results_saved.new_run()
    results_saved.when_saved(lambda: calls.append(len(calls)), "the answers stay")
    yield calls
    results_saved.new_run()


def test_kept_answers_go_after_the_last_file_of_the_run(tmp_path, done):
    found = tracker(tmp_path)
    found.save_results_aggregated({"results": {}}, {"a": [SAMPLE], "b": [SAMPLE]}, "2026-01-01T00:00:00")
    assert list(tmp_path.rglob("*_results.json")) and not done
    found.save_results_samples("a", [dict(SAMPLE)])
    assert not done
    found.save_results_samples("b", [dict(SAMPLE)])
    assert done == [0]


def test_kept_answers_go_after_the_results_where_no_samples_are_written(tmp_path, done):
    save(tracker(tmp_path), {})
    assert done == [0]


def test_kept_answers_go_at_once_where_no_results_are_written(done):
    save(tracker(None), {})
    assert done == [0]


def test_kept_answers_stay_where_results_cannot_be_written(tmp_path, done, warnings):
    (tmp_path / "results").write_text("a file, not a folder")
    save(tracker(tmp_path / "results"), {"a": [SAMPLE]})
    assert not done and "the answers stay" in "".join(warnings)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # lmms-eval never closes that file.
def test_kept_answers_stay_where_results_were_cut_by_a_full_disk(tmp_path, done, warnings, disk):
    disk(10)
    save(tracker(tmp_path), {})
    disk(None)
    assert not done and "the answers stay" in "".join(warnings)


def test_kept_answers_stay_where_samples_were_cut_by_a_full_disk(tmp_path, done, warnings, disk):
    found = tracker(tmp_path)
    found.save_results_aggregated({"results": {}}, {"a": [SAMPLE] * 9}, "2026-01-01T00:00:00")
    disk(100)
    found.save_results_samples("a", [dict(SAMPLE) for _ in range(9)])
    disk(None)
    assert not done and "the answers stay" in "".join(warnings)


def test_the_files_of_the_next_run_are_not_those_of_a_failed_one(tmp_path, done):
    results_saved.new_run()
    save(tracker(tmp_path), {})
    assert not done
