"""What the shams draw: standard normal numbers by picture, question, seed and a place such as a layer."""

from __future__ import annotations

import torch
from torch import Tensor

from hallu_models.testing import Row
from references.vcd import digest, drawn, pieces


def draws(row: Row, seed: int, place: int, number: int) -> Tensor:
    pictures = b"".join(map(digest, pieces(row.inputs, row.inputs["pixel_values"])))
    key = drawn(pictures + digest(row.inputs["input_ids"][0]), seed)
    return torch.randn([number], generator=torch.Generator().manual_seed(drawn(str(key).encode(), place)))
