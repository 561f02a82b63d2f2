"""EAH's variants: the paper's layer, and what the released code does whatever it is told."""

from __future__ import annotations

import pytest

from hallu_models import methods
from hallu_models.interventions import BadArgument
from hallu_models.interventions.eah import EAH


@pytest.mark.parametrize("family", ["llava", None])
@pytest.mark.parametrize(
    ("parameters", "layers", "beta"),
    [
        ({}, "1", 0.002),
        ({"variant": "official"}, "15", 0.0008),
        ({"variant": "official", "layers": "2-3"}, "2-3", 0.0008),
        ({"variant": "official", "beta": "auto"}, "15", "auto"),
        ({"variant": "official", "beta": 0.01}, "15", 0.01),
    ],
)
def test_official_takes_the_place_of_the_defaults_alone(family, parameters, layers, beta):
    (item,) = methods.build("eah", family, 32, parameters)
    assert (item.layers, item.beta) == (layers, beta)
    assert item.bind(family, 32) == item


def test_official_is_layer_15_of_any_depth():
    assert EAH(variant="official").bind("llava", 18).layers == "15"
    with pytest.raises(BadArgument, match=r"eah: layers=15: layer 15 does not exist, this model has layers 0-7"):
        EAH(variant="official").bind("llava", 8)
