"""What counts as growth in a long run."""

from __future__ import annotations

from dataclasses import replace

import pytest
import soak


def readings(**growth: float) -> list[soak.Reading]:
    """A hundred readings; `growth` is what each column gains from the first to the last."""
    start = {"memory": 2**30, "handles": 20, "threads": 4}
    return [
        soak.Reading(n, **{name: round(value + growth.get(name, 0) * n / 99) for name, value in start.items()})
        for n in range(100)
    ]


@pytest.mark.parametrize(
    ("growth", "said"),
    [
        ({}, []),
        ({"memory": 0.02 * 2**30}, []),
        ({"memory": -(2**28)}, []),
        ({"memory": 0.04 * 2**30}, ["memory grew by 3.6%, allowed 2%"]),
        ({"handles": 10}, ["9 handles gained"]),
        ({"threads": 20, "handles": -3}, ["18 threads gained"]),
    ],
)
def test_growth_is_told(growth: dict[str, float], said: list[str]) -> None:
    assert soak.judged(readings(**growth))[0] == said


def test_a_single_breath_of_memory_is_no_growth() -> None:
    found = readings()
    found[-1] = replace(found[-1], memory=2**31)
    assert soak.judged(found)[0] == []


def test_every_method_has_its_turns_in_the_warm_up(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        soak.main(["--documents", "100"])
    turns = 2 * len(soak.CYCLE) * soak.BATCH * soak.BATCHES
    said = f"--documents 100: at least {round(turns / soak.WARM)}, so that every method has two turns"
    assert said in capsys.readouterr().err
