"""Qwen-VL: an image's size decides its number of tokens, positions have three axes."""

from __future__ import annotations

from typing import Any

import transformers as hf

from hallu_models.testing.families.parts import TEXT, Built, builds, image_id
from hallu_models.testing.families.words import template, tokenizer

QWEN_TOKENS = {
    "image_token": "<|image_pad|>",
    "video_token": "<|video_pad|>",
    "vision_start_token": "<|vision_start|>",
    "vision_end_token": "<|vision_end|>",
}
QWEN_TEMPLATE = template(
    "<|vision_start|><|image_pad|><|vision_end|>",
    message="<|im_start|> {role} {content} <|im_end|> ",
    answer="<|im_start|> assistant",
)
GRID_SIZE = {"shortest_edge": 64, "longest_edge": 1024}
"""Pictures of 8 x 8 to 32 x 32 pixels."""


def qwen_words() -> Any:
    return tokenizer("<|im_start|>", "<|im_end|>", start=False, vocabulary=128, **QWEN_TOKENS)


def qwen_ids(words: Any) -> dict[str, int]:
    return {f"{name}_id": image_id(words, name) for name in QWEN_TOKENS}


def qwen_processor(kind: Any, words: Any, video: Any) -> Any:
    return kind(
        image_processor=hf.Qwen2VLImageProcessor(patch_size=4, merge_size=2, size=GRID_SIZE),
        tokenizer=words,
        video_processor=video(patch_size=4, merge_size=2, size=GRID_SIZE),
        chat_template=QWEN_TEMPLATE,
    )


SECTIONS = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 1, 1]}


@builds("qwen2_vl")
def qwen2_vl() -> Built:
    words = qwen_words()
    config = hf.Qwen2VLConfig(
        vision_config={
            "depth": 1,
            "embed_dim": 16,
            "hidden_size": 32,
            "num_heads": 2,
            "patch_size": 4,
            "mlp_ratio": 2,
        },
        text_config={**TEXT, "rope_parameters": SECTIONS},
        **qwen_ids(words),
    )
    processor = qwen_processor(hf.Qwen2VLProcessor, words, hf.Qwen2VLVideoProcessor)
    return hf.Qwen2VLForConditionalGeneration(config), processor


@builds("qwen2_5_vl")
def qwen2_5_vl() -> Built:
    words = qwen_words()
    config = hf.Qwen2_5_VLConfig(
        vision_config={
            "depth": 2,
            "hidden_size": 16,
            "intermediate_size": 24,
            "out_hidden_size": 32,
            "num_heads": 2,
            "patch_size": 4,
            "window_size": 16,
            "fullatt_block_indexes": [1],
        },
        text_config={**TEXT, "rope_parameters": SECTIONS},
        **qwen_ids(words),
    )
    processor = qwen_processor(hf.Qwen2_5_VLProcessor, words, hf.Qwen2VLVideoProcessor)
    return hf.Qwen2_5_VLForConditionalGeneration(config), processor


QWEN_VISION = {
    "depth": 1,
    "hidden_size": 16,
    "intermediate_size": 24,
    "out_hidden_size": 32,
    "num_heads": 2,
    "patch_size": 4,
    "num_position_embeddings": 16,
}


@builds("qwen3_vl")
def qwen3_vl() -> Built:
    words = qwen_words()
    config = hf.Qwen3VLConfig(
        vision_config={**QWEN_VISION, "depth": 3, "deepstack_visual_indexes": [0, 1]},
        text_config={**TEXT, "head_dim": 8, "rope_parameters": SECTIONS},
        **qwen_ids(words),
    )
    processor = qwen_processor(hf.Qwen3VLProcessor, words, hf.Qwen3VLVideoProcessor)
    return hf.Qwen3VLForConditionalGeneration(config), processor


@builds("qwen3_5")
def qwen3_5() -> Built:
    """Three layers of linear attention, then one of attention with gated outputs."""
    words = qwen_words()
    config = hf.Qwen3_5Config(
        vision_config=QWEN_VISION,
        text_config={
            **TEXT,
            "head_dim": 8,
            "linear_num_value_heads": 2,
            "linear_num_key_heads": 2,
            "linear_key_head_dim": 8,
            "linear_value_head_dim": 8,
            "rope_parameters": {**SECTIONS, "partial_rotary_factor": 1.0},
        },
        **qwen_ids(words),
    )
    processor = qwen_processor(hf.Qwen3VLProcessor, words, hf.Qwen3VLVideoProcessor)
    return hf.Qwen3_5ForConditionalGeneration(config), processor
