"""D-LEAF: Dynamic Layer-wise Entropy and Attention Fusion (arXiv 2509.07864), reconstructed.

A layer whose attention over the image is spread out more than that of the layers before it is suspicious. In such a
layer the heads that look least at the image are blended with the one that looks at it most.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from hallu_models.interventions import Intervention, LayerStep


@dataclass(frozen=True)
class DLEAF(Intervention):
    """Blend low-image-attention heads with the best one, in layers of abnormal entropy, at every generated token.

    gamma: weight of the best head's attention; 0 is the plain model. entropy: how the heads are merged before the
    entropy is taken ("mean", "max") or "per_head". threshold: "running" flags a layer above mean + k std of the layers
    before it in this token; "best" one above the lowest so far. bottom: how many heads are corrected; 0 means those
    below the layer's mean.
    """

    name: ClassVar[str] = "dleaf"

    gamma: float = 0.9
    entropy: Literal["mean", "max", "per_head"] = "mean"
    threshold: Literal["running", "best"] = "running"
    k: float = 1.0
    bottom: int = 0

    def row_attention(self, attention: Tensor, at: LayerStep) -> Tensor:
        to_image = attention * at.columns.image[:, None]
        focus = to_image.sum(dim=-1)  # IAF, (B, H)
        faulty = self._faulty(self._entropy(to_image), at.shared) & at.layout.has_image
        low = self._low(focus) & faulty[:, None]
        if at.record:
            for name, value in (("iaf", focus), ("corrected", low)):
                at.record(name, value, "head")
            for name, value in (("liae", at.shared["liae"]), ("limit", at.shared["limit"]), ("flagged", faulty)):
                at.record(name, value)
        best = attention.gather(1, focus.argmax(dim=1)[:, None, None].expand(-1, 1, attention.shape[-1]))
        return torch.where(low[:, :, None], self.gamma * best + (1 - self.gamma) * attention, attention)

    def _entropy(self, to_image: Tensor) -> Tensor:
        """LIAE (B,) in nats."""
        if self.entropy == "per_head":
            return _entropy(to_image).mean(dim=1)
        return _entropy(to_image.mean(dim=1) if self.entropy == "mean" else to_image.amax(dim=1))

    def _faulty(self, liae: Tensor, seen: dict[str, Any]) -> Tensor:
        """Which rows (B,) find this layer faulty, given what the layers before it left in ``seen`` in this token."""
        limit = torch.full_like(liae, math.inf)
        if self.threshold == "best":
            limit = seen.get("best", limit).to(liae.device)
            seen["best"] = torch.minimum(limit, liae)
        else:
            before = seen.setdefault("before", [])
            if len(before) >= 2:
                layers = torch.stack([entropy.to(liae.device) for entropy in before])
                limit = layers.mean(dim=0) + self.k * layers.std(dim=0, correction=0)
            before.append(liae)
        seen.update(liae=liae, limit=limit)
        return liae > limit

    def _low(self, focus: Tensor) -> Tensor:
        """Heads (B, H) that look little at the image."""
        if self.bottom:
            return focus.argsort(dim=1).argsort(dim=1) < self.bottom
        return focus < focus.mean(dim=1, keepdim=True)


def _entropy(weights: Tensor) -> Tensor:
    shares = weights / weights.sum(dim=-1, keepdim=True).clamp(min=1e-12)
    return torch.special.entr(shares).sum(dim=-1)
