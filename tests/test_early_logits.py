"""Logits of early layers: several at once, with and without attention in the layers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from hallu_models import processing
from hallu_models.attaching import attach
from hallu_models.hosts import generate
from hallu_models.interventions import Intervention, LogitsStep
from hallu_models.testing.questions import conversations, host


@dataclass(frozen=True)
class Looking(Intervention):
    name: ClassVar[str] = "looking"
    layers: str = ""
    seen: list[Any] = field(default_factory=list, compare=False)

    def early_layers(self, depth: int) -> tuple[int, ...]:
        return (2, 0, depth - 1)

    def token_logits(self, logits: Tensor, at: LogitsStep) -> Tensor:
        self.seen.append((logits, at))
        for normed in (True, False):
            together = at.early(at.layers, normed=normed)
            alone = torch.stack([at.early(layer, normed) for layer in at.layers], dim=1)
            torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(at.early(at.layers)[:, -1], logits, atol=1e-4, rtol=1e-4)
        return logits


@pytest.mark.parametrize("family", ["llava", "gemma3", "auto", "qwen3_5", "lfm2_vl", "mllama"])
def test_layers_are_projected_together_and_the_last_ones_are_the_models(family):
    """Layers of convolution, linear or cross-attention among them; a soft cap and a scale behind the embeddings."""
    found, looking = host(family), Looking()
    inputs = processing.encode(found, conversations([0, 1]))
    with attach(found, looking, check=False), torch.no_grad():
        generate.scored(found.model, inputs, 3)
    assert len(looking.seen) == 3


def test_a_layer_that_was_not_asked_for_is_named():
    @dataclass(frozen=True)
    class Wrong(Looking):
        def token_logits(self, logits: Tensor, at: LogitsStep) -> Tensor:
            return at.early((0, 1))[:, 0]

    found = host("llava")
    inputs = processing.encode(found, conversations([0]))
    with (
        pytest.raises(ValueError, match=r"layer 1 is not looked into; early_layers\(\) names 0, 2, 3"),
        attach(found, Wrong(), check=False),
    ):
        found.model.generate(**inputs, max_new_tokens=1)
