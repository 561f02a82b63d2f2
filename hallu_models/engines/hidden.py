"""Hidden states (B, L, D) of a layer: what attention and feed-forward block add, and what the layer hands on.

A second method edits what the first has made of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from hallu_models.engines.step import LayerStep, restored
from hallu_models.hosts import parts
from hallu_models.hosts.host import Host
from hallu_models.hosts.mismatch import HostMismatch
from hallu_models.layout import Layout


@dataclass(frozen=True)
class HiddenPoint:
    """An edit point at the output of a part of a layer. part: finds it in a host, by the layer's number."""

    name: str
    hook: str
    part: Callable[[Host, int], nn.Module]

    @property
    def hooks(self) -> tuple[str, ...]:
        return (self.hook,)

    def edit(self, hidden: Tensor, layout: Layout, methods: Sequence[Any], at: Callable[[Any], LayerStep]) -> Tensor:
        """Let the methods act, in the order written; rows without an image stay as they are."""
        edited = hidden
        for item in methods:
            edited = getattr(item, self.hook)(edited, at(item))
        return restored(edited.to(hidden.dtype), hidden, layout)


def _layer(host: Host, number: int) -> nn.Module:
    if not host.closed:
        return parts.layer_of(host.decoder, host.attention[number])
    # Some layers have no attention of their own, but all are in one list.
    layers = parts.layers_of(host.decoder, host.attention[0])
    if len(layers) != host.depth:
        raise HostMismatch(f"the decoder's list holds {len(layers)} layers, not {host.depth}")
    return layers[number]


def _feed_forward(host: Host, number: int) -> nn.Module:
    if not host.closed:
        return parts.feed_forward(_layer(host, number), host.attention[number])
    with_attention = parts.layer_of(host.decoder, host.attention[0])
    return _layer(host, number).get_submodule(parts.feed_forward_name(with_attention, host.attention[0]))


ATTENTION_OUTPUT = HiddenPoint("attention output", "attention_output", lambda host, number: host.attention[number])
FEED_FORWARD_OUTPUT = HiddenPoint("feed-forward output", "feed_forward_output", _feed_forward)
LAYER_OUTPUT = HiddenPoint("layer output", "layer_output", _layer)
HIDDEN_STATES = (ATTENTION_OUTPUT, FEED_FORWARD_OUTPUT, LAYER_OUTPUT)
