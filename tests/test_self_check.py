"""The self-check passes on every family, is made once, and says so."""

from __future__ import annotations

import pytest
from test_families import ATTENTIVE, host

import registry
from hallu_models import self_check

SETS = {
    "vhr": (("head outputs", "passes"), None),
    "eah": (("maps",), None),
    "dleaf": (("last row",), None),
    "cicd": (("negative branch",), "paired"),
    "iava": (("passes", "negative branch"), "sequential"),
    "sevi": (("last row", "passes", "negative branch"), "paired"),
    "everything": (tuple(self_check.ENGINES), "paired"),
}
"""The engines of some methods, and how their negative branch runs."""

CELLS = [
    (family, name)
    for family in registry.families()
    if family != "florence2"
    for name in SETS
    if family in ATTENTIVE or name == "cicd"
]


@pytest.mark.parametrize(("family", "name"), CELLS, ids=["-".join(cell) for cell in CELLS])
def test_it_passes_on_every_family(family, name):
    found = host(family)
    assert self_check.check(found, *SETS[name]).largest < 1e-5
