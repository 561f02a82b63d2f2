"""VTI's directions: where a model's states of faithful captions lie, seen from those of hallucinated ones."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor

from hallu_models.calibrate import pairs, stable_features
from hallu_models.calibrate.finding import Finding
from hallu_models.calibrate.pairs import Pair
from hallu_models.loading import Host

FEWEST = 8
"""Pairs below which the mean is that of single captions."""

RULE = (
    "Each image is read with a faithful and with a hallucinated caption. The differences of the hidden states at the "
    "last position, all layers in one vector, have a mean and a first principal component of unit length; a layer's "
    f"direction is its part of their sum. {stable_features.RULE}"
)


def find(host: Host, given: Sequence[Pair]) -> Finding:
    """A direction for each layer, of the image encoder for each position too. Raises ValueError for too few pairs."""
    if len(given) < FEWEST:
        raise ValueError(f"{len(given)} pairs are too few; give at least {FEWEST}, the released code takes 50 to 70")
    found = led(pairs.differences(host, list(given), "last"))
    encoding = stable_features.directions(host, [pair.subject for pair in given])
    return dataclasses.replace(found, tensors={**found.tensors, **encoding})


def led(differences: Tensor) -> Finding:
    """From faithful minus hallucinated states (N, layers, D)."""
    together = differences.double().flatten(1)
    mean = together.mean(dim=0)
    scores, _, components = torch.linalg.svd(together - mean, full_matrices=False)
    # A component has two signs; its largest score is positive.
    sign = scores[scores[:, 0].abs().argmax(), 0].sign()
    direction = (mean + sign * components[0]).view(differences.shape[1:])
    alike = torch.nn.functional.cosine_similarity(differences.double(), direction, dim=-1).mean(dim=0)
    lengths = mean.view(differences.shape[1:]).norm(dim=-1)
    rows = [(str(layer), f"{lengths[layer]:.3g}", f"{alike[layer]:.2f}") for layer in range(len(alike))]
    measured = {f"layer {layer}": round(float(one), 4) for layer, one in enumerate(alike)}
    tensors = {f"layers.{layer}": row[None].float() for layer, row in enumerate(direction)}
    return Finding({}, len(differences), measured, ("LAYER", "LENGTH", "COSINE"), rows, tensors)
