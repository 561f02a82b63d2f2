"""LLaVA and its kin: an image is a grid of patches, or several tiles of one."""

from __future__ import annotations

import transformers as hf

from hallu_models.testing.families.parts import (
    SIZE,
    TEXT,
    Built,
    builds,
    clip_images,
    clip_vision,
    image_id,
    siglip_vision,
)
from hallu_models.testing.families.words import template, tokenizer


@builds("llava")
def llava() -> Built:
    words = tokenizer(image_token="<image>")
    config = hf.LlavaConfig(
        vision_config=clip_vision(),
        text_config=hf.LlamaConfig(**TEXT),
        image_token_id=image_id(words),
        vision_feature_layer=-1,
        image_seq_length=16,
    )
    processor = hf.LlavaProcessor(
        image_processor=clip_images(),
        tokenizer=words,
        patch_size=4,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=template("<image>"),
    )
    return hf.LlavaForConditionalGeneration(config), processor


PINPOINTS = [[16, 32], [32, 16], [32, 32]]


@builds("llava_next")
def llava_next() -> Built:
    words = tokenizer(image_token="<image>")
    config = hf.LlavaNextConfig(
        vision_config=clip_vision(),
        text_config=hf.LlamaConfig(**TEXT),
        image_token_id=image_id(words),
        vision_feature_layer=-1,
        image_grid_pinpoints=PINPOINTS,
        image_seq_length=16,
    )
    processor = hf.LlavaNextProcessor(
        image_processor=hf.LlavaNextImageProcessor(
            size={"shortest_edge": 16}, crop_size=SIZE, image_grid_pinpoints=PINPOINTS
        ),
        tokenizer=words,
        patch_size=4,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=template("<image>"),
    )
    return hf.LlavaNextForConditionalGeneration(config), processor


@builds("llava_onevision")
def llava_onevision() -> Built:
    words = tokenizer(image_token="<image>", video_token="<video>", start=False)
    config = hf.LlavaOnevisionConfig(
        vision_config=siglip_vision(),
        text_config=hf.Qwen2Config(**TEXT),
        image_token_id=image_id(words),
        video_token_id=image_id(words, "video_token"),
        image_grid_pinpoints=PINPOINTS,
    )
    processor = hf.LlavaOnevisionProcessor(
        image_processor=hf.LlavaOnevisionImageProcessor(size=SIZE, image_grid_pinpoints=PINPOINTS),
        tokenizer=words,
        video_processor=hf.LlavaOnevisionVideoProcessor(size=SIZE),
        num_image_tokens=16,
        vision_feature_select_strategy="full",
        chat_template=template("<image>"),
    )
    return hf.LlavaOnevisionForConditionalGeneration(config), processor


@builds("vipllava")
def vipllava() -> Built:
    words = tokenizer(image_token="<image>")
    config = hf.VipLlavaConfig(
        vision_config=clip_vision(layers=3),
        text_config=hf.LlamaConfig(**TEXT),
        image_token_id=image_id(words),
        vision_feature_layers=[-1, -2, 1],
        image_seq_length=16,
    )
    config.vision_feature_layers = [-1, -2, 1]
    processor = hf.LlavaProcessor(
        image_processor=clip_images(),
        tokenizer=words,
        patch_size=4,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=template("<image>"),
    )
    return hf.VipLlavaForConditionalGeneration(config), processor
