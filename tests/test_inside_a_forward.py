"""What a method is given inside of a forward: logits of a layer that has just run, and what a part was given."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import pytest
import torch
from conftest import MIXED, prompts, tiny_llava
from torch import Tensor

import registry
from hallu_models import processing, self_check
from hallu_models.attaching import attach
from hallu_models.hosts import generate
from hallu_models.interventions import Intervention, LayerStep, Layout, LogitsStep, Negative, Prompt
from hallu_models.loading import inspect
from hallu_models.self_check.proof import INSIDE
from hallu_models.testing.questions import conversations, host

FAMILIES = [name for name, row in registry.families().items() if row.uses.get("attention") is None]


@dataclass(frozen=True)
class Inside(Intervention):
    name: ClassVar[str] = "inside"
    layers: str = "1+2"
    seen: dict[Any, Any] = field(default_factory=dict, compare=False)

    def early_layers(self, depth: int) -> tuple[int, ...]:
        return (1,)

    def layer_output(self, hidden: Tensor, at: LayerStep) -> Tensor:
        assert (at.project is None) == (at.layer == 2)
        if at.project is not None:
            self.seen[at.step] = at.project(at.layout.last_row(hidden))
        return hidden

    def token_logits(self, logits: Tensor, at: LogitsStep) -> Tensor:
        torch.testing.assert_close(self.seen[at.step], at.early(1), atol=1e-4, rtol=1e-4)
        return logits


@pytest.mark.parametrize("family", FAMILIES)
def test_logits_are_known_in_the_first_prefill_already(family):
    """With soft caps and scales behind the output embeddings; and the model answers as before."""
    found, inside = host(family), Inside()
    inputs = processing.encode(found, conversations([0, 1]))
    with torch.no_grad():
        tokens, plain = generate.scored(found.model, inputs, 3)
        with attach(found, inside, check=False):
            for _ in range(2):
                again, logits = generate.scored(found.model, inputs, 3)
                assert torch.equal(again, tokens)
                torch.testing.assert_close(logits, plain, atol=1e-5, rtol=1e-5)
    assert sorted(inside.seen) == [0, 1, 2]


@pytest.mark.parametrize("family", ["llava", "auto"])
def test_the_self_check_proves_it(family):
    assert INSIDE in self_check.engines_of((Inside(),), 4)
    assert self_check.check(host(family), (INSIDE,)).largest < 1e-5


@dataclass(frozen=True)
class Given(Intervention):
    """Keeps what the parts of layer 2 were given."""

    name: ClassVar[str] = "given"
    layers: str = "2"
    seen: dict[Any, Any] = field(default_factory=dict, compare=False)

    def attention_output(self, hidden: Tensor, at: LayerStep) -> Tensor:
        self.seen[self.name, "attention", at.step] = at.block_input
        return hidden

    def feed_forward_output(self, hidden: Tensor, at: LayerStep) -> Tensor:
        self.seen[self.name, "feed-forward", at.step] = at.block_input
        return hidden

    def layer_output(self, hidden: Tensor, at: LayerStep) -> Tensor:
        self.seen[self.name, "layer", at.step] = at.block_input
        return hidden


@dataclass(frozen=True)
class Contrasted(Given):
    """With negative rows that are of the image's other half, so to speak: the same prompt, moved."""

    def contrasts(self) -> bool:
        return True

    def negative(self, prompt: Prompt) -> Negative:
        return Negative(prompt.run.prompt, prompt.layout.has_image)

    def negative_methods(self, depth: int) -> tuple[Intervention, ...]:
        return (NegativeGiven(seen=self.seen),)


class NegativeGiven(Given):
    name: ClassVar[str] = "negative"


@pytest.mark.parametrize("branch", ["paired", "sequential"])
def test_a_part_s_input_is_that_of_its_own_rows(branch):
    model, batch, method = tiny_llava(2), prompts(MIXED), Contrasted()
    found, layer, kept = inspect(model), model.get_decoder().layers[2], {}
    parts = {"attention": layer.self_attn, "feed-forward": layer.mlp, "layer": layer}
    for name, part in parts.items():
        part.register_forward_pre_hook(
            lambda _, args, kwargs, name=name: kept.setdefault(name, []).append((*args, *kwargs.values())[0]),
            with_kwargs=True,
        )
    with torch.no_grad(), attach(found, method, branch=branch, check=False):
        model.generate(**batch, max_new_tokens=2)
    assert len(method.seen) == 12
    for name in parts:
        for step in (0, 1):
            first = torch.cat([method.seen[one, name, step] for one in ("given", "negative")])
            forwards = kept[name][step : step + 1] if branch == "paired" else kept[name][2 * step : 2 * step + 2]
            whole = torch.cat(forwards if branch == "paired" else forwards[::-1])
            assert torch.equal(first, whole), (name, step)


def test_where_nothing_was_given_it_is_said():
    step = LayerStep(3, 0, None, None, None, None, {})
    with pytest.raises(
        ValueError, match="layer 3: only hooks that edit what a part of a layer gives have a block_input"
    ):
        _ = step.block_input


@dataclass(frozen=True)
class Looking(Intervention):
    """Looks at the last row's attention and at what its heads would give, and edits nothing."""

    name: ClassVar[str] = "looking"
    layers: str = "2"
    seen: list[Tensor] = field(default_factory=list, compare=False)

    def row_attention(self, attention: Tensor, at: LayerStep) -> Tensor:
        assert at.attended is not None
        self.seen.append(at.attended(attention))
        return attention


class Comparing(Looking):
    def head_outputs(self, outputs: Tensor, at: LayerStep) -> Tensor:
        torch.testing.assert_close(self.seen[-1], at.layout.last_row(outputs), atol=1e-5, rtol=1e-5)
        return outputs


@pytest.mark.parametrize("kv_heads", [4, 2])
def test_a_row_that_is_handed_back_is_the_backends_own(kv_heads):
    """To the last bit, in half precision too."""
    model, batch = tiny_llava(kv_heads), prompts(MIXED)
    for dtype, looking in ((torch.float32, Comparing()), (torch.float16, Looking())):
        model, batch["pixel_values"] = model.to(dtype), batch["pixel_values"].to(dtype)
        with torch.no_grad():
            _, plain = generate.scored(model, batch, 4)
            with attach(model, looking, check=False):
                assert torch.equal(generate.scored(model, batch, 4)[1], plain)
        assert len(looking.seen) == 4


def test_the_first_column_is_no_padding_and_text_is_neither_image_nor_padding():
    ids = torch.tensor([[0, 0, 7, 3, 3, 8], [7, 3, 8, 3, 8, 9], [0, 7, 8, 9, 9, 9]])
    layout = Layout.from_ids(ids, (ids != 0).long(), {3})
    columns = layout.columns(7)
    assert columns.first.int().tolist() == [[0, 0, 1, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0, 0], [0, 1, 0, 0, 0, 0, 0]]
    assert columns.text.int().tolist() == [[0, 0, 1, 0, 0, 1, 1], [1, 0, 1, 0, 1, 1, 1], [0] * 7]
