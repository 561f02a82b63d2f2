"""VHR: Vision-aware Head Reinforcement (He et al., ACL 2025, arXiv 2412.13949).

Heads whose output moves most when the image is removed are the ones that look at it. Double their outputs, and the
language prior of the others weighs less. Heads are chosen once, where the first answer token is predicted.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from hallu_models.interventions import Answer, Intervention, LayerStep, Observation, Prompt, State, per_layer


@dataclass(frozen=True)
class LouderHalf(Intervention):
    """Scale the outputs of half of the heads of each layer, chosen where the first answer token is predicted.

    alpha: factor on the selected heads; 1 is the plain model.
    """

    alpha: float = 2.0

    def ranks(self, outputs: Tensor, at: LayerStep) -> Tensor:
        """Numbers (B, H) of which the upper half selects its heads, from head outputs (B, Lq, H, d) of the prefill."""
        raise NotImplementedError(f"{self.name} ranks no heads")

    def head_outputs(self, outputs: Tensor, at: LayerStep) -> Tensor:
        if at.prefill and at.layout.any_image:
            self._choose(outputs, self.ranks(outputs, at), at)
        # Later steps read keys and values made with this choice, so it holds for the whole generation.
        scale = at.state.get("scale")
        return outputs if scale is None else outputs * scale

    def _choose(self, outputs: Tensor, ranks: Tensor, at: LayerStep) -> None:
        # Strictly above the lower median: half of the heads when all ranks differ.
        selected = ranks > ranks.median(dim=-1, keepdim=True).values
        selected &= at.layout.has_image[:, None]
        scale = torch.where(selected, self.alpha, 1.0).to(outputs.dtype)
        at.state.update(ranks=ranks, selected=selected, scale=scale[:, None, :, None])

    def observations(self, states: Mapping[int, State]) -> dict[str, Observation]:
        return {"selected": per_layer(states, "selected", ("row", "layer", "head"))}


@dataclass(frozen=True)
class VHR(LouderHalf):
    """Scale the outputs of the more vision-aware half of the heads.

    alpha: factor on the selected heads; 1 is the plain model, 2 the paper's value (section 4.1).
    variant: "paper"; or "official", the released code's: squared distances, and the outlier test is skipped in layers
        whose distances have a standard deviation (unbiased) of at most 1.
    top_k: heads a layer that count in the observation T-VHD; 0 counts the larger half. It changes no answer.
    """

    name: ClassVar[str] = "vhr"

    variant: Literal["paper", "official"] = "paper"
    top_k: int = 0

    def read(self, prompt: Prompt) -> None:
        if not prompt.layers:
            return
        prompt.generation["without"] = prompt.run.head_outputs_without_image(prompt.layout, prompt.layers)

    def ranks(self, outputs: Tensor, at: LayerStep) -> Tensor:
        without = at.generation["without"][at.layer]
        return self.head_divergence(at.layout.last_row(outputs).float(), without.float())

    def head_divergence(self, with_image: Tensor, without: Tensor) -> Tensor:
        """Vision-aware head divergence (B, H) of head outputs (B, H, d), outliers set to zero (eqs. 3-6)."""
        divergence = (with_image - without).norm(dim=-1)
        if self.variant == "official":
            divergence = divergence.square()
        activity = without.square().sum(dim=-1)
        outlier = _far_above_mean(divergence) & _far_above_mean(activity)
        if self.variant == "official":
            outlier &= divergence.std(dim=-1, keepdim=True) > 1
        return divergence.masked_fill(outlier, 0.0)

    def review(self, answer: Answer) -> None:
        """Record T-VHD (A, T): at each generated token, the sum of every layer's largest divergences (eq. 2).

        The text-only branch follows the generated text. NaN behind the end of an answer.
        """
        scales = {layer: state["scale"] for layer, state in answer.states.items() if "scale" in state}
        if not answer.record or not scales:
            return
        sees, blind = (
            answer.run.head_outputs_along(answer.tokens, answer.rows, tuple(scales), image=image, scales=used)
            for image, used in ((True, scales), (False, {}))
        )
        distances = [(sees[layer].float() - blind[layer].float()).norm(dim=-1) for layer in sorted(scales)]
        by_head = torch.stack(distances, dim=2)
        heads = by_head.shape[-1]
        largest = by_head.topk(min(self.top_k or max(heads // 2, 1), heads), dim=-1).values.sum(dim=(2, 3))
        behind = torch.arange(largest.shape[1], device=largest.device) >= answer.ends[:, None]
        answer.record("tvhd", largest.masked_fill(behind, math.nan), "token")

    def observations(self, states: Mapping[int, State]) -> dict[str, Observation]:
        return {"vhd": per_layer(states, "ranks", ("row", "layer", "head")), **super().observations(states)}


def _far_above_mean(values: Tensor) -> Tensor:
    """More than one standard deviation above the mean over the heads of the layer."""
    return values > values.mean(dim=-1, keepdim=True) + values.std(dim=-1, keepdim=True)
