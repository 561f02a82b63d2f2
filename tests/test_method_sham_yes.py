"""sham_yes beyond the contract: which tokens, at which token, and the released rule."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from conftest import MIXED, prompts

import hallu_models
from hallu_models.demo.held_out import held_out
from hallu_models.hosts import processors
from hallu_models.interventions.sham_yes import ShamYes

YES, CAPITAL, NO, OTHER = 0, 1, 2, 3


class Spelled:
    """A vocabulary of four tokens."""

    def spellings(self, word: str) -> torch.Tensor:
        return torch.tensor({"yes": [YES, CAPITAL], "no": [NO]}[word])


def edited(chances: list[float], step: int = 0, **parameters: Any) -> torch.Tensor:
    """Probabilities after the edit of those before."""
    at = type("At", (), {"record": False, "step": step, "vocabulary": Spelled()})
    return ShamYes(**parameters).token_logits(torch.tensor([chances]).log(), at).softmax(dim=-1)[0]


def margin(chances: torch.Tensor) -> float:
    return float((chances[YES] + chances[CAPITAL]).log() - chances[NO].log())


def test_the_margin_of_all_spellings_moves_by_the_shift_where_an_answer_begins():
    before = torch.tensor([0.1, 0.2, 0.4, 0.3])
    after = edited(before.tolist(), shift=1.5)
    assert margin(after) == pytest.approx(margin(before) + 1.5, abs=1e-5)
    assert float(after[OTHER] / after[NO]) == pytest.approx(0.75)
    assert edited(before.tolist(), step=1, shift=1.5).tolist() == pytest.approx(before.tolist())
    assert margin(edited(before.tolist(), shift=-1.0)) == pytest.approx(margin(before) - 1, abs=1e-5)


@pytest.mark.parametrize("step", [0, 3])
@pytest.mark.parametrize(
    ("chances", "says_yes"),
    [
        ([0.10, 0.20, 0.40, 0.30], True),
        ([0.10, 0.15, 0.74, 0.01], True),  # 0.49 apart
        ([0.10, 0.14, 0.75, 0.01], False),  # 0.51 apart
        ([0.05, 0.05, 0.11, 0.79], True),  # 0.21 together
        ([0.05, 0.05, 0.09, 0.81], False),  # 0.19 together
        ([0.10, 0.80, 0.05, 0.05], False),  # says yes anyway, as the plain model does
    ],
)
def test_the_released_rule(chances, says_yes, step):
    """Where yes and no are likely and close, the likelier spelling of yes alone is possible; else nothing changes."""
    after = edited(chances, step, variant="official").tolist()
    favourite = CAPITAL if chances[CAPITAL] > chances[YES] else YES
    expected = [float(token == favourite) for token in range(4)] if says_yes else chances
    assert after == pytest.approx(expected, abs=1e-6)


def test_spellings_are_whole_tokens_in_any_case_behind_a_blank_or_not():
    words = {"▁Yes": " Yes", "yes": "yes", "YES": "YES", "▁yesterday": " yesterday", "eyes": "eyes", "Ċyes": "\nyes"}

    class Tokenizer:
        def get_vocab(self) -> dict[str, int]:
            return {token: number for number, token in enumerate(words)}

        def decode(self, ids: list[int]) -> str:
            return list(words.values())[ids[0]]

    found = processors.tokens_of(SimpleNamespace(tokenizer=Tokenizer()), "yes")
    assert list(found) == [0, 1, 2, 5]


def test_a_large_shift_answers_yes_and_a_small_one_no():
    host, pictures = hallu_models.load("demo", device="cpu"), [scene.image() for scene in held_out(number=8)]
    asked = [hallu_models.conversation(picture, "Is there a dog in the image?") for picture in pictures]

    def said(shift: float) -> set[str]:
        return {one.text.lower() for one in host.generate(asked, "sham_yes", shift=shift, max_new_tokens=4)}

    assert said(50.0) == {"yes"}
    assert said(-50.0) == {"no"}
    assert said(0.0) == {one.text.lower() for one in host.generate(asked, max_new_tokens=4)}
    (one, *_) = host.generate(asked, "sham_yes", max_new_tokens=1)
    assert math.isfinite(one.observations["margin"].values[0, 0])


def test_without_a_tokenizer_it_says_what_to_give(plain_heads):
    with (
        torch.no_grad(),
        hallu_models.attach(plain_heads, "sham_yes", check=False),
        pytest.raises(ValueError, match="'yes' is known by the tokenizer alone: give attach\\(\\) the processor"),
    ):
        plain_heads.generate(**prompts(MIXED), max_new_tokens=2)


@pytest.mark.parametrize("parameters", [{"shift": math.inf}, {"shift": math.nan}, {"variant": "paper"}])
def test_bad_parameters_are_named(parameters):
    (name,) = parameters
    with pytest.raises(ValueError, match=f"^sham_yes: {name}="):
        ShamYes(**parameters)
