"""A loaded vision-language model and its processor, seen structurally: decoder, attention layers, image tokens."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, overload

import torch
from torch import Tensor, nn

from hallu_models.hosts import attention, forward, processors
from registry.model_families import family
from registry.moved import former

__getattr__ = former(__name__)

AnyHost = TypeVar("AnyHost", bound="Host")


class UnsupportedModel(ValueError):
    """The model lacks a part that interventions need; the message names it."""


@dataclass(frozen=True)
class Host:
    """What interventions need to know about a model. Build it with :func:`inspect`.

    causal: what turns ids into logits, the model itself or a language model that it leaves generation to (BLIP).
    attention: the language model's attention modules in order, one a layer; fewer where ``closed``. heads, kv_heads:
    query and key heads. image_tokens: ids of image placeholders in the prompt. inputs: names that the model's forward
    takes. family: registry id, or None for an unlisted architecture. closed: why methods that act on attention cannot
    work here, so that only predictions can be contrasted; empty where they can.
    """

    model: Any
    processor: Any
    causal: Any
    decoder: Any
    attention: tuple[nn.Module, ...]
    heads: int
    kv_heads: int
    image_tokens: frozenset[int]
    inputs: frozenset[str]
    family: str | None
    closed: str = ""

    @property
    def depth(self) -> int:
        """Number of decoder layers."""
        return self.decoder.config.num_hidden_layers if self.closed else len(self.attention)

    @property
    def checkpoint(self) -> Path | None:
        """The folder that the model was loaded from, where it is one."""
        name = getattr(self.model, "name_or_path", "")
        return Path(name) if name and Path(name).is_dir() else None

    @property
    def device(self) -> torch.device:
        return self.model.get_input_embeddings().weight.device  # type: ignore[no-any-return]

    @property
    def patches(self) -> bool:
        """Whether image tokens are patches of the picture, not queries about all of it."""
        return not hasattr(self.model, "qformer")

    @property
    def tokens(self) -> Any:
        """The tokenizer, for texts of single tokens."""
        return self.processor.tokenizer

    @property
    def context(self) -> int | None:
        """Columns that the decoder was built for; None where the configuration does not say."""
        return getattr(self.decoder.config, "max_position_embeddings", None)

    @property
    def soft_cap(self) -> float | None:
        """Height of the soft cap on the logits that the configuration names; None without one."""
        return getattr(self.decoder.config, "final_logit_softcapping", None)

    @property
    def backend(self) -> str:
        """Name of the decoder's attention backend, such as sdpa."""
        return attention.backend(self.decoder)

    @property
    def model_type(self) -> str:
        """The architecture's name in transformers."""
        return self.model.config.model_type  # type: ignore[no-any-return]

    @property
    def commit(self) -> str | None:
        """The Hub's commit of the checkpoint, where it came from there."""
        return getattr(self.model.config, "_commit_hash", None)

    @property
    def ends(self) -> int | list[int] | None:
        """Ids that end an answer, by the model's own configuration."""
        return self.model.generation_config.eos_token_id  # type: ignore[no-any-return]

    def embed(self, ids: Tensor) -> Tensor:
        """Word embeddings (..., D) of ids; the placeholder of an image may lie outside of the vocabulary."""
        words = self.model.get_input_embeddings()
        return words(ids.clamp(max=words.weight.shape[0] - 1))  # type: ignore[no-any-return]

    def pixels(self, images: Any) -> dict[str, Any]:
        """Model inputs for PIL images, or for pixel values as they are."""
        return processors.made_of(self.processor, images, self.device, self.model.dtype)


@overload
def inspect(model: Any, processor: Any = None) -> Host: ...


@overload
def inspect(model: Any, processor: Any = None, *, of: type[AnyHost]) -> AnyHost: ...


