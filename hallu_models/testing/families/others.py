"""Tiny models of classes that no family lists: some that ``auto`` takes, and some that no method can act on."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import transformers as hf

from hallu_models.testing.families.blip import BLIP_VISION, QFORMER
from hallu_models.testing.families.parts import SIZE, TEXT, Built, image_id, randomized, siglip_vision
from hallu_models.testing.families.words import template, tokenizer

UNLISTED: dict[str, Callable[[], Built]] = {}
REFUSED: dict[str, Callable[[], Any]] = {}

T5 = {
    "vocab_size": 128,
    "d_model": 32,
    "d_kv": 8,
    "d_ff": 32,
    "num_layers": 1,
    "num_heads": 4,
    "decoder_start_token_id": 0,
}


def keeps(where: dict[str, Any]) -> Callable[[Callable[[], Any]], Callable[[], Any]]:
    def keep(build: Callable[[], Any]) -> Callable[[], Any]:
        where[build.__name__] = functools.cache(build)
        return build

    return keep


@keeps(UNLISTED)
def aya_vision() -> Built:
    """Cohere's decoder: sliding windows, one norm a layer, scaled logits."""
    words = tokenizer(image_token="<image>")
    config = hf.AyaVisionConfig(
        vision_config=siglip_vision(),
        text_config=hf.Cohere2Config(**{**TEXT, "sliding_window": 16}),
        image_token_id=image_id(words),
        downsample_factor=2,
        adapter_layer_norm_eps=1e-6,
    )
    processor = hf.LlavaProcessor(
        image_processor=hf.SiglipImageProcessor(size=SIZE),
        tokenizer=words,
        patch_size=8,
        vision_feature_select_strategy="full",
        chat_template=template("<image>"),
    )
    config.tie_word_embeddings = False
    return randomized(hf.AyaVisionForConditionalGeneration(config)), processor


@keeps(UNLISTED)
def cohere2_vision() -> Built:
    words = tokenizer(image_token="<image>")
    config = hf.Cohere2VisionConfig(
        vision_config=siglip_vision(),
        text_config=hf.Cohere2Config(**TEXT),
        image_token_id=image_id(words),
        downsample_factor=2,
        alignment_intermediate_size=32,
    )
    config.tie_word_embeddings = False
    processor = hf.LlavaProcessor(
        image_processor=hf.SiglipImageProcessor(size=SIZE),
        tokenizer=words,
        patch_size=8,
        vision_feature_select_strategy="full",
        chat_template=template("<image>"),
    )
    return randomized(hf.Cohere2VisionForConditionalGeneration(config)), processor


@keeps(REFUSED)
def florence2() -> Any:
    config = hf.Florence2Config(
        vision_config={
            "embed_dim": [8, 8, 8, 32],
            "num_heads": [2, 2, 2, 2],
            "num_groups": [2, 2, 2, 2],
            "depths": [1, 1, 1, 1],
            "window_size": 4,
            "projection_dim": 32,
        },
        text_config=hf.BartConfig(
            vocab_size=128,
            d_model=32,
            encoder_layers=1,
            decoder_layers=1,
            encoder_attention_heads=4,
            decoder_attention_heads=4,
            encoder_ffn_dim=32,
            decoder_ffn_dim=32,
        ),
        image_token_id=4,
    )
    return hf.Florence2ForConditionalGeneration(config)


@keeps(REFUSED)
def instructblip_t5() -> Any:
    config = hf.InstructBlipConfig(
        vision_config=hf.InstructBlipVisionConfig(**BLIP_VISION),
        qformer_config=hf.InstructBlipQFormerConfig(**QFORMER),
        text_config=hf.T5Config(**T5),
        num_query_tokens=8,
        image_token_id=4,
    )
    return hf.InstructBlipForConditionalGeneration(config)


@keeps(REFUSED)
def blip2_t5() -> Any:
    config = hf.Blip2Config(
        vision_config=hf.Blip2VisionConfig(**BLIP_VISION),
        qformer_config=hf.Blip2QFormerConfig(**QFORMER),
        text_config=hf.T5Config(**T5),
        num_query_tokens=8,
        image_token_id=4,
    )
    return hf.Blip2ForConditionalGeneration(config)
