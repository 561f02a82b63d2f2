"""Idefics, SmolVLM and Mistral: an image is cut into tiles or rows, with tokens between them."""

from __future__ import annotations

from unittest import mock

import transformers as hf
from transformers.models.smolvlm import processing_smolvlm

from hallu_models.testing.families.blip import BLIP_VISION
from hallu_models.testing.families.parts import TEXT, Built, builds, image_id
from hallu_models.testing.families.words import template, tokenizer

IDEFICS_TOKENS = [
    "<fake_token_around_image>",
    "<end_of_utterance>",
    "<global-img>",
    *(f"<row_{row}_col_{column}>" for row in (1, 2) for column in (1, 2)),
]


@builds("idefics3")
def idefics3() -> Built:
    words = tokenizer("<image>", *IDEFICS_TOKENS)
    config = hf.Idefics3Config(
        vision_config={**BLIP_VISION, "image_size": 16, "patch_size": 4},
        text_config=hf.LlamaConfig(**TEXT),
        image_token_id=words.convert_tokens_to_ids("<image>"),
        scale_factor=2,
    )
    config.tie_word_embeddings = False
    processor = hf.Idefics3Processor(
        image_processor=hf.Idefics3ImageProcessor(size={"longest_edge": 32}, max_image_size={"longest_edge": 16}),
        tokenizer=words,
        image_seq_len=4,
        chat_template=template("<image>", start="{{ bos_token }}"),
    )
    return hf.Idefics3ForConditionalGeneration(config), processor


@builds("smolvlm")
def smolvlm() -> Built:
    words = tokenizer(
        *IDEFICS_TOKENS[3:],
        image_token="<image>",
        fake_image_token="<fake_token_around_image>",
        end_of_utterance_token="<end_of_utterance>",
        global_image_token="<global-img>",
        video_token="<video>",
    )
    config = hf.SmolVLMConfig(
        vision_config={**BLIP_VISION, "image_size": 16, "patch_size": 4},
        text_config=hf.LlamaConfig(**TEXT),
        image_token_id=image_id(words),
        scale_factor=2,
    )
    config.tie_word_embeddings = False
    # The package num2words spells out numbers in prompts about videos, which have no part here.
    with mock.patch.object(processing_smolvlm, "num2words", str):
        processor = hf.SmolVLMProcessor(
            image_processor=hf.SmolVLMImageProcessor(size={"longest_edge": 32}, max_image_size={"longest_edge": 16}),
            tokenizer=words,
            video_processor=hf.SmolVLMVideoProcessor(size={"longest_edge": 32}, max_image_size={"longest_edge": 16}),
            image_seq_len=4,
            chat_template=template("<image>", start="{{ bos_token }}"),
        )
    return hf.SmolVLMForConditionalGeneration(config), processor


@builds("mistral3")
def mistral3() -> Built:
    words = tokenizer("[IMG_BREAK]", "[IMG_END]", image_token="[IMG]")
    config = hf.Mistral3Config(
        vision_config=hf.PixtralVisionConfig(
            hidden_size=16,
            intermediate_size=24,
            num_hidden_layers=1,
            num_attention_heads=2,
            image_size=32,
            patch_size=4,
            head_dim=8,
        ),
        text_config=hf.MistralConfig(**{**TEXT, "head_dim": 8, "sliding_window": None}),
        image_token_id=image_id(words),
        spatial_merge_size=2,
    )
    config.tie_word_embeddings = False
    processor = hf.PixtralProcessor(
        image_processor=hf.PixtralImageProcessor(patch_size=8, size={"longest_edge": 32}),
        tokenizer=words,
        patch_size=4,
        spatial_merge_size=2,
        chat_template=template("[IMG]", start="{{ bos_token }}"),
    )
    return hf.Mistral3ForConditionalGeneration(config), processor
