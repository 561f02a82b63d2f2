"""The files of a new method: method, card and test, and what makes a package of them."""

from __future__ import annotations

import re
from pathlib import Path

from hallu_models.new_method.hooks import Sketch

METHOD = '''"""{title}: {claim_start}

{place}
"""

from __future__ import annotations

{standard}

{torch}

from hallu_models.interventions import {uses}
{extra}

@dataclass(frozen=True)
class {title}(Intervention):
    """{claim}

    strength: how much; 0 is the plain model.
    """

    name: ClassVar[str] = "{name}"
{layers}
    strength: float = {default}
{body}'''

CARD = """\
title: {title}
{paper}fidelity: reconstructed
summary: {claim}
implementation: {module}:{title}

# What it is to be compared with beside the plain model, of the controls that `hallu methods` lists.
shams: [sham_yes, sham_brief]

# One step a line, and behind it where it comes from: [P] paper, [C] authors' code, [3] third party, [?] our own choice.
mechanism:
  - {claim} [?]
cost: not measured

# What the model has to have, of: attention, feed_forward, fixed_encoder,
# image_grid, norms_in_front, other_images.
uses: [{uses}]

# Settings at which it is the plain model, and at which it acts visibly on four layers; the test uses both.
identity: {{strength: 0.0}}
strong: {{strength: {default}}}

parameters:
  strength:
    default: {default}
    low: 0
    source: "[?]"
    text: How much; 0 is the plain model.
{layers}
version: 1
"""

CARD_LAYERS = """\
  layers:
    default: all
    source: "[?]"
    text: Layers in which it acts.
"""

PAPER = """\
# Without a paper, leave this out.
# paper: {title: ..., url: https://..., venue: ..., year: 2026}
"""

OWN_PAPER = """\
paper:
  title: The paper's title
  url: https://arxiv.org
  venue: where it was published
  year: 2026
"""

TEST = '''"""{title} keeps the contract of every method, on tiny models of all families."""

import pytest

import registry
from hallu_models.testing import assert_contract


@pytest.mark.parametrize("family", registry.families())
def test_the_contract(family):
    # reference=lambda method, row: row.forward(...) compares it with the paper's equations (hallu_models.testing.Row).
    print(assert_contract({subject}, families=[family]))


@pytest.mark.parametrize("strength", [-1.0, float("nan")])
def test_its_range(strength):
    with pytest.raises(ValueError, match="{name}: strength"):
        {title}(strength=strength)
'''

PROJECT = """\
[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[project]
name = "{distribution}"
version = "0.1"
requires-python = ">=3.10"
dependencies = ["lmms-eval-hallu>=0.1"]

[project.entry-points."hallu.interventions"]
{name} = "{package}.{name}:{title}"

[tool.setuptools]
packages = ["{package}"]

[tool.setuptools.package-data]
{package} = ["*.yaml"]
"""


def title(name: str) -> str:
    """The class's name."""
    return "".join(part.capitalize() for part in name.split("_"))


def package(name: str, sketch: Sketch) -> dict[Path, str]:
    """Files of a distribution of its own, by their places in its folder."""
    inside = f"hallu_{name}"
    module = f"{inside}.{name}"
    return {
        Path("pyproject.toml"): PROJECT.format(
            distribution=f"hallu-{name.replace('_', '-')}", name=name, package=inside, title=title(name)
        ),
        Path(inside, "__init__.py"): f'"""The method {name} for lmms-eval-hallu."""\n',
        Path(inside, f"{name}.py"): _method(name, sketch),
        Path(inside, f"{name}.yaml"): _card(name, sketch, module, PAPER),
        Path("tests", f"test_method_{name}.py"): _test(name, module),
    }


def here(name: str, sketch: Sketch) -> dict[Path, str]:
    """Files of a method of this repository, by their places in it; the card's place is given by its name alone."""
    module = f"hallu_models.interventions.{name}"
    return {
        Path("hallu_models", "interventions", f"{name}.py"): _method(name, sketch),
        Path(f"{name}.yaml"): _card(name, sketch, module, OWN_PAPER),
        Path("tests", f"test_method_{name}.py"): _test(name, module),
    }


def _method(name: str, sketch: Sketch) -> str:
    code = sketch.extra + sketch.body
    standard = [
        *(["from collections.abc import Mapping"] if "Mapping[" in code else []),
        "from dataclasses import dataclass",
        f"from typing import {'Any, ' if re.search(r': Any', code) else ''}ClassVar",
    ]
    torch = [*(["import torch"] if "torch." in code else []), "from torch import Tensor"]
    uses = sorted(
        {"Intervention", *filter(None, sketch.uses.split(", ")), *([] if sketch.layers else ["layers"])},
        key=lambda one: (one[0].islower(), one),
    )
    return METHOD.format(
        title=title(name),
        name=name,
        claim=sketch.claim,
        claim_start=sketch.claim[0].lower() + sketch.claim[1:],
        place="The paper's idea in two sentences, and where it is published.",
        standard="\n".join(standard),
        torch="\n".join(torch),
        uses=", ".join(uses),
        extra=f"\n{sketch.extra.strip()}\n" if sketch.extra else "",
        default=sketch.default,
        layers='\n    layers: layers.LayerSpec = ""' if sketch.layers is None else "",
        body=sketch.body,
    )


def _card(name: str, sketch: Sketch, module: str, paper: str) -> str:
    return CARD.format(
        title=title(name),
        paper=paper,
        claim=sketch.claim,
        module=module,
        uses=sketch.needs,
        default=sketch.default,
        layers="" if sketch.layers is None else CARD_LAYERS,
    )


def _test(name: str, module: str) -> str:
    found = TEST.format(title=title(name), name=name, subject=title(name))
    own = f"from {module} import {title(name)}\n"
    beside = "from hallu_models.testing import assert_contract\n"
    return found.replace(beside, own + beside if own < beside else beside + own)
