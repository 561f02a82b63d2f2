"""A decoding policy that takes other rows, and goes back: what methods keep comes along."""

from __future__ import annotations

from typing import ClassVar

import pytest
import torch
from conftest import MIXED, prompts, tiny_llava
from test_edit_points import HAS_IMAGE, STEPS, TOKENS, Contrast, Counting, Echo, Slow, Toy, answered, apart, tiny
from torch import Tensor

from hallu_models import loading
from hallu_models.interventions import LogitsStep, Prompt
from hallu_models.session import Session
from hallu_models.session.finite import NotFinite

ORDERS = {"copies": [0, 0, 1, 1, 2, 2, 3, 3], "fewer": [3, 1], "another order": [2, 3, 0, 1]}


class Again(Toy):
    """Reads the same tokens from the prompts on, once as they are and once in each order of the rows."""

    name: ClassVar[str] = "again"

    def decode(self, run) -> Tensor:
        first, length = run.next(processed=False), run.ids.shape[1]
        start, seen = run.save(), {}
        for name, order in {"as they are": [0, 1, 2, 3], **ORDERS}.items():
            index = torch.tensor(order)
            run.restore(start)
            run.reorder(index)
            steps = [first[index]]
            for step in range(STEPS - 1):
                steps.append(run.next(TOKENS[run.prompts, step], processed=False))
            seen[name] = torch.stack(steps)
            assert run.prompts.tolist() == order
            assert run.ids[:, length:].tolist() == TOKENS[index, : STEPS - 1].tolist()
        run.record("rows", torch.tensor([[row] for row in range(4)]), "one")
        object.__setattr__(self, "given", seen)
        return torch.cat([run.ids[[2, 3, 0, 1]], TOKENS[:, STEPS - 1 :]], dim=1)


@pytest.mark.parametrize("branch", ["paired", "sequential"])
@pytest.mark.parametrize(
    "toy", [Slow(), Echo(), Counting(), Contrast()], ids=["layer", "generation", "negative rows", "contrast"]
)
def test_other_rows_and_ways_back_take_along_what_methods_keep(toy, branch):
    model, batch, policy = tiny("grouped"), prompts(MIXED, HAS_IMAGE), Again()
    expected = answered(model, (toy,), batch, TOKENS, branch=branch)
    session = Session(loading.inspect(model), (policy, toy), branch=branch, observe=True)
    with torch.no_grad(), session.attached():
        tokens = model.generate(**batch, max_new_tokens=STEPS)
    assert tokens[:, batch["input_ids"].shape[1] :].tolist() == TOKENS.tolist()
    for name, order in {"as they are": [0, 1, 2, 3], **ORDERS}.items():
        assert apart(policy.given[name], expected[:, order]) < 1e-5, name
    assert session.observations["again.rows"].values.tolist() == [[0], [1], [2], [3]]


def test_a_static_cache_has_no_way_back():
    model, batch = tiny_llava(2), prompts(MIXED)
    with (
        torch.no_grad(),
        Session(loading.inspect(model), (Again(),)).attached(),
        pytest.raises(ValueError, match="nothing can go back in it: use the default cache"),
    ):
        model.generate(**batch, max_new_tokens=STEPS, cache_implementation="static")


class Broken(Toy):
    """No numbers for the second token of the second prompt, wherever its row is."""

    name: ClassVar[str] = "broken"

    def read(self, prompt: Prompt) -> None:
        prompt.generation["number"] = torch.arange(prompt.layout.rows)

    def token_logits(self, logits: Tensor, at: LogitsStep) -> Tensor:
        wrong = (at.generation["number"] == 1) & (at.step == 1)
        return logits.masked_fill(wrong[:, None], torch.nan)


def test_logits_that_are_no_numbers_are_those_of_a_prompt():
    model, batch = tiny("grouped"), prompts(MIXED)
    session = Session(loading.inspect(model), (Again(), Broken()))
    with torch.no_grad(), session.attached(), pytest.raises(NotFinite, match="logits of token 2 in row 2 are NaN"):
        model.generate(**batch, max_new_tokens=STEPS)


def test_a_streamer_is_given_the_answer_when_it_is_known():
    class Kept:
        given: ClassVar[list] = []

        def put(self, tokens):
            self.given.append(tokens.tolist())

        def end(self):
            self.given.append("end")

    model, batch = tiny("grouped"), prompts(MIXED[:1])
    with torch.no_grad(), Session(loading.inspect(model), (Single(),)).attached():
        model.generate(**batch, max_new_tokens=3, streamer=Kept())
    assert Kept.given[1:] == [[7, 8, 9], "end"]


class Single(Toy):
    def decode(self, run) -> Tensor:
        run.next()
        return torch.cat([run.ids, torch.tensor([[7, 8, 9]])], dim=1)
