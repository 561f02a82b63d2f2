"""Noise that belongs to what it is added to: the same in any batch, among any beams and on any device."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor


def fingerprint(content: Tensor) -> bytes:
    """The same for tensors with the same values."""
    values = content.detach().to("cpu", torch.float32).contiguous().numpy()
    return hashlib.sha256(values.tobytes()).digest()


def seeded_noise(key: bytes, seed: int, shape: Sequence[int]) -> Tensor:
    """Standard normal noise in float32 on the CPU, by a ``key`` such as :func:`fingerprint` gives and a seed."""
    digest = hashlib.sha256(key + str(seed).encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
    return torch.randn(tuple(shape), generator=generator)
