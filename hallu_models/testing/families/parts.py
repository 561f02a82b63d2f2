"""What the tiny models are made with: sizes, weights, vision towers, and the table of their builders.

Three or four decoder layers, grouped heads where the family has them, pictures of a few patches. Weights are large
enough that heads differ and no logit is a near-tie.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import transformers as hf

Built = tuple[Any, Any]
BUILDERS: dict[str, Callable[[], Built]] = {}
TEXT = {
    "vocab_size": 128,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "tie_word_embeddings": False,
}
SIZE = {"height": 16, "width": 16}


def builds(family: str) -> Callable[[Callable[[], Built]], Callable[[], Built]]:
    def keep(build: Callable[[], Built]) -> Callable[[], Built]:
        BUILDERS[family] = build
        return build

    return keep


def randomized(model: Any, seed: int = 0) -> Any:
    """Matrices with entries of 0.2 in the decoder and of unit gain elsewhere; answers of a fixed length."""
    generator = torch.Generator().manual_seed(seed)
    decoder = {id(parameter) for parameter in model.get_decoder().parameters()}
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim >= 2:
                inputs = parameter[0].numel()
                parameter.normal_(0, 0.2 if id(parameter) in decoder else inputs**-0.5, generator=generator)
        model.get_output_embeddings().weight.normal_(0, 0.3, generator=generator)
    image_tokens = {model.config.image_token_id}
    for part in (model, getattr(model, "language_model", None)):
        if part is not None and getattr(part, "generation_config", None) is not None:
            part.generation_config.eos_token_id = None
            part.generation_config.pad_token_id = 0
            # An answer that holds the placeholder of an image could not be read back as a prompt.
            part.generation_config.suppress_tokens = sorted(image_tokens)
    return model.eval()


def clip_vision(layers: int = 1) -> hf.CLIPVisionConfig:
    return hf.CLIPVisionConfig(
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=layers,
        num_attention_heads=2,
        image_size=16,
        patch_size=4,
    )


def siglip_vision(**changes: Any) -> hf.SiglipVisionConfig:
    settings = {
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "image_size": 16,
        "patch_size": 4,
        "vision_use_head": False,
    }
    return hf.SiglipVisionConfig(**{**settings, **changes})


def clip_images() -> Any:
    return hf.CLIPImageProcessor(size={"shortest_edge": 16}, crop_size=SIZE)


def image_id(words: Any, name: str = "image_token") -> int:
    return int(words.convert_tokens_to_ids(getattr(words, name)))
