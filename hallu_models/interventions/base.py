"""The contract of an intervention: a frozen dataclass of parameters and the hooks it overrides.

An intervention never touches the model. It is told where it is (:class:`LayerStep`) and returns edited tensors; the
engines call it, keep its state, leave rows without an image alone and take everything off again. Instances are
immutable and hold no state, so one instance serves any number of models, generations and threads.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar

from torch import Tensor

from hallu_models.conversations import Conversation
from hallu_models.engines.branches import Negative
from hallu_models.engines.maps import Maps
from hallu_models.engines.passes import Passes
from hallu_models.engines.step import LayerStep, LogitsStep, Recorder, State
from hallu_models.hosts.decoding import Decoding
from hallu_models.layout import Layout
from hallu_models.observations import Observation
from registry.arguments import params
from registry.cards import built_in, layers

Self = TypeVar("Self", bound="Intervention")


@dataclass
class Prompt:
    """A prompt about to be read: what a method may look at, and run passes on, before the first forward.

    ``embeddings`` (B, L, D) hold the image features at ``layout.image``; ``layers`` are the method's.
    ``generation`` is that of :class:`LayerStep`. ``run`` offers passes over the prompt and others like it.
    """

    embeddings: Tensor
    layout: Layout
    layers: tuple[int, ...]
    generation: State
    run: Passes
    record: Recorder


@dataclass
class Answer:
    """A finished generation: ``tokens`` (A, T) of which ``ends`` (A,) are each answer's own, the rest is padding.

    ``rows`` (A,) is the prompt row of each answer; ``states`` holds what this intervention kept by layer; ``run``
    offers passes over the prompt and the answer.
    """

    tokens: Tensor
    ends: Tensor
    rows: Tensor
    states: Mapping[int, State]
    run: Passes
    record: Recorder


@dataclass(frozen=True)
class OtherImage:
    """An image made from one of a prompt's own. ``observed`` are numbers that tell how, by name of an observation.

    Where a size decides how many tokens an image has, it has the size of the other.
    """

    image: Any
    observed: Mapping[str, float] = field(default_factory=dict)


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
        """The method's card; None for a third-party method without one beside its module."""
        if cls.name in built_in.names():
            return built_in.load(cls.name)
        return built_in.beside(cls.__module__, cls.name)

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

    def hook_layers(self, hook: str, depth: int) -> tuple[int, ...]:
        """Which of :meth:`layer_list` a hook acts in: all, but for a method that looks here and edits there.

        Of hooks at one edit point, all act where one of them does.
        """
        return self.layer_list(depth)

    def parameters(self) -> dict[str, Any]:
        """Every parameter and its value, for logs and result files."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    def overrides(self, hook: str) -> bool:
        return getattr(type(self), hook) is not getattr(Intervention, hook)

    def contrasts(self) -> bool:
        """Whether a negative branch is run; at most one method of a composition may."""
        return self.overrides("contrast")

    def needs_other_image(self) -> bool:
        """Whether the caller has to give another image for each image of the prompt."""
        return False

    def other_image_pick(self) -> str:
        """How lmms-eval's adapter chooses the other image: "random", or "least_similar" by mean image feature."""
        return "random"

    # Hooks, in the order in which a forward runs them.

    def other_image(self, image: Any, text: str) -> OtherImage:
        """Make the other image from an RGB image of a conversation whose latest request is ``text``.

        It is what ``prompt.run.other_images`` reads where conversations are given and no other images.
        """
        return OtherImage(image)

    def encoder_layers(self, depth: int) -> tuple[int, ...]:
        """Layers of the image encoder, which has ``depth``, that :meth:`encoder_feed_forward_output` edits."""
        return ()

    def encoder_feed_forward_output(self, hidden: Tensor, layer: int) -> Tensor:
        """Edit what a feed-forward block of the image encoder adds (pictures or tiles, positions, D).

        Every picture that is read while the method is on the model goes through it, before any prompt is known.
        """
        return hidden

    def read(self, prompt: Prompt) -> None:
        """Look at the prompt before the first forward, and keep what is needed in ``prompt.generation``."""

    def question(self, messages: Conversation) -> Conversation:
        """The wording in which a conversation about an image is asked, in the place of the given one."""
        return messages

    def rewrite(self, messages: Conversation) -> Conversation:
        """Another wording of a conversation, for methods that read a second prompt."""
        return messages

    def hidden_columns(self, at: LayerStep) -> Tensor | None:
        """Columns (B, Lk) that no row of this layer sees in this forward; None for none. A row still sees itself."""
        return None

    def values(self, values: Tensor, at: LayerStep) -> Tensor:
        """Edit the values (B, Hkv, Lk, d) that this forward attends to; the cache keeps the model's own."""
        return values

    def text_scores(self, scores: Tensor, at: LayerStep) -> Tensor:
        """Edit the pre-softmax scores (B, H, R, Lk), in float32, of the rows behind the image, ``at.rows`` (B, R)."""
        return scores

    def text_attention(self, attention: Tensor, at: LayerStep) -> Tensor:
        """Edit the attention (B, H, R, Lk), in float32, of the rows behind the image, ``at.rows`` (B, R)."""
        return attention

    def row_scores(self, scores: Tensor, at: LayerStep) -> Tensor:
        """Edit the pre-softmax scores (B, H, Lk) of the last row, in float32."""
        return scores

    def row_attention(self, attention: Tensor, at: LayerStep) -> Tensor:
        """Edit the attention (B, H, Lk) of the last row, in float32."""
        return attention

    def maps(self, maps: Maps, outputs: Tensor, at: LayerStep) -> Tensor:
        """Make head outputs (B, Lq, H, d) from edited attention maps, in the prefill."""
        return outputs

    def head_outputs(self, outputs: Tensor, at: LayerStep) -> Tensor:
        """Edit the head outputs (B, Lq, H, d) before the output projection."""
        return outputs

    def attention_output(self, hidden: Tensor, at: LayerStep) -> Tensor:
        """Edit what attention adds to the hidden states (B, Lq, D), behind the output projection."""
        return hidden

    def feed_forward_output(self, hidden: Tensor, at: LayerStep) -> Tensor:
        """Edit what the feed-forward block adds to the hidden states (B, Lq, D)."""
        return hidden

    def layer_output(self, hidden: Tensor, at: LayerStep) -> Tensor:
        """Edit the hidden states (B, Lq, D) that the layer hands on."""
        return hidden

    def early_layers(self, depth: int) -> tuple[int, ...]:
        """Layers whose logits ``at.early`` is to give in :meth:`token_logits` and :meth:`contrast`.

        :data:`~hallu_models.interventions.EMBEDDINGS` among them is what the first layer reads.
        """
        return ()

    def inside_layers(self, depth: int) -> tuple[int, ...]:
        """Layers whose parts ``at.inside`` is to run hidden states of the method's through, in :meth:`token_logits`."""
        return ()

    def token_logits(self, logits: Tensor, at: LogitsStep) -> Tensor:
        """Edit the next-token logits (B, V), in float32."""
        return logits

    def negative(self, prompt: Prompt) -> Negative:
        """What the negative rows see; called after :meth:`read`, for methods that override :meth:`contrast`."""
        raise NotImplementedError(f"{self.name} contrasts two branches but has no negative one")

    def negative_methods(self, depth: int) -> tuple[Intervention, ...]:
        """Methods that edit the negative rows, bound to a model of this depth; these see them as their batch."""
        return ()

    def contrast(self, logits: Tensor, negative: Tensor, at: LogitsStep) -> Tensor:
        """Next-token logits (B, V) from those of the main and the negative branch, in float32."""
        return logits

    def decode(self, run: Decoding) -> Tensor:
        """Choose the tokens in the place of ``generate``: ids (A, L) of prompts and answers; one method may."""
        raise NotImplementedError(f"{self.name} has no way of decoding")

    def review(self, answer: Answer) -> None:
        """Look back at what ``generate`` returned, for the observations. Not called when nobody asked for them."""

    def observations(self, states: Mapping[int, State]) -> dict[str, Observation]:
        """What this method saw and did beyond what it recorded, from its layers' states."""
        return {}
