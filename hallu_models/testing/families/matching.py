"""A tiny random BLIP for image-text retrieval, by the name of ``tiny-random``."""

from __future__ import annotations

import torch
from transformers import BlipConfig, BlipForImageTextRetrieval, BlipImageProcessor, BlipProcessor

from hallu_models.hosts.matching import NAMED
from hallu_models.testing.families.words import tokenizer

SIDE, PATCH = 32, 8


def built() -> tuple[BlipForImageTextRetrieval, BlipProcessor]:
    """Eight text blocks, images of 4 x 4 patches; weights large enough that images and texts differ."""
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 4}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        words = {"vocab_size": 128, "encoder_hidden_size": 16, "bos_token_id": 126, "pad_token_id": 0}
        config = BlipConfig(
            text_config={**sizes, **words, "num_hidden_layers": 8, "sep_token_id": 2, "initializer_range": 0.3},
            vision_config={**sizes, "num_hidden_layers": 1, "image_size": SIDE, "patch_size": PATCH},
            image_text_hidden_size=8,
        )
        model = BlipForImageTextRetrieval(config)
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.ndim > 1:
                    parameter.normal_(0, 0.4)
    images = BlipImageProcessor(size={"height": SIDE, "width": SIDE})
    return model, BlipProcessor(images, tokenizer())


NAMED["tiny-random"] = built
