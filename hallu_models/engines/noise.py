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


def number_of(key: bytes, seed: int) -> int:
    """A number by a ``key`` such as :func:`fingerprint` gives and a seed; another key gives another one."""
    return int.from_bytes(hashlib.sha256(key + str(seed).encode()).digest()[:7], "big")


def seeded_noise(key: bytes, seed: int, shape: Sequence[int]) -> Tensor:
    """Standard normal noise in float32 on the CPU, by a ``key`` such as :func:`fingerprint` gives and a seed."""
    return torch.randn(tuple(shape), generator=torch.Generator().manual_seed(number_of(key, seed)))


def noise_of_rows(keys: Tensor, place: int, number: int) -> Tensor:
    """Standard normal noise (B, number) in float32: each row's by its key (B,) and a place, such as a layer."""
    rows = [seeded_noise(str(key).encode(), place, [number]) for key in keys.tolist()]
    return torch.stack(rows).to(keys.device)