def inspect(model: Any, processor: Any = None, *, of: type[Host] = Host) -> Host:
    """Find decoder, attention layers and image tokens of a transformers image-text-to-text model.

    The layers are found by observing one forward of two positions, not by module names; ``of`` is the class to make.
    Raises :class:`UnsupportedModel`, naming the missing part.
    """
    kind = type(model).__name__
    if not callable(getattr(model, "generate", None)):
        raise UnsupportedModel(f"{kind} has no generate(); load it as AutoModelForImageTextToText")
    text = model.config.get_text_config()
    if text.is_encoder_decoder:
        raise UnsupportedModel(
            f"{kind} with a {text.model_type} language model encodes image and question apart from the answer; methods "
            "need a decoder that reads all three: take a checkpoint with a decoder-only language model"
        )
    decoder = model.get_decoder() if hasattr(model, "get_decoder") else None
    if decoder is not None and decoder is not model and callable(getattr(decoder, "generate", None)):
        # BLIP-2 names its whole language model.
        decoder = decoder.get_decoder()
    if decoder is None or decoder is model:
        raise UnsupportedModel(f"{kind} has no text decoder that get_decoder() can find")
    tokens = _image_tokens(model.config, processor)
    if not tokens:
        raise UnsupportedModel(
            f"the configuration of {kind} names no image token (image_token_id): is this a vision-language model?"
        )
    if not attention.rerouted(decoder):
        raise UnsupportedModel(
            f"the attention of {type(decoder).__name__} in {kind} cannot be re-routed: "
            "it does not use transformers' AttentionInterface"
        )
    weight = model.get_input_embeddings().weight
    probe = torch.zeros(1, 2, weight.shape[1], dtype=weight.dtype, device=weight.device)
    with torch.no_grad():
        calls = attention.observe_calls(decoder, lambda: decoder(inputs_embeds=probe, use_cache=False))
    if not calls:
        raise UnsupportedModel(
            f"the attention of {type(decoder).__name__} in {kind} cannot be re-routed: its layers ignore the name"
        )
    modules, heads, kv_heads = zip(*calls)
    known = family.by_model_type(model.config.model_type)
    nested = getattr(model, "language_model", None)
    return of(
        model,
        processor,
        nested if callable(getattr(nested, "generate", None)) else model,
        decoder,
        modules,
        heads[0],
        kv_heads[0],
        tokens,
        forward.inputs_of(model),
        known.id if known else None,
        _closed(text),
    )


def fingerprint(model: Any) -> dict[str, Any]:
    """What a session could leave behind on a model: hooks, attributes, names of attention backends."""
    found: dict[str, Any] = {}
    for name, module in model.named_modules():
        hooks = len(module._forward_pre_hooks), len(module._forward_hooks), len(module._forward_pre_hooks_with_kwargs)
        attributes = frozenset(vars(module))
        found[name] = (hooks, attributes, getattr(getattr(module, "config", None), "_attn_implementation", None))
    return found


def _closed(text: Any) -> str:
    """Why no method can act on the attention of a language model with this configuration; empty where one can."""
    if getattr(text, "cross_attention_layers", None):
        return "images are read by cross-attention, so a prompt has no image columns that methods could act on"
    for kind in getattr(text, "layer_types", None) or ():
        if kind in NO_ATTENTION:
            return f"layers of {NO_ATTENTION[kind]} have no attention heads over the image"
    return ""


NO_ATTENTION = {"linear_attention": "linear attention", "conv": "convolution", "mamba": "a state space"}
"""Types of layers without attention, in words."""


def _image_tokens(config: Any, processor: Any) -> frozenset[int]:
    """The configuration's image token; where it names none, the processor's, which may stand for a whole picture."""
    for source, name in ((config, "image_token_id"), (config, "image_token_index"), (processor, "image_token_id")):
        token = getattr(source, name, None)
        if isinstance(token, int) and token >= 0:
            return frozenset({token})
    return frozenset()


@contextlib.contextmanager
def attending(host: Host, backend: str) -> Iterator[None]:
    """Inside, the decoder attends by another backend, such as eager."""
    own = host.backend
    host.decoder.set_attn_implementation(backend)
    try:
        yield
    finally:
        host.decoder.set_attn_implementation(own)
