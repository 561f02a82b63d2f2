"""VAR: Visual Attention Redistribution ("See What You Are Told", ICLR 2025).

Some tokens get attention without meaning anything, and their hidden states tell them apart: a few dimensions are huge.
Heads that do look at the image are freed of part of these sinks, and look at the rest of the image instead.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from hallu_models.interventions import BadArgument, Intervention, LayerStep, Layout
from hallu_models.interventions import layers as layer_lists

AUTO, SEARCH = "auto", "search"

KNOWN = {("llava", 32): "1415+2533", ("llava", 40): "2100+4743", ("llava_next", 40): "2100+4743"}
"""Sink dimensions by family and number of layers, from the released code (Llama-2-7B and -13B)."""

SEARCHED = 2
"""Dimensions that a search takes: as many as the released code lists for a model."""

EPSILON = 1e-6


@dataclass(frozen=True)
class VAR(Intervention):
    """Move attention from sinks to the rest of the image, in heads that look at the image, in rows behind it.

    layers: "all" leaves out the first two and the last one.
    p: what sinks keep of their attention; 1 is the plain model.
    tau: a prompt token is a sink if its RMS-normalised state exceeds this, in absolute value, in a sink dimension.
    rho: a head looks at the image if sinks hold at most this share of its image attention ...
    mass: ... and the image at least this much of its attention.
    dimensions: sink dimensions, counted from 0, as "1415+2533"; "search" takes the largest ones of the first token, in
        each row and layer; "auto" the known ones of the model, or else a search.
    """

    name: ClassVar[str] = "var"

    p: float = 0.6
    tau: float = 20.0
    rho: float = 0.5
    mass: float = 0.2
    dimensions: str = AUTO

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.dimensions not in (AUTO, SEARCH) and not re.fullmatch(r"\d+(\+\d+)*", self.dimensions):
            raise BadArgument(
                f"var: dimensions={self.dimensions} are none; allowed: auto, search, or dimensions as 1415+2533"
            )

    def bind(self, family: str | None, depth: int) -> VAR:
        chosen = range(2, depth - 1) if self.layer_rule(family) == "all" else super().bind(family, depth)._edited(depth)
        if 0 in chosen:
            raise BadArgument(
                f"var: layers={self.layers}: sinks are found in what the layer before hands on, and layer 0 has none; "
                "leave it out"
            )
        known = KNOWN.get((family or "", depth), SEARCH)
        dimensions = known if self.dimensions == AUTO else self.dimensions
        return replace(self, layers=layer_lists.spell(chosen), dimensions=dimensions)

    def _edited(self, depth: int) -> tuple[int, ...]:
        return layer_lists.resolve(self.layers, depth, method=self.name)

    def layer_list(self, depth: int) -> tuple[int, ...]:
        edited = self._edited(depth)
        return tuple(sorted({*edited, *(layer - 1 for layer in edited)}))

    def hook_layers(self, hook: str, depth: int) -> tuple[int, ...]:
        edited = self._edited(depth)
        return tuple(layer - 1 for layer in edited) if hook == "layer_output" else edited

    def layer_output(self, hidden: Tensor, at: LayerStep) -> Tensor:
        if at.prefill:
            # What this layer hands on is what the next one reads.
            found = self.sinks(hidden, at.layout)
            at.generation["sinks"] = {**at.generation.get("sinks", {}), at.layer + 1: found}
        return hidden

    def sinks(self, hidden: Tensor, layout: Layout) -> Tensor:
        """(B, L): tokens of the prompt that are sinks, text and image alike."""
        states = hidden.float()
        size = (states * (states.square().mean(dim=-1, keepdim=True) + EPSILON).rsqrt()).abs()
        if self.dimensions == SEARCH:
            first = (~layout.padding).int().argmax(dim=1)
            where = size[torch.arange(len(size), device=size.device), first].topk(SEARCHED, dim=-1).indices
        else:
            listed = [int(one) for one in self.dimensions.split("+")]
            if missing := [one for one in listed if one >= size.shape[-1]]:
                raise BadArgument(
                    f"var: dimensions={self.dimensions}: dimension {missing[0]} does not exist, hidden states have "
                    f"{size.shape[-1]}; use dimensions=search"
                )
            where = torch.tensor(listed, device=size.device).expand(len(size), -1)
        largest = size.gather(2, where[:, None].expand(-1, size.shape[1], -1)).amax(dim=-1)
        return (largest > self.tau) & ~layout.padding

    def text_attention(self, attention: Tensor, at: LayerStep) -> Tensor:
        columns, found = at.columns, at.generation["sinks"][at.layer].to(attention.device)
        # A window of the cache moves on: whether the image has sinks is a matter of the prompt.
        visual = (found & at.layout.image).any(dim=1)
        grown = torch.nn.functional.pad(found, (0, columns.length - found.shape[1]))[:, columns.length - columns.seen :]
        sink, image = (mask[:, None, None] for mask in (grown, columns.image))
        on_image = (attention * image).sum(dim=-1, keepdim=True)
        rest = attention * (image & ~sink)
        remaining = rest.sum(dim=-1, keepdim=True)
        looks = (on_image - remaining <= self.rho * on_image) & (on_image >= self.mass) & (remaining > 0)
        looks &= visual[:, None, None, None]
        if at.record:
            at.record("looks_at_image", looks[:, :, -1, 0], "head")
            if at.prefill:
                at.record("sinks", found, "column")
        freed = (1 - self.p) * (attention * sink).sum(dim=-1, keepdim=True)
        edited = attention.where(~sink, self.p * attention) + freed / remaining.clamp(min=1e-12) * rest
        return edited.where(looks, attention)
