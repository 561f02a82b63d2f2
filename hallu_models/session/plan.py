"""Which methods act at which edit points of a model: all that can be told before anything is generated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from hallu_models.engines.hidden import HIDDEN_STATES, LAYER_OUTPUT, HiddenPoint
from hallu_models.engines.inside import Inside
from hallu_models.engines.lens import Lens
from hallu_models.engines.point import AttentionPoint
from hallu_models.engines.points import IN_ATTENTION
from hallu_models.engines.step import overriding
from hallu_models.hosts import encoder
from hallu_models.hosts.host import Host, UnsupportedModel
from hallu_models.hosts.mismatch import HostMismatch
from hallu_models.interventions import Intervention

LOOKING = ("read", "negative", "review", *(hook for point in IN_ATTENTION for hook in point.hooks))
"""Hooks of methods that need the attention of their layers, to edit it or to look into it in passes."""


@dataclass(frozen=True)
class Plan:
    """Methods on a model. layers: of each method, by name. attended: layers whose attention is edited or looked into.

    attention: the points at work in a layer, in order, each with its methods. hidden: the same of points in
    hidden states, by point and layer. on_logits: methods that act on next-token logits; one may be contrasting, and
    negative is the plan of its negative rows. projecting: layers in which a method makes logits inside of a forward, by
    its name. early: layers whose logits a method looks at, by its name. encoding: methods that edit the image encoder,
    by its layer. wording: methods that ask the question in other words.
    """

    methods: tuple[Intervention, ...]
    layers: Mapping[str, tuple[int, ...]]
    attended: tuple[int, ...]
    attention: Mapping[int, tuple[tuple[AttentionPoint, tuple[Intervention, ...]], ...]]
    hidden: dict[tuple[HiddenPoint, int], tuple[Intervention, ...]]
    on_logits: tuple[Intervention, ...]
    early: Mapping[str, tuple[int, ...]]
    contrasting: Intervention | None
    deciding: Intervention | None
    negative: Plan | None = None
    projecting: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    encoding: Mapping[int, tuple[Intervention, ...]] = field(default_factory=dict)
    wording: tuple[Intervention, ...] = ()

    @classmethod
    def of(cls, host: Host, methods: Sequence[Intervention]) -> Plan:
        """Raises UnsupportedModel where the model lacks what a method acts on, ValueError where two cannot go together.

        What chains on one edit point does so in the order of ``methods``.
        """
        layers = {item.name: item.layer_list(host.depth) for item in methods}
        looking = [item for item in overriding(methods, LOOKING) if layers[item.name]]
        if host.closed and looking:
            raise UnsupportedModel(
                f"{looking[0].name} acts on attention heads, but in {type(host.model).__name__} {host.closed}; methods "
                "that only contrast predictions work, such as cicd"
            )
        contrasting = _only(
            [item for item in methods if item.contrasts()], "run a negative branch, and only one can be contrasted with"
        )
        others = contrasting.negative_methods(host.depth) if contrasting is not None else ()
        negative = cls.of(host, others) if others else None
        attended = {layer for item in looking for layer in layers[item.name]}
        attended.update(negative.attended if negative else ())
        attention = {layer: _points(layer, methods, host.depth) for layer in sorted(attended)}
        early = {item.name: found for item in methods if (found := item.early_layers(host.depth))}
        hidden = {
            (point, layer): acting
            for point in HIDDEN_STATES
            for layer in range(host.depth)
            if (acting := _acting(methods, point.hooks, layer, host.depth))
        }
        plan = cls(
            tuple(methods),
            layers,
            tuple(sorted(attended)),
            attention,
            hidden,
            tuple(item for item in methods if item.contrasts() or item.overrides("token_logits")),
            early,
            contrasting,
            _only(overriding(methods, ["decode"]), "choose the tokens, and only one can"),
            negative,
            {item.name: early.get(item.name, ()) for item in overriding(methods, LAYER_OUTPUT.hooks)},
            _encoding(host, methods),
            overriding(methods, ["question"]),
        )
        plan._require_parts(host)
        return plan

    @property
    def name(self) -> str:
        """The methods as they are written."""
        return "+".join(self.layers) or "none"

    @property
    def idle(self) -> bool:
        """Nothing to do."""
        acting = (self.attended, self.hidden, self.on_logits, self.early, self.deciding, self.encoding, self.wording)
        return not any(acting)

    @property
    def looked_into(self) -> tuple[int, ...]:
        """Layers whose logits any method looks at."""
        return tuple(sorted({layer for layers in self.early.values() for layer in layers}))

    @property
    def hidden_edits(self) -> tuple[tuple[HiddenPoint, int], ...]:
        """Points and layers at which hidden states are edited, of the negative rows too."""
        return tuple(self.hidden | (self.negative.hidden if self.negative else {}))

    def editing(self, layer: int) -> str:
        """The methods that act in a layer."""
        return "+".join(item.name for item in self.methods if layer in self.layers[item.name])

    def _require_parts(self, host: Host) -> None:
        """Find the parts of the model that methods act on."""
        for item in self.methods:
            try:
                if layers := item.inside_layers(host.depth):
                    Inside(host, layers, _nothing, _nothing)
            except (HostMismatch, IndexError) as error:
                raise _lacks(host, item.name, "parts of layers", error) from error
        for (point, layer), methods in self.hidden.items():
            try:
                point.part(host, layer)
            except (HostMismatch, IndexError) as error:
                raise _lacks(host, methods[0].name, point.name, error) from error
        if self.early:
            try:
                Lens(host, self.looked_into).modules()
            except (HostMismatch, IndexError) as error:
                raise _lacks(host, next(iter(self.early)), "early-layer logits", error) from error


def _encoding(host: Host, methods: Sequence[Intervention]) -> dict[int, tuple[Intervention, ...]]:
    found: dict[int, tuple[Intervention, ...]] = {}
    for item in methods:
        if item.encoder_layers(1):
            try:
                depth = len(encoder.layers(host))
            except UnsupportedModel as error:
                raise _lacks(host, item.name, "image encoder", error) from error
            for layer in item.encoder_layers(depth):
                found[layer] = (*found.get(layer, ()), item)
    return found


def _nothing(_: object) -> Tensor:
    raise AssertionError("nothing is generated yet")


def _lacks(host: Host, method: str, what: str, error: Exception) -> UnsupportedModel:
    return UnsupportedModel(f"{method} needs the {what} of {type(host.model).__name__}: {str(error).splitlines()[0]}")


def _acting(methods: Sequence[Intervention], hooks: Sequence[str], layer: int, depth: int) -> tuple[Intervention, ...]:
    """The methods of which one of these hooks acts in a layer, in the order given."""
    return tuple(
        item
        for item in methods
        if any(item.overrides(hook) and layer in item.hook_layers(hook, depth) for hook in hooks)
    )


def _points(
    layer: int, methods: Sequence[Intervention], depth: int
) -> tuple[tuple[AttentionPoint, tuple[Intervention, ...]], ...]:
    """The points at work in a layer. Raises ValueError where one would overwrite another method's edits at another."""
    found = tuple((point, acting) for point in IN_ATTENTION if (acting := _acting(methods, point.hooks, layer, depth)))
    by_name = {point.name: acting for point, acting in found}
    for point, acting in found:
        for other in point.undoes:
            undone = [item for item in by_name.get(other, ()) if item not in acting]
            if undone:
                names = "+".join(item.name for item in methods if item in (undone[0], acting[0]))
                raise ValueError(
                    f"{names}: {acting[0].name} edits the {point.name} of layer {layer} and would undo what "
                    f"{undone[0].name} does to the {other} there; give them layers of their own"
                )
    return found


def _only(methods: Sequence[Intervention], doing: str) -> Intervention | None:
    if len(methods) > 1:
        raise ValueError(f"{'+'.join(item.name for item in methods)}: both {doing}")
    return methods[0] if methods else None
