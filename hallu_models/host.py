"""A loaded vision-language model and its processor, seen structurally: decoder, attention layers, image tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

import registry
from hallu_models import generation
from hallu_models.engines import attention
from hallu_models.generation import Conversation, Generation
from hallu_models.methods import Method
from registry import family

DEMO = Path(__file__).parent / "demo" / "checkpoint"


class UnsupportedModel(ValueError):
    """The model lacks a part that interventions need; the message names it."""


@dataclass(frozen=True)
class Host:
    """What interventions need to know about a model. Build it with :func:`inspect` or :func:`load`.

    attention: the language model's attention modules, one a layer, in order. heads, kv_heads: query and key heads.
    image_tokens: ids of image placeholders in the prompt. family: registry id, or None for an unlisted architecture.
    """

    model: Any
    processor: Any
    decoder: Any
    attention: tuple[nn.Module, ...]
    heads: int
    kv_heads: int
    image_tokens: frozenset[int]
    family: str | None

    @property
    def depth(self) -> int:
        """Number of decoder layers."""
        return len(self.attention)

    @property
    def device(self) -> torch.device:
        return self.model.get_input_embeddings().weight.device  # type: ignore[no-any-return]

    def generate(
        self, conversations: Sequence[Conversation], method: Method = None, **options: Any
    ) -> list[Generation]:
        """Answer a batch of conversations; see :func:`hallu_models.generation.generate`."""
        return generation.generate(self, conversations, method, **options)


def inspect(model: Any, processor: Any = None) -> Host:
    """Find decoder, attention layers and image tokens of a transformers image-text-to-text model.

    The layers are found by observing one forward of two positions, not by module names.
    Raises :class:`UnsupportedModel`, naming the missing part.
    """
    kind = type(model).__name__
    if not callable(getattr(model, "generate", None)):
        raise UnsupportedModel(f"{kind} has no generate(); load it as AutoModelForImageTextToText")
    decoder = model.get_decoder() if hasattr(model, "get_decoder") else None
    if decoder is None or decoder is model:
        raise UnsupportedModel(f"{kind} has no text decoder that get_decoder() can find")
    tokens = _image_tokens(model.config, processor)
    if not tokens:
        raise UnsupportedModel(
            f"the configuration of {kind} names no image token (image_token_id): is this a vision-language model?"
        )
    if not decoder._can_set_attn_implementation():
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
    return Host(model, processor, decoder, modules, heads[0], kv_heads[0], tokens, known.id if known else None)


def _image_tokens(config: Any, processor: Any) -> frozenset[int]:
    sources = [(config, "image_token_id"), (config, "image_token_index"), (processor, "image_token_id")]
    found = (getattr(source, name, None) for source, name in sources)
    return frozenset(token for token in found if isinstance(token, int) and token >= 0)


def load(
    pretrained: str = "demo",
    *,
    device: str | None = None,
    dtype: str = "auto",
    revision: str | None = None,
    attn_implementation: str | None = None,
    device_map: str | None = None,
    trust_remote_code: bool = False,
) -> Host:
    """Load a model and its processor.

    pretrained: "demo" (shipped with the package), a folder, or a Hub id. device: default the first accelerator, else
    CPU. dtype: "auto" is the checkpoint's own on an accelerator and float32 on CPU. device_map: "auto" spreads one
    large model over all devices. Raises ValueError where the checkpoint is not an image-text-to-text model.
    """
    import transformers
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING

    source = str(DEMO) if pretrained == "demo" else pretrained
    common: dict[str, Any] = {"revision": revision, "trust_remote_code": trust_remote_code}
    try:
        config = transformers.AutoConfig.from_pretrained(source, **common)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"pretrained={pretrained}: no model configuration there ({str(error).splitlines()[0]}). "
            "Allowed: demo, a folder with a checkpoint, or a Hub id that is reachable or cached"
        ) from error
    if type(config) not in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING and not trust_remote_code:
        raise UnsupportedModel(
            f"pretrained={pretrained}: model type '{config.model_type}' is not an image-text-to-text model in "
            f"transformers {transformers.__version__}; known families: {', '.join(registry.families())}"
        )
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if dtype == "auto" and device == "cpu" and device_map is None:
        dtype = "float32"
    model = transformers.AutoModelForImageTextToText.from_pretrained(
        source, config=config, dtype=dtype, attn_implementation=attn_implementation, device_map=device_map, **common
    )
    if device_map is None:
        model.to(device)
    processor = transformers.AutoProcessor.from_pretrained(source, **common)
    return inspect(model.eval(), processor)
