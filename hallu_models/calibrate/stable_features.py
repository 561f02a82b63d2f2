"""VTI's directions in the image encoder: from a picture's states to those of copies that hide nearly all of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor

from hallu_models import processing
from hallu_models.diagnostics.readings import progress
from hallu_models.diagnostics.subjects import Subject
from hallu_models.hosts import encoder, processors
from hallu_models.hosts import inputs as reading
from hallu_models.hosts.host import UnsupportedModel
from hallu_models.loading import Host

COPIES, AT_ONCE = 50, 10
"""Of a picture, and how many are read together."""

HIDDEN = 0.99
"""Share of the patches that a copy hides."""

RULE = (
    f"In the image encoder, {COPIES} copies of each picture are read in which {HIDDEN:.0%} of the patches, drawn at "
    "random, show the picture's mean colour. A layer's directions are the mean difference of the states behind it, "
    "copies minus picture, for each position."
)


def directions(host: Host, subjects: Sequence[Subject]) -> dict[str, Tensor]:
    """(positions, D) by ``encoder.N``; empty where a picture has no fixed number of positions, or is cut into tiles."""
    total, patch = torch.zeros(()), 0
    try:
        patch = encoder.patch(host)
        for number, subject in enumerate(progress(subjects, "hide")):
            whole = processing.encode(host, [subject.conversation()])
            copies = processing.encode(host, [subject.conversation()] * AT_ONCE)
            pixels = processors.pixels_of(copies)
            if pixels is None:
                return {}
            generator = torch.Generator().manual_seed(number)
            parts = [
                states(host, processors.with_pixels(copies, hidden(pixels, patch, generator)))
                for _ in range(COPIES // AT_ONCE)
            ]
            away, own = torch.stack(parts).mean(dim=0), states(host, whole)
            if away.shape != own.shape:
                return {}
            total = total + away - own
    except UnsupportedModel:
        return {}
    return {f"encoder.{layer}": row for layer, row in enumerate(total / len(subjects))}


def hidden(pixels: Tensor, patch: int, generator: torch.Generator) -> Tensor:
    """Pixels (N, 3, H, W) with nearly all patches in the picture's mean colour, others in each."""
    count, _, height, width = pixels.shape
    rows, columns = height // patch, width // patch
    order = torch.rand(count, rows * columns, generator=generator).argsort(dim=1).argsort(dim=1)
    away = (order < int(HIDDEN * rows * columns)).view(count, 1, rows, columns).to(pixels.device)
    away = away.repeat_interleave(patch, dim=2).repeat_interleave(patch, dim=3)
    # What is left at the edge is no patch.
    away = torch.nn.functional.pad(away, (0, width - away.shape[3], 0, height - away.shape[2]))
    return torch.where(away, pixels.mean(dim=(2, 3), keepdim=True), pixels)


def states(host: Host, given: Mapping[str, Any]) -> Tensor:
    """States (layers, positions, D) behind each layer of the image encoder, averaged over the pictures given."""
    found: list[Tensor] = []

    def take(_: Any, args: Any, output: Any) -> None:
        found.append(encoder.states_in(output, host).float().mean(dim=0).cpu())

    with torch.inference_mode(), ExitStack() as hooks:
        for layer in encoder.layers(host):
            hooks.callback(layer.register_forward_hook(take).remove)
        reading.read(host, given)
    return torch.stack(found)
