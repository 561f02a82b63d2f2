"""DoLa: what the contract does not see."""

from __future__ import annotations

import pytest
import torch
from references import dola as equations

from hallu_models.interventions import EMBEDDINGS, LogitsStep, Recorder, State
from hallu_models.interventions.dola import DoLa
from hallu_models.testing import assert_contract


@pytest.mark.parametrize(
    ("depth", "upper", "lower"),
    [
        (32, range(16, 32, 2), range(0, 16, 2)),
        (40, range(20, 40, 2), range(0, 20, 2)),
        (60, range(40, 60, 2), range(0, 20, 2)),
        (80, range(60, 80, 2), range(0, 20, 2)),
    ],
)
def test_the_released_lists_count_the_embeddings_as_0(depth, upper, lower):
    for half, counted in (("upper", upper), ("lower", lower)):
        found = DoLa(half=half).bind("llava", depth).early_layers(depth)
        assert found == tuple(number - 1 for number in counted)
    assert found[0] == EMBEDDINGS


@pytest.mark.parametrize("family", ["llava", "gemma3", "auto"])
def test_the_lower_half_with_the_embeddings_is_the_reference(family):
    """What the first layer reads is scaled in Gemma, and logits are in Cohere."""
    report = assert_contract(
        "dola",
        families=[family],
        parameters={"half": "lower", "layers": "0+2", "variant": "official"},
        identity={"half": "upper", "layers": ""},
        reference=equations.reference,
    )
    assert "reference" in report.checks[family]


def test_each_row_has_its_own_layer_and_the_released_divergence_chooses_others():
    generator = torch.Generator().manual_seed(0)
    final, early = (3 * torch.randn(*shape, generator=generator) for shape in ((8, 6), (8, 5, 6)))
    chosen = {}
    for variant in ("paper", "official"):
        method, kept = DoLa(variant=variant), chosen.setdefault(variant, {})
        record = Recorder(lambda name, value, *axes, kept=kept: kept.update({name: value.tolist()}))
        at = LogitsStep(0, None, State("dola", 8), record, lambda layers, normed: early, (3, 5, 7, 9, 11))
        found = method.token_logits(final, at)
        for row in range(8):
            torch.testing.assert_close(found[row], equations.contrasted(method, final[row], list(early[row])))
    assert len(set(chosen["paper"]["layer"])) > 1
    assert chosen["paper"]["layer"] != chosen["official"]["layer"]
