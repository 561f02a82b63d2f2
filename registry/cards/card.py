"""A method's card: what it claims, how it works, what it costs, and where each statement comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from registry.cards.parameter import Parameter

Fidelity = Literal["paper", "reconstructed", "port", "ours", "third-party"]
FIDELITIES: tuple[str, ...] = get_args(Fidelity)

USES: Mapping[str, str] = {
    "attention": "heads that attend to the image, which it reads or edits",
    "feed_forward": "layers whose feed-forward block is one part, which it edits",
    "fixed_encoder": "an image encoder in which every picture has as many positions",
    "image_grid": "image tokens that are a square grid over one picture",
    "norms_in_front": "layers with a norm in front of attention and one in front of the feed-forward block alone",
    "other_images": "another image in the place of the prompt's",
}
"""What a method can use of a model that not every model has."""


@dataclass(frozen=True)
class Paper:
    """The publication. ``url`` is the page to link, ``code`` the authors' repository where there is one."""

    title: str
    url: str
    venue: str
    year: int
    arxiv: str | None = None
    code: str | None = None


BENCHMARKS = ("chair", "pope", "mme", "amber_generative")
"""What published numbers are of; each is a task or a group of the same name behind ``hallu_``."""

STRATEGIES = ("random", "popular", "adversarial", "mean")
"""POPE's, and the mean over the three."""

DECODINGS = ("greedy", "beams", "sampling", "nucleus")
"""Greedy, beam search, sampling from the whole distribution, and from its nucleus."""


@dataclass(frozen=True)
class Protocol:
    """How published numbers were made, as far as the publication states it: what it does not state is ``None``.

    ``questions`` are those of POPE (``coco``, ``aokvqa``, ``gqa``), ``strategy`` one of :data:`STRATEGIES`. ``images``
    is the size of the image list, ``seeds`` the number of seeds whose results were averaged. ``decoding``, one of
    :data:`DECODINGS`, is the plain model's, and the method's where it does not bring its own. ``parameters`` are those
    of the method that set the row apart, ``unsupported`` what no parameter here expresses.
    """

    benchmark: str | None = None
    questions: str | None = None
    strategy: str | None = None
    images: int | None = None
    seeds: int | None = None
    decoding: str | None = None
    beams: int | None = None
    max_new_tokens: int | None = None
    prompt: str | None = None
    parameters: Mapping[str, object] = field(default_factory=dict)
    unsupported: str | None = None


@dataclass(frozen=True)
class Published:
    """Numbers from one table of one publication.

    ``setting`` says in words how they were made, ``protocol`` in fields that can be run. ``baseline`` holds the plain
    model's numbers from the same table: those of different publications come from different harnesses and cannot be
    compared. Scores are percentages.
    """

    source: str
    model: str
    setting: str
    numbers: Mapping[str, float]
    baseline: Mapping[str, float]
    protocol: Protocol = field(default_factory=Protocol)


@dataclass(frozen=True)
class Card:
    """Everything the package says about one method.

    ``fidelity`` is ``paper`` (every step is published), ``reconstructed`` (parts are our own choice and are
    parameters), ``port`` (known through another project's implementation), ``ours`` (a control that no paper states) or
    ``third-party`` (from another distribution, nothing known about it). ``mechanism`` holds the steps, each with its
    provenance.
    ``identity`` is a setting at which the method is the plain model, ``strong`` one at which it acts visibly on a model
    of four layers and a handful of image tokens, for tests. ``presets`` holds, per model family, the values that differ
    from the parameters' defaults or are published for it. ``uses`` are keys of :data:`USES`.
    ``control`` marks a sham: it sees nothing better, and is there to be compared with. ``shams`` are the controls that
    a method is to be compared with, none for a control. ``like`` is the method that a control is a sham of, whose
    settings it takes where both have a parameter.
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
    uses: tuple[str, ...] = ()
    strong: Mapping[str, object] = field(default_factory=dict)
    control: bool = False
    shams: tuple[str, ...] = ()
    like: str | None = None

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
