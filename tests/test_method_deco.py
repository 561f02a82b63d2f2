"""DeCo: what the contract does not see."""

from __future__ import annotations

import torch

from hallu_models.interventions import LogitsStep, Recorder, State
from hallu_models.interventions.deco import DeCo

NONE = -torch.inf


def step(early, layers):
    kept = {}
    record = Recorder(lambda name, value, *axes: kept.update({name: value.tolist()}))
    return LogitsStep(0, None, State("deco", len(early)), record, lambda chosen: early, layers), kept


def test_the_released_layers_of_32_are_19_to_27():
    """range(20, 29) counts the embeddings as 0."""
    assert DeCo().bind("llava", 32).early_layers(32) == tuple(range(19, 28))


def test_rows_choose_their_own_layer_among_candidates_that_just_reach_the_mass():
    final = torch.tensor([[0.60, 0.25, 0.10, 0.05], [0.95, 0.03, 0.01, 0.01]]).log()
    # Tokens that are none of their row's candidates do not count, whatever a layer thinks of them.
    layers = [[[0.2, 0.3, 0.4, 0.1], [0.9, 0.05, 0.03, 0.02]], [[0.1, 0.7, 0.1, 0.1], [0.2, 0.79, 0.005, 0.005]]]
    early = torch.tensor(layers).log().transpose(0, 1)
    at, kept = step(early, (7, 8))
    found = DeCo(alpha=2.0, mass=0.8).token_logits(final, at)
    expected = torch.stack([final[0] + 2 * 0.7 * early[0, 1], final[1] + 2 * 0.9 * early[1, 0]])
    expected[0, 2:], expected[1, 1:] = NONE, NONE
    torch.testing.assert_close(found, expected)
    assert kept["layer"] == [8, 7]
    assert kept["candidates"] == [2, 1]


def test_at_most_so_many_candidates():
    final = torch.zeros(1, 64)
    at, _ = step(torch.zeros(1, 1, 64), (1,))
    assert int(DeCo().token_logits(final, at).isfinite().sum()) == 20


def test_the_plain_model_cuts_no_token_and_looks_into_no_layer():
    assert DeCo(alpha=0.0, layers="1-2").early_layers(4) == ()
    assert DeCo(layers="").early_layers(4) == ()
