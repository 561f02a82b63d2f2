"""The contract of an intervention: a frozen dataclass of parameters and the hooks it overrides.

An intervention never touches the model. It is told where it is (:class:`LayerStep`) and returns edited tensors; the
engines call it, keep its state and take everything off again. Instances are immutable and hold no state, so one
instance serves any number of models, generations and threads.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from torch import Tensor

from hallu_models.layout import Layout
from registry import cards, layers, params

Self = TypeVar("Self", bound="Intervention")


@dataclass
class LayerStep:
    """What a hook sees: one layer in one forward pass of one generation.

    ``state`` belongs to this intervention, layer and generation: what the prefill stores, decode steps find.
    ``text_only`` holds this layer's head outputs (B, H, d) at the last prompt position in the pass without image
    columns; it is there in the prefill if the intervention asks for that pass and some row has an image.
    """

    layer: int
    prefill: bool
    layout: Layout
    state: dict[str, Any]
    text_only: Tensor | None = None


@dataclass(frozen=True)
class Intervention:
    """Base class. Fields of a subclass are the paper's parameters with the card's defaults.

    ``name`` is the card's name. Overriding a hook is what switches its engine on, in the layers of ``layers`` only.
    """

    name: ClassVar[str] = ""
    text_only_pass: ClassVar[bool] = False
    """Ask for one short prefill of the same prompt without its image columns, run before the main prefill."""

    layers: layers.LayerSpec = layers.AUTO

    def __post_init__(self) -> None:
        params.check(
            self.name, {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}, self.card()
        )

    @classmethod
    def card(cls) -> cards.Card | None:
        """The method's card; None for a third-party method without one."""
        return cards.load(cls.name) if cls.name in cards.names() else None

    def bind(self: Self, family: str | None, depth: int) -> Self:
        """A copy whose ``auto`` parameters hold the card's setting for this family and number of layers.

        Raises :class:`registry.registry.errors.BadArgument` when a layer does not exist in the model.
        """
        card = self.card()
        preset = card.settings(family) if card else {}
        spec = preset.get("layers", "all") if self.layers == layers.AUTO else self.layers
        chosen = layers.resolve(spec, depth, method=self.name)
        return dataclasses.replace(self, layers=layers.spell(chosen))

    def layer_list(self, depth: int) -> tuple[int, ...]:
        """The edited layers of a bound intervention."""
        return layers.resolve(self.layers, depth, method=self.name)

    def parameters(self) -> dict[str, Any]:
        """Every parameter and its value, for logs and result files."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    def edits_head_outputs(self) -> bool:
        return type(self).head_outputs is not Intervention.head_outputs

    def head_outputs(self, outputs: Tensor, at: LayerStep) -> Tensor:
        """Edit the head outputs (B, Lq, H, d) of one layer before the output projection."""
        return outputs

    def observations(self, states: dict[int, dict[str, Any]]) -> dict[str, Any]:
        """What this method saw and did, from its layers' states, as name to :class:`Observation`."""
        return {}
