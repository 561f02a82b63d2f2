"""A method's card: what it claims, how it works, what it costs, and where each statement comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from registry.parameter import Parameter

Fidelity = Literal["paper", "reconstructed", "port", "third-party"]
NEEDS = ("attention", "other image", "image grid")
"""Attention of the layers, to edit or look into; another image for each; image tokens in a grid over one picture."""
FIDELITIES: tuple[str, ...] = get_args(Fidelity)


@dataclass(frozen=True)
class Paper:
    """The publication. ``url`` is the page to link, ``code`` the authors' repository where there is one."""

    title: str
    url: str
    venue: str
    year: int
    arxiv: str | None = None
    code: str | None = None


@dataclass(frozen=True)
class Published:
    """Numbers from one table of one publication.

    ``baseline`` holds the plain model's numbers from the same table: those of different publications come
    from different harnesses and cannot be compared. Scores are percentages.
    """

    source: str
    model: str
    setting: str
    numbers: Mapping[str, float]
    baseline: Mapping[str, float]


@dataclass(frozen=True)
class Card:
    """Everything the package says about one method.

    ``fidelity`` is ``paper`` (every step is published), ``reconstructed`` (parts are our own choice and are
    parameters), ``port`` (known through another project's implementation) or ``third-party`` (from another
    distribution, nothing known about it). ``mechanism`` holds the steps, each with its provenance.
    ``identity`` is a setting at which the method is the plain model, ``strong`` one at which it acts visibly on a model
    of four layers and a handful of image tokens, for tests. ``needs`` tells what a model has to have, of ``NEEDS``; a
    family may limit or lack it. ``presets`` holds, per model family, the values that differ from the parameters'
    defaults or are published for it.
    """

    name: str
    title: str
    paper: Paper | None
    fidelity: Fidelity
    summary: str
    mechanism: tuple[str, ...]
    cost: str
    implementation: str
    identity: Mapping[str, object]
    parameters: tuple[Parameter, ...]
    presets: Mapping[str, Mapping[str, object]]
    deviations: tuple[str, ...]
    notes: tuple[str, ...]
    published: tuple[Published, ...]
    version: int
    strong: Mapping[str, object] = field(default_factory=dict)
    needs: tuple[str, ...] = ()

    def parameter(self, name: str) -> Parameter | None:
        """The parameter of this name, None where there is none."""
        return next((parameter for parameter in self.parameters if parameter.name == name), None)

    def settings(self, family: str | None = None) -> dict[str, object]:
        """Value of every parameter for a model family: the defaults, overlaid with the family's preset.

        A family without a preset, and None, get the defaults.
        """
        defaults = {parameter.name: parameter.default for parameter in self.parameters}
        return {**defaults, **self.presets.get(family or "", {})}


def third_party(name: str, implementation: str, distribution: str) -> Card:
    """The card of a method that another distribution brings; nothing of it is imported."""
    return Card(
        name=name,
        title=name,
        paper=None,
        fidelity="third-party",
        summary=f"from the distribution {distribution}",
        mechanism=(),
        cost="not stated",
        implementation=implementation,
        identity={},
        parameters=(),
        presets={},
        deviations=(),
        notes=(f"This method is installed by {distribution} and is not described here.",),
        published=(),
        version=1,
    )
