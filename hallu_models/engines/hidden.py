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


ATTENTION_OUTPUT = HiddenPoint("attention output", "attention_output", lambda host, number: host.attention[number])
FEED_FORWARD_OUTPUT = HiddenPoint("feed-forward output", "feed_forward_output", parts.block)
LAYER_OUTPUT = HiddenPoint("layer output", "layer_output", parts.layer)
HIDDEN_STATES = (ATTENTION_OUTPUT, FEED_FORWARD_OUTPUT, LAYER_OUTPUT)
