"""VCD: the noise of each picture or tile comes from its own values; what pads a picture stays as it is."""

from __future__ import annotations

import hashlib
from typing import Any

import torch
from torch import Tensor

from hallu_models.testing import Row
from hallu_models.testing.dense_row import extended, forward


def reference(method: Any, row: Row) -> Tensor:
    noised = {**row.inputs, "pixel_values": noisy(row.inputs, method.noise_step, method.noise_seed)}
    main, other = (row.answers(forward(row.host, extended(inputs, row.answer))) for inputs in (row.inputs, noised))
    combined = (1 + method.alpha) * main - method.alpha * other
    implausible = main.softmax(-1) < method.beta * main.softmax(-1).amax(-1, True)
    return torch.where(implausible, -torch.inf, combined)


def noisy(inputs: dict[str, Any], step: int, seed: int) -> Tensor:
    """Of one prompt with one picture."""
    pixels = inputs["pixel_values"].clone()
    left = 1.0
    for number in range(step + 1):
        left *= 1 - float(torch.sigmoid(torch.tensor(-6 + 12 * number / 999))) * (0.005 - 0.00001) - 0.00001
    for piece in pieces(inputs, pixels):
        noise = torch.randn(piece.shape, generator=torch.Generator().manual_seed(drawn(digest(piece), seed)))
        piece.copy_(left**0.5 * piece + (1 - left) ** 0.5 * noise)
    return pixels


def pieces(inputs: dict[str, Any], pixels: Tensor) -> list[Tensor]:
    """Views of the pixels of each tile of one picture, without what pads it."""
    if "image_grid_thw" in inputs:
        return [pixels]
    if pixels.ndim == 3:
        return [tile[: int(real.sum())] for tile, real in zip(pixels, inputs["pixel_attention_mask"])]
    return [tile for tile in pixels.flatten(0, -4) if bool(tile.any())]


def digest(values: Tensor) -> bytes:
    return hashlib.sha256(values.float().contiguous().numpy().tobytes()).digest()


def drawn(key: bytes, seed: int) -> int:
    return int.from_bytes(hashlib.sha256(key + str(seed).encode()).digest()[:7], "big")
