"""VAF beyond the contract: what a factor does to a score below zero, and whose columns are scaled."""

from __future__ import annotations

import equations
import pytest
import torch
from layer_steps import at, layout, logits

from hallu_models.interventions import HIDDEN
from hallu_models.interventions.vaf import VAF
from hallu_models.testing import assert_contract


@pytest.mark.parametrize(("mode", "expected"), [("raw", [2.0, -4.0, 6.0, -1.0]), ("abs", [2.0, 0.0, 6.0, -1.0])])
def test_a_negative_score_on_the_image_falls_unless_sizes_are_added(mode, expected):
    scores = torch.tensor([[[[4.0, -2.0, 3.0, -1.0]]]])
    edited = VAF(layers="0", enhance=2.0, suppress=0.5, mode=mode).text_scores(scores, at(layout("tiit")))
    assert edited[0, 0, 0].tolist() == expected


@pytest.mark.parametrize(("mode", "expected"), [("raw", -1.0), ("abs", -3.0)])
def test_a_negative_score_in_front_of_the_image_rises_unless_sizes_are_added(mode, expected):
    scores = torch.tensor([[[[-2.0, 1.0, 1.0]]]])
    edited = VAF(layers="0", enhance=1.0, suppress=0.5, mode=mode).text_scores(scores, at(layout("tit")))
    assert edited[0, 0, 0].tolist() == [expected, 1.0, 1.0]


def test_where_the_image_stands_is_the_row_s_own():
    """Neither 35 columns of system prompt nor 576 of image, and another row's padding moves nothing."""
    found = layout("..tit", "ttiit")
    edited = VAF(layers="0", enhance=2.0, suppress=0.5).text_scores(torch.ones(2, 1, 1, 5), at(found))
    assert edited[:, 0, 0].tolist() == [[1.0, 1.0, 0.5, 2.0, 1.0], [0.5, 0.5, 2.0, 2.0, 1.0]]


@pytest.mark.parametrize("mode", ["raw", "abs"])
def test_a_column_that_is_hidden_stays_hidden(mode):
    scores = torch.tensor([[[[HIDDEN, HIDDEN, 1.0]]]])
    edited = VAF(layers="0", enhance=3.0, suppress=0.0, mode=mode).text_scores(scores, at(layout("tit")))
    assert edited[0, 0, 0].tolist() == [HIDDEN, HIDDEN, 1.0]


def test_the_contract_of_the_other_mode():
    strong = {"layers": "1-3", "enhance": 3.0, "suppress": 0.3, "mode": "abs"}
    assert_contract("vaf", families=["qwen2_5_vl"], parameters=strong, reference=equations.REFERENCES["vaf"])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(dtype):
    assert logits(dtype, "vaf", layers="1-4", enhance=3.0, suppress=0.3).isfinite().all()
