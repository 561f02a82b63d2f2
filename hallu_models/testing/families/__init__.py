"""Tiny random models of the real transformers classes with their real processors, one for each model family."""

from __future__ import annotations

import functools

import torch

from hallu_models.testing.families import blip, idefics, llava, matching, mixed, others, qwen
from hallu_models.testing.families.others import REFUSED, UNLISTED
from hallu_models.testing.families.parts import BUILDERS, Built, randomized

__all__ = ["BUILDERS", "REFUSED", "UNLISTED", "Built", "built", "new"]

MODULES = (blip, idefics, llava, matching, mixed, others, qwen)
"""Each puts its builders into the tables."""

SEEDS = {"qwen3_5": 2}
"""Other weights where those of seed 0 put a linear attention's output close to the zero that its norm divides by."""


@functools.cache
def built(family: str) -> Built:
    """Model and processor of a family, built once; for ``auto``, of a class that no family lists."""
    return UNLISTED["aya_vision"]() if family == "auto" else new(family)


def new(family: str) -> Built:
    """As :func:`built`, with a model of one's own."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model, processor = BUILDERS[family]()
        return randomized(model, SEEDS.get(family, 0)), processor
