"""AD-HH: adaptive deactivation of hallucination heads (ICLR 2025).

A few heads follow the text that is already there rather than the image. Whenever one of them gives that text much of
its attention, it gets none from there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cache
from typing import ClassVar

import torch
from torch import Tensor

from hallu_models.interventions import BadArgument, Intervention, LayerStep, layers

AUTO = "auto"

KNOWN = {
    ("llava", 32): (
        "L16H29+L26H9+L13H31+L15H10+L20H12+L30H9+L19H18+L17H0+L18H9+L26H28+L19H27+L18H26+L15H25+L14H16+L31H26+L15H24+"
        "L31H3+L22H20+L27H29+L17H28"
    ),
    ("llava", 40): (
        "L0H8+L29H27+L23H18+L20H11+L36H26+L19H37+L22H16+L22H34+L21H31+L20H34+L37H11+L17H25+L35H10+L17H5+L15H26+L0H22+"
        "L19H5+L19H0+L14H1+L23H20+L21H6+L30H24+L26H27+L21H32+L15H28+L15H31+L19H30+L20H8+L19H14+L14H9+L39H26+L25H1+"
        "L18H32+L17H27+L39H32"
    ),
    ("llava_next", 60): "L45H34+L43H4+L43H48+L44H29+L35H47+L40H27+L54H34+L37H48+L43H2+L41H34",
}
"""Heads by family and number of layers, from the released code (LLaVA-1.5-7B, -13B and LLaVA-NeXT-34B)."""

_HEAD = re.compile(r"L(\d+)H(\d+)")


@dataclass(frozen=True)
class ADHH(Intervention):
    """Zero the attention of listed heads on the text behind the image, where it holds ``threshold`` or more.

    heads: "L16H29+L26H9", layers and heads counted from 0; "auto" takes those that are known for the model. Empty, or a
    threshold above 1, is the plain model.
    """

    name: ClassVar[str] = "ad_hh"

    layers: layers.LayerSpec = ""
    heads: str = AUTO
    threshold: float = 0.4

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.heads != AUTO:
            listed(self.heads)

    def bind(self, family: str | None, depth: int) -> ADHH:
        heads = KNOWN.get((family or "", depth)) if self.heads == AUTO else self.heads
        if heads is None:
            raise BadArgument(
                f"ad_hh: heads=auto: no hallucination heads are known for a model of {depth} layers of the family "
                f"{family or 'auto'}; find them with `hallu calibrate --method ad_hh --model_args pretrained=... "
                "--output heads.yaml` and give preset=heads.yaml, or name them, for example heads=L16H29+L26H9"
            )
        if missing := [layer for layer, _ in listed(heads) if layer >= depth]:
            raise BadArgument(
                f"ad_hh: heads={heads}: layer {missing[0]} does not exist, this model has layers 0-{depth - 1}"
            )
        return replace(self, heads=heads)

    def layer_list(self, depth: int) -> tuple[int, ...]:
        return tuple(sorted({layer for layer, _ in listed(self.heads)}))

    def row_attention(self, attention: Tensor, at: LayerStep) -> Tensor:
        after = at.columns.after[:, None]
        mass = attention.masked_fill(~after, 0.0).sum(dim=-1)  # (B, H)
        off = (mass >= self.threshold) & _listed(self.heads, at.layer, attention.shape[1], attention.device)
        if at.record:
            at.record("text_mass", mass, "head")
            at.record("deactivated", off, "head")
        return attention.masked_fill(off[:, :, None] & after, 0.0)


@cache
def _listed(heads: str, layer: int, number: int, device: torch.device) -> Tensor:
    """(H,): which of a layer's heads are listed."""
    own = [head for where, head in listed(heads) if where == layer]
    if missing := [head for head in own if head >= number]:
        raise BadArgument(
            f"ad_hh: heads={heads}: head L{layer}H{missing[0]} does not exist, this model has heads 0-{number - 1}"
        )
    mask = torch.zeros(number, dtype=torch.bool, device=device)
    mask[own] = True
    return mask


def listed(heads: str) -> list[tuple[int, int]]:
    """Layer and head of each entry, in order. Raises ``BadArgument`` for other text."""
    found = []
    for term in filter(None, str(heads).replace(" ", "").split("+")):
        if not (match := _HEAD.fullmatch(term)):
            raise BadArgument(
                f"ad_hh: heads={heads}: {term} is no head; allowed: auto, or heads as L16H29 (layer 16, head 29, "
                "counted from 0) joined by +, or empty for none"
            )
        found.append((int(match[1]), int(match[2])))
    return found


def spell(heads: list[tuple[int, int]]) -> str:
    """Undoes :func:`listed`."""
    return "+".join(f"L{layer}H{head}" for layer, head in heads)
