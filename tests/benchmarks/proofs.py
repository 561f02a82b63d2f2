"""What the self-check costs, made once a process and model: against the time of answering three prompts."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import torch
from forwards import NEEDED, Scenario
from pairs import Bound, Row, pairs, ratio_row

from hallu_models import methods, self_check
from hallu_models.hosts import generate

BOUND = 1.0
PROMPTS, TOKENS = 3, 64
"""A caption takes about as many tokens."""


def rows(scenario: Scenario, names: Sequence[str], repeats: int) -> list[Row]:
    """A row a method: seconds of its check over seconds of three answers, one prompt after another."""
    host = scenario.host
    one = {name: value[:1] for name, value in scenario.inputs.items()}
    two = None if host.processor is not None else {name: torch.cat([value, value]) for name, value in one.items()}

    def answers() -> float:
        began = time.perf_counter()
        with torch.inference_mode():
            for _ in range(PROMPTS):
                generate.scored(host.model, one, TOKENS)
        return time.perf_counter() - began

    def checked(engines: tuple[str, ...], branch: self_check.Mode | None) -> Callable[[], float]:
        return lambda: self_check.check(host, engines, branch, two).seconds

    arms = {}
    for name in names:
        built = methods.build(name, host.family, host.depth, NEEDED.get(name, {}))
        engines = self_check.engines_of(built, host.depth)
        arms[name] = checked(engines, "paired" if self_check.BRANCH in engines else None)
    found = pairs(answers, arms, repeats, f"{scenario.name}, self-check")
    where = f"{scenario.name}, {PROMPTS} answers of {TOKENS} tokens"
    return [ratio_row(f"self-check of {name}", where, values, "s", Bound(BOUND)) for name, values in found.items()]
