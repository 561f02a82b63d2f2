"""Logits processors that decide what a generation of the self-check chooses."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import torch
from torch import Tensor


def forced(tokens: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
    """A logits processor that leaves only these tokens (B, T) possible, one after another."""
    steps = iter(tokens.T)

    def force(_: Tensor, scores: Tensor) -> Tensor:
        return torch.full_like(scores, -torch.inf).scatter(1, next(steps)[:, None].to(scores.device), 0.0)

    return force


def swapped() -> Callable[[Tensor, Tensor], Tensor]:
    """A logits processor under which beam search has to take both beams from the second of them, then the first."""
    step = itertools.count()

    def force(_: Tensor, scores: Tensor) -> Tensor:
        worse = (0, 1)[next(step) % 2 == 0]
        scores = scores.clone()
        scores[worse::2] -= 50.0
        return scores

    return force
