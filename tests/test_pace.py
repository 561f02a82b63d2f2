"""The time a run will take, from its first batches."""

from __future__ import annotations

import pytest
import torch

from hallu_models.adapter import pace


def lines(total, batches):
    """What is said, by the number of batches; ``batches`` are pairs of documents and seconds."""
    now, made, found = 100.0, None, {}
    made = pace.Pace(total, now)
    for number, (documents, seconds) in enumerate(batches, 1):
        now += seconds
        if line := made.answered(documents, now):
            found[number] = line
    return found


def test_the_first_batch_does_not_count_and_one_line_is_said():
    said = lines(1000, [(10, 500), (10, 5), (10, 7), (10, 6), (10, 6), (10, 6)])
    assert said == {4: "about 10 min for the other 960 documents, if they are like the first 40"}


def test_batches_of_other_sizes_count_by_their_documents():
    assert lines(132, [(16, 90), (16, 16), (8, 8), (8, 8)]) == {
        4: "about 1 min for the other 84 documents, if they are like the first 48"
    }


def test_a_run_that_is_over_by_then_says_nothing():
    assert lines(40, [(10, 1)] * 4) == lines(30, [(10, 1)] * 3) == {}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "1 s"), (59, "59 s"), (60, "1 min"), (3599, "1 h 0 min"), (12000, "3 h 20 min"), (190000, "2 d 5 h")],
)
def test_durations(seconds, text):
    assert pace.duration(seconds) == text


def test_memory_is_told_of_an_accelerator_only(monkeypatch):
    assert pace.peak_memory(torch.device("cpu")) is None
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 3 * 2**30)
    assert pace.peak_memory(torch.device("cuda", 1)) == "peak memory 3.0 GiB on cuda:1"
