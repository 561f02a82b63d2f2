"""Nullu's HalluSpace: the directions in which a model's states of hallucinated captions differ from faithful ones."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from hallu_models.calibrate import pairs
from hallu_models.calibrate.finding import Finding
from hallu_models.calibrate.pairs import Pair
from hallu_models.loading import Host

MOST = 16
"""Directions a layer in a file."""

FEWEST = 8
"""Pairs below which the first directions are those of single captions."""

SHOWN = (1, 4, 8)

RULE = (
    "Each image is read with a faithful and with a hallucinated caption. In every layer half the difference of the "
    "hidden states behind it, averaged over all positions, is a row of a matrix; its first right singular vectors, "
    f"without centring, are the layer's directions, at most {MOST}."
)


def find(host: Host, given: Sequence[Pair]) -> Finding:
    """Directions of all layers. Raises ValueError for too few pairs."""
    if len(given) < FEWEST:
        raise ValueError(f"{len(given)} pairs are too few; give at least {FEWEST}, the released code has thousands")
    return spanned(pairs.differences(host, list(given), "mean"))


def spanned(differences: Tensor) -> Finding:
    """From faithful minus hallucinated states (N, layers, D)."""
    tensors, rows, measured = {}, [], {}
    for layer, matrix in enumerate((differences / 2).unbind(dim=1)):
        _, strengths, directions = torch.linalg.svd(matrix.double(), full_matrices=False)
        tensors[f"layers.{layer}"] = directions[:MOST].float()
        shares = strengths.square().cumsum(dim=0) / strengths.square().sum().clamp(min=1e-300)
        first = [float(shares[min(number, len(shares)) - 1]) for number in SHOWN]
        rows.append((str(layer), f"{float(matrix.norm(dim=1).mean()):.3g}", *(f"{share:.2f}" for share in first)))
        measured[f"layer {layer}"] = round(first[1], 4)
    head = ("LAYER", "LENGTH", *(f"SHARE OF {number}" for number in SHOWN))
    return Finding({}, len(differences), measured, head, rows, tensors)
