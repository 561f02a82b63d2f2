"""SEVI: Semantic-Enhanced Visual Interpretation (arXiv 2505.14257).

In late layers most visual information already sits in the text behind the image. Heads that attend there teach the
others; contrasting with another image (CICD) cancels the language prior that this strengthens.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from hallu_models.interventions import HIDDEN, Intervention, LayerStep, LogitsStep, Negative, Prompt
from hallu_models.interventions import layers as layer_lists
from hallu_models.interventions.cicd import DIVERGENCES, contrast_other_image

PRESETS = {"balanced": (0.5, "8/32-31/32"), "focused": (4.0, "4/32-31/32")}
"""Strength and layers (section 4.1)."""


CATEGORIES = ("other", "global", "core")
"""What the observation ``category`` counts; global and core heads are semantic ones."""


@dataclass(frozen=True)
class SEVI(Intervention):
    """Move the attention of the last row towards semantic tokens, the text behind the image.

    preset: "balanced" or "focused"; sets ``omega`` and the layers where these are left to it. omega: weight of the
    teachers' scores; 0 with ``cicd=false`` is the plain model; -1 leaves it to the preset. kappa: a semantic head is
    "core" if one token holds more than this share of its semantic attention. start_layer: first edited layer; -1 leaves
    it to ``layers``. cicd: contrast with another image. others: columns that compete with the semantic ones, all up to
    the end of the image ("prompt") or the image alone ("image", the released code for Qwen). beta: CICD's plausibility.
    variant: of CICD's divergence, "paper" or "official".
    """

    name: ClassVar[str] = "sevi"

    preset: Literal["balanced", "focused"] = "balanced"
    omega: float = -1.0
    kappa: float = 0.2
    start_layer: int = -1
    cicd: bool = True
    others: Literal["prompt", "image"] = "prompt"
    beta: float = 0.1
    variant: Literal["paper", "official"] = "paper"

    def needs_other_image(self) -> bool:
        return self.cicd

    def bind(self, family: str | None, depth: int) -> SEVI:
        omega, _ = PRESETS[self.preset]
        layers = self.layer_rule(family)
        if self.start_layer >= 0:
            # A range whose end the model has, so that only the start can be refused.
            layers = f"{self.start_layer}-{max(depth - 1, self.start_layer)}"
        chosen = layer_lists.resolve(layers, depth, method=self.name)
        omega = omega if self.omega < 0 else self.omega
        return dataclasses.replace(self, omega=omega, layers=layer_lists.spell(chosen))

    def layer_rule(self, family: str | None) -> str:
        return PRESETS[self.preset][1] if self.layers == layer_lists.AUTO else self.layers

    def contrasts(self) -> bool:
        return self.cicd

    def row_scores(self, scores: Tensor, at: LayerStep) -> Tensor:
        columns = at.columns
        attention = scores.softmax(dim=-1)
        rest = columns.image if self.others == "image" else columns.visible & ~columns.after
        semantic_mass = (attention * columns.after[:, None]).sum(dim=-1)
        other_mass = (attention * rest[:, None]).sum(dim=-1)
        semantic = semantic_mass >= other_mass
        peak = (attention * columns.after[:, None]).amax(dim=-1)
        core = semantic & (peak > self.kappa * semantic_mass)
        wide = semantic & ~core
        if at.record:
            at.record("category", core.int() * 2 + wide.int(), "head")  # index of CATEGORIES
        # Categories are fixed first; the others learn from the global heads' scores as they were.
        mean = (scores * wide[:, :, None]).sum(dim=1) / wide.sum(dim=1, keepdim=True).clamp(min=1)
        peaks = scores.masked_fill(~core[:, :, None], HIDDEN).amax(dim=1)
        learn = ~semantic & wide.any(dim=1, keepdim=True) & at.layout.has_image[:, None]
        sharpen = wide & core.any(dim=1, keepdim=True) & at.layout.has_image[:, None]
        scores = torch.where(learn[:, :, None], self._towards(scores, mean), scores)
        return torch.where(sharpen[:, :, None], self._towards(scores, peaks), scores)

    def _towards(self, scores: Tensor, teacher: Tensor) -> Tensor:
        return (scores + self.omega * teacher[:, None]) / (1 + self.omega)

    def negative(self, prompt: Prompt) -> Negative:
        return Negative(prompt.run.other_images(self.name), prompt.layout.has_image)

    def contrast(self, logits: Tensor, negative: Tensor, at: LogitsStep) -> Tensor:
        return contrast_other_image(logits, negative, 3.0, self.beta, at, DIVERGENCES[self.variant])
