"""Models whose decoders differ: convolutions, cross-attention, visual features in early layers, windows."""

from __future__ import annotations

import transformers as hf

from hallu_models.testing.families.blip import BLIP_VISION
from hallu_models.testing.families.parts import SIZE, TEXT, Built, builds, image_id, siglip_vision
from hallu_models.testing.families.qwen import GRID_SIZE, SECTIONS
from hallu_models.testing.families.words import template, tokenizer


@builds("lfm2_vl")
def lfm2_vl() -> Built:
    """Short convolutions and attention in turn; an image's size decides its number of tokens."""
    words = tokenizer(
        image_token="<image>",
        image_start_token="<|image_start|>",
        image_end_token="<|image_end|>",
        image_thumbnail="<|img_thumbnail|>",
    )
    config = hf.Lfm2VlConfig(
        vision_config=hf.Siglip2VisionConfig(**{**BLIP_VISION, "num_patches": 16}),
        text_config=hf.Lfm2Config(**{**TEXT, "layer_types": ["conv", "full_attention", "conv", "full_attention"]}),
        image_token_id=image_id(words),
    )
    processor = hf.Lfm2VlProcessor(
        image_processor=hf.Lfm2VlImageProcessor(
            encoder_patch_size=4,
            min_image_tokens=1,
            max_image_tokens=16,
            tile_size=16,
            max_tiles=1,
            min_tiles=1,
            max_num_patches=64,
            do_image_splitting=False,
        ),
        tokenizer=words,
        chat_template=template("<image>"),
    )
    return hf.Lfm2VlForConditionalGeneration(config), processor


@builds("mllama")
def mllama() -> Built:
    """Two layers of self-attention, each followed by one of cross-attention; an image is cut into up to four tiles."""
    words = tokenizer(image_token="<|image|>")
    config = hf.MllamaConfig(
        vision_config={
            "hidden_size": 16,
            "intermediate_size": 24,
            "num_hidden_layers": 1,
            "num_global_layers": 1,
            "attention_heads": 2,
            "image_size": 16,
            "patch_size": 4,
            "vision_output_dim": 16 * 2,
            "intermediate_layers_indices": [0],
        },
        text_config={
            **TEXT,
            "cross_attention_layers": [1, 3],
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e4},
        },
        image_token_index=image_id(words),
    )
    model = hf.MllamaForConditionalGeneration(config)
    for name, parameter in model.named_parameters():
        if name.endswith(("gate", "gate_attn", "gate_ffn")):
            # A new model's gates are shut, so that no image would be seen.
            parameter.data.fill_(1.0)
    processor = hf.MllamaProcessor(
        image_processor=hf.MllamaImageProcessor(size=SIZE, max_image_tiles=4),
        tokenizer=words,
        chat_template=template("<|image|>", start="{{ bos_token }}"),
    )
    return model, processor


@builds("glm4v")
def glm4v() -> Built:
    words = tokenizer(
        "<|user|>",
        "<|assistant|>",
        "<|begin_of_video|>",
        "<|end_of_video|>",
        start=False,
        image_token="<|image|>",
        video_token="<|video|>",
        image_start_token="<|begin_of_image|>",
        image_end_token="<|end_of_image|>",
    )
    config = hf.Glm4vConfig(
        vision_config={
            "depth": 1,
            "hidden_size": 16,
            "intermediate_size": 24,
            "out_hidden_size": 32,
            "num_heads": 2,
            "patch_size": 4,
            "image_size": 16,
        },
        text_config={**TEXT, "rope_parameters": {**SECTIONS, "partial_rotary_factor": 1.0}},
        image_token_id=image_id(words),
        video_token_id=image_id(words, "video_token"),
        image_start_token_id=image_id(words, "image_start_token"),
        image_end_token_id=image_id(words, "image_end_token"),
        video_start_token_id=words.convert_tokens_to_ids("<|begin_of_video|>"),
        video_end_token_id=words.convert_tokens_to_ids("<|end_of_video|>"),
    )
    processor = hf.Glm4vProcessor(
        image_processor=hf.Glm4vImageProcessor(patch_size=4, merge_size=2, size=GRID_SIZE),
        tokenizer=words,
        video_processor=hf.Glm4vVideoProcessor(patch_size=4, merge_size=2, size=GRID_SIZE),
        chat_template=template(
            "<|begin_of_image|><|image|><|end_of_image|>",
            message="<|{role}|> {content} ",
            answer="<|assistant|>",
        ),
    )
    return hf.Glm4vForConditionalGeneration(config), processor


@builds("internvl")
def internvl() -> Built:
    words = tokenizer(
        start=False,
        context_image_token="<IMG_CONTEXT>",
        start_image_token="<img>",
        end_image_token="</img>",
        video_token="<video>",
    )
    config = hf.InternVLConfig(
        vision_config={
            "hidden_size": 16,
            "intermediate_size": 24,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "image_size": [16, 16],
            "patch_size": [4, 4],
        },
        text_config=hf.Qwen2Config(**TEXT),
        image_token_id=image_id(words, "context_image_token"),
        image_seq_length=4,
    )
    config.tie_word_embeddings = False
    processor = hf.InternVLProcessor(
        image_processor=hf.GotOcr2ImageProcessor(size=SIZE, crop_to_patches=True, max_patches=3),
        tokenizer=words,
        video_processor=hf.InternVLVideoProcessor(size=SIZE),
        image_seq_length=4,
        chat_template=template("<IMG_CONTEXT>"),
    )
    return hf.InternVLForConditionalGeneration(config), processor


@builds("gemma3")
def gemma3() -> Built:
    words = tokenizer(image_token="<image_soft_token>", boi_token="<start_of_image>", eoi_token="<end_of_image>")
    config = hf.Gemma3Config(
        vision_config=siglip_vision(),
        text_config={
            **TEXT,
            "head_dim": 8,
            "query_pre_attn_scalar": 8,
            "sliding_window": 12,
            "layer_types": ["sliding_attention", "full_attention", "sliding_attention", "full_attention"],
        },
        mm_tokens_per_image=4,
        image_token_id=image_id(words),
        boi_token_id=image_id(words, "boi_token"),
        eoi_token_id=image_id(words, "eoi_token"),
    )
    config.tie_word_embeddings = False
    processor = hf.Gemma3Processor(
        image_processor=hf.Gemma3ImageProcessor(size=SIZE),
        tokenizer=words,
        image_seq_length=4,
        chat_template=template("<start_of_image>", start="{{ bos_token }}"),
    )
    return hf.Gemma3ForConditionalGeneration(config), processor


@builds("paligemma")
def paligemma() -> Built:
    words = tokenizer(start=False, image_token="<image>")
    config = hf.PaliGemmaConfig(
        vision_config=siglip_vision(projection_dim=32),
        text_config=hf.Gemma2Config(
            **{
                **TEXT,
                "vocab_size": 128 + 1152,
                "head_dim": 8,
                "query_pre_attn_scalar": 8,
                "sliding_window": 12,
                "attn_logit_softcapping": 5.0,
            }
        ),
        image_token_id=image_id(words),
        projection_dim=32,
        hidden_size=32,
        vocab_size=128 + 1152,
    )
    config._attn_implementation = "eager"
    images = hf.SiglipImageProcessor(size=SIZE)
    images.image_seq_length = 16
    processor = hf.PaliGemmaProcessor(image_processor=images, tokenizer=words)
    return hf.PaliGemmaForConditionalGeneration(config), processor
