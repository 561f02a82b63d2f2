"""The model's own parts, for hidden states that a method has made: no forward is touched, and no edit is called."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from hallu_models.hosts import parts
from hallu_models.hosts.host import Host


class Inside:
    """Parts of the layers ``layers``, and what follows them. Hidden states (B, D) and head outputs (B, H, d) of a row.

    hidden: (B, D) of the last position, what an early layer hands on. predict: logits (B, V) in float32 that the output
    embeddings make of states behind the last norm.
    """

    def __init__(
        self, host: Host, layers: tuple[int, ...], hidden: Callable[[int], Tensor], predict: Callable[[Tensor], Tensor]
    ) -> None:
        """Raises HostMismatch where a layer has no such parts: blocks side by side, or norms behind them."""
        self._host, self.hidden, self.predict = host, hidden, predict
        self._last_norm = parts.last_norm(host.decoder)
        self._parts = {
            layer: (
                parts.output_projection(host.attention[layer]),
                *parts.norms(parts.layer(host, layer), host.attention[layer]),
                parts.block(host, layer),
            )
            for layer in layers
        }

    def output_projection(self, layer: int, heads: Tensor) -> Tensor:
        """What attention adds (B, D) where its heads give (B, H, d)."""
        return self._run(self._parts[layer][0], heads.flatten(1))

    def attention_norm(self, layer: int, hidden: Tensor) -> Tensor:
        """The norm in front of a layer's attention."""
        return self._run(self._parts[layer][1], hidden)

    def feed_forward(self, layer: int, hidden: Tensor) -> Tensor:
        """What a layer's feed-forward block adds, its norm in front of it."""
        _, _, norm, block = self._parts[layer]
        return self._run(block, self._run(norm, hidden)[:, None])[:, 0]

    def last_norm(self, hidden: Tensor) -> Tensor:
        """The norm behind the last layer."""
        return self._run(self._last_norm, hidden)

    def _run(self, part: nn.Module, states: Tensor) -> Tensor:
        """A part's own forward, past the hooks that edits are."""
        device = next(part.parameters()).device
        made: Any = part.forward(states.to(device, self._host.model.dtype))
        return made[0] if isinstance(made, tuple) else made
