"""Logits of early layers: what the output embeddings make of hidden states that later layers have not seen.

What follows the output embeddings, a soft cap or a scale, is read off the model's own forward, and there the last layer
has to give the model's own logits.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from hallu_models.engines.hidden import LAYER_OUTPUT
from hallu_models.hosts import finish, parts
from hallu_models.hosts.host import Host
from hallu_models.hosts.mismatch import HostMismatch
from hallu_models.layout import Layout

EMBEDDINGS = -1
"""In the place of a layer's number: what the first layer reads."""

TOLERANCE = {2: 0.05, 4: 1e-3, 8: 1e-6}
"""Of the largest logit, by bytes of a number: what rounding may do to it."""


class Lens:
    """Keeps the last position's hidden states of some layers in each forward, and makes logits of them."""

    def __init__(self, host: Host, layers: tuple[int, ...]) -> None:
        self._host, self._norm = host, parts.last_norm(host.decoder)
        self.layers = layers
        self._seen: dict[int, Tensor] = {}
        self._finish: finish.Finish | None = None
        self._proved = False

    def modules(self) -> dict[int, nn.Module]:
        """The layers that :meth:`saw` is to be told the outputs of, the last one among them."""
        own = {*self.layers, self._host.depth - 1} - {EMBEDDINGS}
        return {layer: LAYER_OUTPUT.part(self._host, layer) for layer in own}

    @property
    def first(self) -> nn.Module | None:
        """The layer whose input :meth:`saw` is to be told; None where nobody looks at the embeddings."""
        return LAYER_OUTPUT.part(self._host, 0) if EMBEDDINGS in self.layers else None

    def saw(self, layer: int, hidden: Tensor, layout: Layout) -> None:
        """Take what a layer hands on (B, L, D), negative rows behind the others."""
        hidden = hidden[: layout.rows]
        self._seen[layer] = layout.on(hidden.device).last_row(hidden)

    def begin(self) -> None:
        """Another generation: the way to the logits is proved anew."""
        self._proved = False

    def learn(self) -> None:
        """Know the way to the logits before the first of them are made, from a forward over two words."""
        if self._finish is None:
            raw, made = finish.of_words(self._host.causal, self._host.device)
            self._finish = finish.finish(raw, made, self._host.soft_cap)

    def prove(self, made: Tensor) -> None:
        """Learn from the logits (B, V) of a prefill. Raises HostMismatch where the last layer gives others."""
        if self._proved:
            return
        self._proved = True
        raw = self._raw(self._seen[self._host.depth - 1], normed=True)
        made = made.float()
        self._finish = finish.finish(raw, made, self._host.soft_cap)
        found = float((self._finish(raw) - made).abs().amax() / made.abs().amax().clamp(min=1e-12))
        limit = TOLERANCE[self._host.model.dtype.itemsize]
        if not found <= limit:
            raise HostMismatch(
                f"the output embeddings make other logits of the last layer's hidden states than the model does, by "
                f"{found:.2g} of the largest"
            )

    def of(self, layers: int | Sequence[int], normed: bool = True) -> Tensor:
        """(B, V) in float32 of the last position, or (B, n, V) of n layers, whose states are projected together.

        Raises ValueError for a layer that was not asked for.
        """
        chosen = (layers,) if isinstance(layers, int) else tuple(layers)
        if missing := [layer for layer in chosen if layer not in self.layers]:
            raise ValueError(
                f"layer {missing[0]} is not looked into; early_layers() names "
                f"{', '.join(map(str, self.layers)) or 'none'}"
            )
        home = self._seen[self._host.depth - 1].device
        found = self.project(torch.stack([self._seen[layer].to(home) for layer in chosen], dim=1), normed)
        return found[:, 0] if isinstance(layers, int) else found

    def hidden(self, layer: int) -> Tensor:
        """(B, D) of the last position that a layer hands on."""
        return self._seen[layer]

    def project(self, hidden: Tensor, normed: bool = True) -> Tensor:
        """Logits (..., V) in float32 of hidden states (..., D)."""
        assert self._finish is not None
        return self._finish(self._raw(hidden, normed))

    def _raw(self, hidden: Tensor, normed: bool) -> Tensor:
        """(..., V) that the output embeddings make of hidden states (..., D)."""
        if normed:
            hidden = self._norm(hidden.to(next(self._norm.parameters()).device))
        head = self._host.causal.get_output_embeddings()
        return head(hidden.to(head.weight.device)).float()  # type: ignore[no-any-return]
