"""The image encoder of a model: its layers, their feed-forward blocks, and the patches that it reads."""

from __future__ import annotations

from inspect import signature
from typing import Any

from torch import Tensor, nn

from hallu_models.hosts.host import Host, UnsupportedModel


def layers(host: Host) -> nn.ModuleList:
    """The layers that pictures go through: the longest list of parts in the encoder.

    Raises UnsupportedModel where there is none, and where pictures are packed.
    """
    found = [part for part in _encoder(host).modules() if isinstance(part, nn.ModuleList)]
    if not found:
        raise UnsupportedModel(f"the image encoder of {type(host.model).__name__} has no list of layers")
    longest = max(found, key=len)
    if "cu_seqlens" in signature(longest[0].forward).parameters:
        raise _packed(host)
    return longest


def feed_forward(layer: nn.Module) -> nn.Module:
    """The feed-forward block of an encoder's layer: its part with matrices that is no attention."""
    found = [
        part
        for part in layer.children()
        if any(weight.ndim >= 2 for weight in part.parameters()) and "attention" not in type(part).__name__.lower()
    ]
    if len(found) != 1:
        raise UnsupportedModel(
            f"a layer of type {type(layer).__name__} has {len(found) or 'no'} parts with matrices beside its attention"
        )
    return found[0]


def states_in(output: Any, host: Host) -> Tensor:
    """States (pictures or tiles, positions, D) in what a part of the encoder gives. Raises UnsupportedModel."""
    found = output[0] if isinstance(output, tuple) else output
    if not isinstance(found, Tensor) or found.ndim != 3:
        raise _packed(host)
    return found


def _packed(host: Host) -> UnsupportedModel:
    return UnsupportedModel(
        f"the image encoder of {type(host.model).__name__} packs pictures of any size into one row, so a picture has "
        "no fixed number of positions there"
    )


def patch(host: Host) -> int:
    """Side of a patch in pixels."""
    found = getattr(getattr(_encoder(host), "config", None), "patch_size", None)
    sides = {found} if isinstance(found, int) else set(found or ())
    if len(sides) != 1:
        raise UnsupportedModel(f"the image encoder of {type(host.model).__name__} names no side of its patches")
    return int(sides.pop())


def _encoder(host: Host) -> nn.Module:
    found = host.model.get_encoder(modality="image")
    if found is host.model or not isinstance(found, nn.Module):
        raise UnsupportedModel(f"{type(host.model).__name__} has no image encoder that get_encoder() can find")
    return found
