"""Real runs of lmms-eval that are killed, that fail while scoring, and of which one rank fails."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time

import pytest
import warm

from registry.runs import outcome

pytestmark = pytest.mark.slow

LIMIT = 15
TASKS = ("hallu_demo_chair", "hallu_demo_pope", "hallu_demo_mme")

# A method that changes nothing, in a package whose faults a run's environment switches on.
FAULTY = """
import os
from dataclasses import dataclass
from typing import ClassVar

from lmms_eval.api.task import ConfigurableTask
from lmms_eval.evaluator_utils import TaskOutput

from hallu_models.interventions.base import Intervention

if os.environ.get("FAULT") == "scoring" and os.environ.get("RANK", "1") == "1":
    def fail(self, doc, results):
        raise OSError("the scorer fails")
    ConfigurableTask.process_results = fail

if os.environ.get("FAULT") == "aggregation":
    def fail(self, bootstrap_iters=0):
        raise OSError("the sum fails")
    TaskOutput.calculate_aggregate_metric = fail


@dataclass(frozen=True)
class Faulty(Intervention):
    name: ClassVar[str] = "faulty"

    def head_outputs(self, outputs, at):
        if os.environ.get("FAULT") == "generation" and os.environ.get("RANK") == "1" and len(at.layout.padding) < 4:
            # The last batch of a task, so this rank has answers by now.
            raise OSError("the generation fails")
        return outputs
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with the package of the method."""
    folder = tmp_path_factory.mktemp("interrupted")
    (folder / "faulty_method.py").write_text(FAULTY)
    info = folder / "faulty_method-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: faulty_method\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[hallu.interventions]\nfaulty = faulty_method:Faulty\n")
    return folder


class Run:
    """The same command whatever happens to it: `output` and the fault are no part of what it answers."""

    def __init__(self, place, output, processes=1, fault="", program="lmms_eval"):
        self.results, self.kept = place / output, place / f"kept_{processes}_{output == 'whole'}"
        self.log = place / f"{output}.log"
        self.log.touch()
        asked = (
            "-m", program, "--model", "llava_faulty", "--model_args", "pretrained=demo", "--tasks", "hallu_demo",
            "--batch_size", "4", "--limit", str(LIMIT), "--output_path", str(self.results), "--log_samples",
        )  # fmt: skip
        changes = {
            "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true", "FAULT": fault,
            "HALLU_RECOVERY": str(self.kept),
        }  # fmt: skip
        launcher = ("-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}")
        command = [sys.executable, *(launcher if processes > 1 else ()), *asked]
        self.process = warm.Process(command, place, changes, self.log, self.log, added=[place])

    def kill_at(self, number, how):
        """End a process of the run, any one of several, once this many answers are kept, or a moment later."""
        end = time.monotonic() + 120
        while len(self.lines()) < number:
            assert self.process.poll() is None and time.monotonic() < end, self.log.read_text()[-3000:]
            time.sleep(0.005)
        time.sleep(random.random() / 5)
        os.kill(random.choice([int(lock.read_text().split()[1]) for lock in self.kept.glob("*.lock")]), how)
        assert self.process.wait(60) != 0
        return self.lines()

    def finish(self, timeout=180):
        try:
            return self.process.wait(timeout)
        finally:
            self.process.kill()

    def lines(self):
        """Whole lines of all ranks' files."""
        found = []
        for path in sorted(self.kept.glob("*.jsonl")):
            found += path.read_bytes().split(b"\n")[:-1]
        return found

    def samples(self):
        return {
            (file.name.split("_samples_")[1], sample["doc_id"]): sample
            for file in self.results.rglob("*_samples_*.jsonl")
            for sample in map(json.loads, file.read_text().splitlines())
        }

    def scores(self):
        return {task: self.written()["results"][task] for task in TASKS}

    def written(self):
        return json.loads(next(self.results.rglob("*_results.json")).read_text())

    def computed_tokens(self):
        return self.written()["throughput"]["total_gen_tokens"]


