"""What is made of several next-token predictions: combinations, how far apart they are, and which tokens stay.

Predictions are logits (..., V) in float32. A token that one of them makes impossible (-inf) is none that tells them
apart: what a method in front has ruled out decides nothing.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from contextvars import ContextVar

import torch
from torch import Tensor

_uncut: ContextVar[list[Tensor] | None] = ContextVar("uncut", default=None)


@contextlib.contextmanager
def keeping_uncut() -> Iterator[list[Tensor]]:
    """Inside, the list holds the logits that this thread has last cut to plausible tokens, as they were before."""
    kept: list[Tensor] = []
    before = _uncut.set(kept)
    try:
        yield kept
    finally:
        _uncut.reset(before)


def plausible(logits: Tensor, reference: Tensor, beta: float) -> Tensor:
    """Adaptive plausibility: tokens below ``beta`` times the most likely one under ``reference`` become impossible."""
    if (kept := _uncut.get()) is not None:
        kept[:] = [logits]
    limit = reference.amax(dim=-1, keepdim=True) + math.log(beta) if beta > 0 else -math.inf
    return logits.masked_fill(reference < limit, -math.inf)


def contrasted(logits: Tensor, negative: Tensor, alpha: float, beta: float) -> Tensor:
    """(1 + alpha) l - alpha l' for plausible tokens; with an alpha of 0 the plain model's logits, uncut."""
    return logits if alpha == 0 else plausible((1 + alpha) * logits - alpha * negative, logits, beta)


def supported(logits: Tensor, other: Tensor, alpha: float, beta: float) -> Tensor:
    """l + alpha l' for plausible tokens; with an alpha of 0 the plain model's logits, uncut."""
    return logits if alpha == 0 else plausible(logits + alpha * other, logits, beta)


def jensen_shannon(first: Tensor, second: Tensor) -> Tensor:
    """Jensen-Shannon divergence (...) in nats, at most ln 2."""
    p, q, m = _with_middle(first, second)
    return ((_divergence(p, m) + _divergence(q, m)) / 2).clamp(min=0)


def reversed_divergence(first: Tensor, second: Tensor) -> Tensor:
    """Divergence (...) in nats of the middle of both from each of them, mean of the two; it has no largest value."""
    p, q, m = _with_middle(first, second)
    return ((_divergence(m, p) + _divergence(m, q)) / 2).clamp(min=0)


def _with_middle(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Log-probabilities of both among the tokens that both can choose, and those of their middle."""
    possible = first.isfinite() & second.isfinite()
    p, q = (one.masked_fill(~possible, -math.inf).log_softmax(dim=-1) for one in (first, second))
    return p, q, torch.logaddexp(p, q) - math.log(2)


def _divergence(p: Tensor, q: Tensor) -> Tensor:
    """Kullback-Leibler divergence (...) of log-probabilities ``p`` from ``q``."""
    return (p.exp() * (p - q)).masked_fill(p.isneginf(), 0.0).sum(dim=-1)
