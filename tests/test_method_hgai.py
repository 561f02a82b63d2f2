"""HGAI beyond the contract: whose mean it is, and what may not be raised."""

from __future__ import annotations

import pytest
import torch
from layer_steps import at, layout, logits

from hallu_models.interventions import HIDDEN
from hallu_models.interventions.hgai import HGAI


def test_every_head_gets_the_mean_absolute_score_of_the_heads_on_that_column():
    scores = torch.tensor([[[5.0, -1.0, 2.0, 1.0], [7.0, 3.0, -4.0, 1.0]]])
    edited = HGAI(layers="0", alpha=0.5).row_scores(scores, at(layout("tiit")))
    assert edited.tolist() == [[[5.0, 0.0, 3.5, 1.0], [7.0, 4.0, -2.5, 1.0]]]


@pytest.mark.parametrize("alpha", [0.5, 1.0, 3.0])
def test_a_column_that_is_hidden_stays_hidden_and_counts_in_no_mean(alpha):
    """Half of the heads may have a window: the others' mean is their own."""
    scores = torch.tensor([[[1.0, HIDDEN, 2.0], [1.0, -6.0, 2.0]]])
    edited = HGAI(layers="0", alpha=alpha).row_scores(scores, at(layout("iit")))
    assert edited[0, 0].tolist() == [1 + alpha, HIDDEN, 2.0]
    assert edited[0, 1].tolist() == [1 + alpha, -6 + 6 * alpha, 2.0]


def test_layers_are_those_of_the_released_run():
    """Its script adds 1 to the end of a half-open range."""
    assert HGAI().bind("llava", 32).layers == "5-18"
    assert HGAI().bind(None, 64).layers == "10-36"


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(dtype):
    assert logits(dtype, "hgai", layers="1-4", alpha=3.0).isfinite().all()
