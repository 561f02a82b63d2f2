"""Parts of a decoder that lie around its attention, found by kind: layers, feed-forward blocks, last norm."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from hallu_models.hosts.host import Host
from hallu_models.hosts.mismatch import HostMismatch


def layers_of(decoder: nn.Module, attention: nn.Module) -> nn.ModuleList:
    """The decoder's list of layers: the one that holds this attention module."""
    for module in decoder.modules():
        if isinstance(module, nn.ModuleList) and any(attention is part for item in module for part in item.modules()):
            return module
    raise HostMismatch(f"{type(decoder).__name__} has no list of layers that holds {type(attention).__name__}")


def layer_of(decoder: nn.Module, attention: nn.Module) -> nn.Module:
    """The layer that an attention module belongs to: the item of the decoder's list that holds it."""
    found = layers_of(decoder, attention)
    return next(item for item in found if any(part is attention for part in item.modules()))


def layer(host: Host, number: int) -> nn.Module:
    """A layer by its number; some have no attention of their own, but all are in one list."""
    if not host.closed:
        return layer_of(host.decoder, host.attention[number])
    found = layers_of(host.decoder, host.attention[0])
    if len(found) != host.depth:
        raise HostMismatch(f"the decoder's list holds {len(found)} layers, not {host.depth}")
    return found[number]


def block(host: Host, number: int) -> nn.Module:
    """The feed-forward block of a layer by its number; a layer without attention names it as the others do."""
    if not host.closed:
        return feed_forward(layer(host, number), host.attention[number])
    name = feed_forward_name(layer_of(host.decoder, host.attention[0]), host.attention[0])
    return layer(host, number).get_submodule(name)


def norms(layer: nn.Module, attention: nn.Module) -> tuple[nn.Module, nn.Module]:
    """The norms in front of attention and in front of the feed-forward block: a layer's only parts with vectors alone.

    Raises HostMismatch where there are fewer or more: blocks that run side by side, or norms behind them.
    """
    found = [part for part in layer.children() if (own := list(part.parameters())) and all(w.ndim == 1 for w in own)]
    if len(found) != 2:
        raise HostMismatch(
            f"a layer of type {type(layer).__name__} has {len(found) or 'no'} norms, not one in front of attention and "
            "one in front of the feed-forward block"
        )
    return found[0], found[1]


def output_projection(attention: nn.Module) -> nn.Module:
    """The last matrix of an attention module, which makes hidden states of its heads' outputs.

    Raises HostMismatch where that is not its last one.
    """
    found = [part for part in attention.children() if isinstance(part, nn.Linear)]
    entering = {part.in_features for part in found[:-1]}
    if not found or entering != {found[-1].out_features}:
        raise HostMismatch(f"an attention of type {type(attention).__name__} does not end with its output projection")
    return found[-1]


def feed_forward(layer: nn.Module, attention: nn.Module) -> nn.Module:
    """The feed-forward block of a layer: its only part with matrices, the attention's aside.

    Raises HostMismatch where it has none or several.
    """
    return layer.get_submodule(feed_forward_name(layer, attention))


def feed_forward_name(layer: nn.Module, attention: nn.Module) -> str:
    """What a layer calls its feed-forward block; see :func:`feed_forward`."""
    found = [
        name
        for name, part in layer.named_children()
        if not any(inner is attention for inner in part.modules())
        and any(weight.ndim >= 2 for weight in part.parameters())
    ]
    if len(found) != 1:
        raise HostMismatch(
            f"a layer of type {type(layer).__name__} has {len(found) or 'no'} parts with matrices beside its "
            "attention, so what a feed-forward block gives cannot be edited there"
        )
    return found[0]


def last_norm(decoder: nn.Module) -> nn.Module:
    """The norm behind the last layer: the decoder's only own part that has vectors alone."""
    found = [
        part
        for part in decoder.children()
        if (weights := list(part.parameters())) and all(weight.ndim == 1 for weight in weights)
    ]
    if len(found) != 1:
        raise HostMismatch(
            f"{type(decoder).__name__} has {len(found) or 'no'} parts that could be its last norm, so early "
            "layers have no logits"
        )
    return found[0]


def hidden_in(output: Any) -> Tensor:
    """The hidden states (B, L, D) in what a part of a layer gives, which may be a tuple that begins with them."""
    found = output[0] if isinstance(output, tuple) else output
    if not isinstance(found, Tensor) or found.ndim != 3 or not found.is_floating_point():
        raise HostMismatch(f"a part of a layer gave no hidden states (B, L, D) but {type(found).__name__}")
    return found


def hidden_given(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Tensor:
    """The hidden states (B, L, D) that a part of a layer is given: the first such argument."""
    for value in (*args, *kwargs.values()):
        if isinstance(value, Tensor) and value.ndim == 3 and value.is_floating_point():
            return value
    raise HostMismatch(
        f"a part of a layer was given no hidden states (B, L, D) among {len(args) + len(kwargs)} arguments"
    )


def with_hidden(output: Any, hidden: Tensor) -> Any:
    """The output with other hidden states."""
    return (hidden, *output[1:]) if isinstance(output, tuple) else hidden
