"""Passes over the prompt that end with hidden states, by layer, with the image and without it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import pytest
import torch

from hallu_models import processing
from hallu_models.attaching import attach
from hallu_models.hosts import generate
from hallu_models.interventions import Intervention, Prompt
from hallu_models.testing import Row, dense_row
from hallu_models.testing.questions import conversations, host

LAYERS = (0, 2)
NUMBERS = [0, 1, 3]


@dataclass(frozen=True)
class Reading(Intervention):
    name: ClassVar[str] = "reading"
    layers: str = "0+2"
    seen: dict[bool, Any] = field(default_factory=dict, compare=False)

    def read(self, prompt: Prompt) -> None:
        for image in (True, False):
            self.seen[image] = prompt.run.hidden_states(prompt.layers, image=image)


@pytest.mark.parametrize("family", ["llava", "qwen3_vl", "gemma3", "instructblip"])
def test_they_are_the_dense_references_in_a_padded_batch(family):
    """With visual features in early layers, windows, and an image that is queries."""
    found, reading = host(family), Reading()
    inputs = processing.encode(found, conversations(NUMBERS))
    with attach(found, reading, check=False), torch.no_grad():
        tokens, logits = generate.scored(found.model, inputs, 2)
        plain = dict(reading.seen)
    for place, number in enumerate(NUMBERS):
        row = Row(found, processing.encode(found, conversations([number])), tokens[place].tolist(), number)
        sees, blind = row.handed_on(), []
        dense_row.forward(found, row.without_image(), hidden={"layer_output": lambda _, s, b=blind: b.append(s) or s})
        for layer in LAYERS:
            torch.testing.assert_close(plain[True][layer][place], sees[layer][row.prompt - 1], atol=1e-4, rtol=1e-4)
            torch.testing.assert_close(plain[False][layer][place], blind[layer][-1], atol=1e-4, rtol=1e-4)
    # Nothing of a pass is left in the answer.
    torch.testing.assert_close(logits, generate.scored(found.model, inputs, 2)[1], atol=1e-5, rtol=1e-5)
