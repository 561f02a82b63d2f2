"""CICD's two divergences, and what becomes of them in SEVI."""

from __future__ import annotations

import math

import pytest
import torch

from hallu_models.interventions import LogitsStep, Recorder, State, jensen_shannon, reversed_divergence
from hallu_models.interventions.cicd import CICD
from hallu_models.interventions.sevi import SEVI

FIRST, SECOND = [0.7, 0.2, 0.1], [0.1, 0.3, 0.6]


def logits(shares):
    return torch.tensor([shares]).log() + 3.0


def written_out(toward):
    """Mean of both sums; toward: of the middle from each, or of each from the middle."""
    parts = []
    for shares in (FIRST, SECOND):
        for share, one, other in zip(shares, FIRST, SECOND):
            middle = (one + other) / 2
            parts.append(middle * math.log(middle / share) if toward else share * math.log(share / middle))
    return sum(parts) / 2


def test_the_official_divergence_is_the_other_way_round():
    paper, official = jensen_shannon(logits(FIRST), logits(SECOND)), reversed_divergence(logits(FIRST), logits(SECOND))
    assert float(paper) == pytest.approx(written_out(False), abs=1e-6)
    assert float(official) == pytest.approx(written_out(True), abs=1e-6)
    assert official > paper


def test_predictions_as_far_apart_as_can_be():
    """ln 2 at most, against what is cut at 1: the strength is 1.16 at least, against 1."""
    far = torch.tensor([[80.0, -80.0, 0.0]])
    assert float(jensen_shannon(far, -far)) == pytest.approx(math.log(2), abs=1e-5)
    assert float(reversed_divergence(far, -far)) > 1
    assert strength("paper", far, -far) == pytest.approx(1 - math.log10(math.log(2)), abs=1e-5)
    assert strength("official", far, -far) == 1.0


def test_predictions_that_agree_are_not_contrasted():
    one = logits(FIRST)
    assert strength("paper", one, one + 2.0) == strength("official", one, one + 2.0) == 0.0


def strength(variant, first, second):
    kept = {}
    at = LogitsStep(0, None, State("cicd", 1), Recorder(lambda name, value, *_: kept.update({name: value})), None)
    CICD(variant=variant).contrast(first, second, at)
    return float(kept["alpha"])


@pytest.mark.parametrize("method", [CICD, SEVI])
def test_the_variant_is_that_of_the_contrast(method):
    at = LogitsStep(0, None, State("cicd", 1), Recorder(), None)
    first, second = logits(FIRST), logits(SECOND)
    for variant, divergence in (("paper", written_out(False)), ("official", written_out(True))):
        alpha = 1 - math.log10(divergence)
        found = method(variant=variant).contrast(first, second, at)
        torch.testing.assert_close(found, (1 + alpha) * first - alpha * second)
    with pytest.raises(ValueError, match="variant=both"):
        method(variant="both")
