"""A method whose hooks act in layers of their own: it looks here and edits there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from conftest import MIXED, prompts
from torch import Tensor

from hallu_models import loading
from hallu_models.interventions import Intervention, LayerStep
from hallu_models.session import Session

CALLS: list[tuple[str, int]] = []


@dataclass(frozen=True)
class Apart(Intervention):
    name: ClassVar[str] = "apart"
    layers: str = "1-3"

    def hook_layers(self, hook: str, depth: int) -> tuple[int, ...]:
        return {"layer_output": (1,), "row_attention": (2,)}.get(hook, self.layer_list(depth))

    def values(self, values: Tensor, at: LayerStep) -> Tensor:
        CALLS.append(("values", at.layer))
        return values

    def row_attention(self, attention: Tensor, at: LayerStep) -> Tensor:
        CALLS.append(("row_attention", at.layer))
        return attention * at.generation["gain"][:, None, None]

    def layer_output(self, hidden: Tensor, at: LayerStep) -> Tensor:
        CALLS.append(("layer_output", at.layer))
        at.generation["gain"] = hidden.new_full((len(hidden),), 0.0)
        return hidden


def test_each_hook_acts_in_its_own_layers(model):
    batch = prompts(MIXED)
    host = loading.inspect(model)
    CALLS.clear()
    with torch.no_grad():
        plain = model(**batch).logits
        with Session(host, (Apart(),)).attached() as session:
            assert session.plan.attended == (1, 2, 3)
            assert not torch.allclose(model(**batch).logits[:, -1], plain[:, -1])
    expected = [("values", 1), ("layer_output", 1), ("values", 2), ("row_attention", 2), ("values", 3)]
    assert expected == CALLS, "what an earlier layer hands on, the next one's attention finds"