def tokens(lines):
    return sum(json.loads(line)["output_tokens"] for line in lines)


def of_samples(run):
    """Texts, numbers of tokens, and margins as far as batches of other sizes agree in them."""
    found = {}
    for key, sample in run.samples().items():
        (counted,) = sample["token_counts"]
        numbers = counted["input_tokens"], counted["output_tokens"]
        found[key] = (sample["filtered_resps"], *numbers, pytest.approx(counted["margin"], abs=2e-4))
    return found


def alike(found, expected):
    # A number is compared with another's approximation.
    bare = {key: (*rest, margin.expected) for key, (*rest, margin) in found.items()}
    return bare == expected


@pytest.fixture(scope="module")
def whole(place):
    """The run that nothing happens to."""
    run = Run(place, "whole")
    assert run.finish() == 0
    assert len(run.samples()) == 3 * LIMIT
    return run


def test_the_answers_of_a_run_are_gone_once_its_results_are_written(whole):
    assert not list(whole.kept.iterdir())


def test_killed_twice_and_failed_in_scoring_each_answer_is_computed_once(place, whole):
    first = Run(place, "one").kill_at(random.randint(1, LIMIT), signal.SIGKILL)
    second = Run(place, "two").kill_at(len(first) + random.randint(1, LIMIT // 2), signal.SIGTERM)
    assert second[: len(first)] == first, "answers are appended"

    scoring = Run(place, "three", fault="scoring")
    scoring.finish()
    assert "the scorer fails" in scoring.log.read_text()
    complete = scoring.lines()
    assert complete[: len(second)] == second
    keys = [json.loads(line)["key"] for line in complete]
    assert len(keys) == len(set(keys)) == 3 * LIMIT, "nothing is computed again"

    last = Run(place, "four")
    assert last.finish() == 0
    assert last.computed_tokens() == 0
    assert alike(of_samples(last), of_samples(whole))
    assert last.scores() == whole.scores()
    assert not list(last.kept.iterdir())


def test_a_rank_that_raises_or_dies_ends_the_run_and_what_both_have_answered_is_kept(place, whole):
    failed = Run(place, "failed", 2, fault="generation")
    end = time.monotonic() + 180
    while "the generation fails" not in failed.log.read_text():
        assert failed.process.poll() is None and time.monotonic() < end, failed.log.read_text()[-3000:]
        time.sleep(0.05)
    assert failed.finish(timeout=60) != 0
    log = failed.log.read_text()
    assert "the generation fails" in log and "this ends all 2 processes" in log
    kept = failed.lines()
    assert all(path.stat().st_size for path in failed.kept.glob("*.jsonl"))
    assert len(list(failed.kept.glob("*-of-2.jsonl"))) == 2

    killed = Run(place, "killed", 2).kill_at(len(kept) + random.randint(1, 4), signal.SIGKILL)
    assert set(kept) < set(killed)
    assert len({json.loads(line)["key"] for line in killed}) == len(killed)

    last = Run(place, "both", 2)
    assert last.finish() == 0
    assert "answers of an unfinished run are taken" in last.log.read_text()
    assert alike(of_samples(last), of_samples(whole))
    assert last.scores() == whole.scores()
    assert not list(last.kept.iterdir())


@pytest.mark.parametrize(("fault", "error"), [("scoring", "the scorer fails"), ("aggregation", "the sum fails")])
def test_a_rank_that_raises_behind_the_answers_fails_the_run_and_is_named(place, fault, error):
    """In scoring it is the second one, in aggregating the first, which alone does that."""
    failed = Run(place, fault, 2, fault=fault, program="registry.evaluation")
    assert failed.finish() != 0
    assert f"hallu: the run failed: OSError: {error}" in failed.log.read_text().splitlines()
    assert outcome.read(failed.results).error == f"OSError: {error}"
    assert len({json.loads(line)["key"] for line in failed.lines()}) == 3 * LIMIT, "no answer is lost"
