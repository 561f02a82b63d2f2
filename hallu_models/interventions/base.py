"""The contract of an intervention: a frozen dataclass of parameters and the hooks it overrides.

An intervention never touches the model. It is told where it is (:class:`LayerStep`) and returns edited tensors; the
engines call it, keep its state and take everything off again. Instances are immutable and hold no state, so one
instance serves any number of models, generations and threads.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from torch import Tensor

from hallu_models.layout import Columns, Layout
from registry.arguments import params
from registry.cards import built_in, layers

if TYPE_CHECKING:
    from hallu_models.conversations import Conversation
    from hallu_models.engines.branches import Negative
    from hallu_models.engines.maps import Maps
    from hallu_models.engines.passes import Passes
    from hallu_models.observations import Observation

Recorder = Callable[..., None]
"""``record(name, value, *axes)``: keep a value (B, ...) for the observations; ``axes`` name those after the rows."""

Self = TypeVar("Self", bound="Intervention")


@dataclass
class LayerStep:
    """What a hook sees: one layer in one forward pass of one generation.

    ``columns`` has the masks over the Lk key columns. ``state`` belongs to this intervention, layer and generation:
    what the prefill stores, decode steps find. ``generation`` belongs to this intervention and generation, and holds
    what :meth:`Intervention.read` stored. ``shared`` belongs to this intervention and forward pass: what one layer
    stores, later layers find. ``record`` keeps a value for the observations; None when nobody asked for them.
    """

    layer: int
    prefill: bool
    layout: Layout
    columns: Columns
    state: dict[str, Any]
    generation: dict[str, Any]
    shared: dict[str, Any]
    record: Recorder | None = None


@dataclass
class Prompt:
    """A prompt about to be read: what a method may look at, and run passes on, before the first forward.

    ``embeddings`` (B, L, D) hold the image features at ``layout.image``; ``layers`` are the method's. ``state``
    belongs to this intervention and generation. ``run`` offers passes over the prompt and others like it.
    """

    embeddings: Tensor
    layout: Layout
    layers: tuple[int, ...]
    state: dict[str, Any]
    run: Passes
    record: Recorder | None = None


@dataclass
class ContrastStep:
    """One position at which two branches are contrasted. ``step`` counts generated tokens, from 0."""

    step: int
    layout: Layout
    state: dict[str, Any]
    record: Recorder | None = None


@dataclass
class Answer:
    """A finished generation: ``tokens`` (A, T) of which ``ends`` (A,) are each answer's own, the rest is padding.

    ``rows`` (A,) is the prompt row of each answer; ``states`` holds what this intervention kept by layer; ``run``
    offers passes over the prompt and the answer.
    """

    tokens: Tensor
    ends: Tensor
    rows: Tensor
    states: dict[int, dict[str, Any]]
    run: Passes
    record: Recorder | None = None


@dataclass(frozen=True)
class Intervention:
    """Base class. Fields of a subclass are the paper's parameters with the card's defaults.

    ``name`` is the card's name. Overriding a hook is what switches its engine on, in the layers of ``layers`` only.
    """

    name: ClassVar[str] = ""
    layers: layers.LayerSpec = layers.AUTO

    def __post_init__(self) -> None:
        params.check(
            self.name, {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}, self.card()
        )

    @classmethod
    def card(cls) -> built_in.Card | None:
        """The method's card; None for a third-party method without one."""
        return built_in.load(cls.name) if cls.name in built_in.names() else None

    def bind(self: Self, family: str | None, depth: int) -> Self:
        """A copy whose ``auto`` parameters hold the card's setting for this family and number of layers.

        Raises :class:`registry.errors.BadArgument` when a layer does not exist in the model.
        """
        chosen = layers.resolve(self.layer_rule(family), depth, method=self.name)
        return dataclasses.replace(self, layers=layers.spell(chosen))

    def layer_rule(self, family: str | None) -> str:
        """The layers as they are written, by the caller or in the card's setting for this family."""
        if self.layers != layers.AUTO:
            return self.layers
        card = self.card()
        return str((card.settings(family) if card else {}).get("layers", "all"))

    def layer_list(self, depth: int) -> tuple[int, ...]:
        """The edited layers of a bound intervention."""
        return layers.resolve(self.layers, depth, method=self.name)

    def parameters(self) -> dict[str, Any]:
        """Every parameter and its value, for logs and result files."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    def overrides(self, hook: str) -> bool:
        return getattr(type(self), hook) is not getattr(Intervention, hook)

    def replaces_last_row(self) -> bool:
        """Two such methods in one layer would undo each other."""
        return any(self.overrides(hook) for hook in ("row_scores", "row_attention", "maps"))

    def contrasts(self) -> bool:
        """Whether a negative branch is run; at most one method of a composition may."""
        return self.overrides("contrast")

    def needs_other_image(self) -> bool:
        """Whether the caller has to give another image for each image of the prompt."""
        return False

    # Hooks, in the order in which a layer runs them.

    def read(self, prompt: Prompt) -> None:
        """Look at the prompt before the first forward, and keep what is needed in ``prompt.state``."""

    def rewrite(self, messages: Conversation) -> Conversation:
        """Another wording of a conversation, for methods that read a second prompt."""
        return messages

    def maps(self, maps: Maps, outputs: Tensor, at: LayerStep) -> Tensor:
        """Make head outputs (B, Lq, H, d) from edited attention maps, in the prefill."""
        return outputs

    def row_scores(self, scores: Tensor, at: LayerStep) -> Tensor:
        """Edit the pre-softmax scores (B, H, Lk) of the last row, in float32."""
        return scores

    def row_attention(self, attention: Tensor, at: LayerStep) -> Tensor:
        """Edit the attention (B, H, Lk) of the last row, in float32."""
        return attention

    def head_outputs(self, outputs: Tensor, at: LayerStep) -> Tensor:
        """Edit the head outputs (B, Lq, H, d) before the output projection."""
        return outputs

    def negative(self, prompt: Prompt) -> Negative:
        """What the negative rows see; called after :meth:`read`, for methods that override :meth:`contrast`."""
        raise NotImplementedError(f"{self.name} contrasts two branches but has no negative one")

    def contrast(self, logits: Tensor, negative: Tensor, at: ContrastStep) -> Tensor:
        """Next-token logits (B, V) from those of the main and the negative branch, in float32."""
        return logits

    def review(self, answer: Answer) -> None:
        """Look back at what ``generate`` returned, for the observations. Not called when nobody asked for them."""

    def observations(self, states: dict[int, dict[str, Any]]) -> dict[str, Observation]:
        """What this method saw and did beyond what it recorded, from its layers' states."""
        return {}
