"""Tiny random models of the real transformers classes with their real processors, one builder a family.

Three or four decoder layers, grouped heads where the family has them, pictures of a few patches. Weights are large
enough that heads differ and no logit is a near-tie.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
import transformers as hf
from families.words import template, tokenizer
from transformers.models.smolvlm import processing_smolvlm as smolvlm_processing

Built = tuple[Any, Any]
BUILDERS: dict[str, Callable[[], Built]] = {}
SEEDS = {"qwen3_5": 2}
"""Other weights where those of seed 0 put a linear attention's output close to the zero that its norm divides by."""

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


@functools.cache
def built(family: str) -> Built:
    """Model and processor of a family, built once."""
    torch.manual_seed(0)
    model, processor = BUILDERS[family]()
    return randomized(model, SEEDS.get(family, 0)), processor


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
        if getattr(part, "generation_config", None) is not None:
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


BLIP_VISION = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "image_size": 16,
    "patch_size": 4,
}
QFORMER = {
    "vocab_size": 128,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "encoder_hidden_size": 16,
    "cross_attention_frequency": 2,
    "max_position_embeddings": 128,
}


@builds("instructblip")
def instructblip() -> Built:
    words = tokenizer("<image>")
    config = hf.InstructBlipConfig(
        vision_config=hf.InstructBlipVisionConfig(**BLIP_VISION),
        qformer_config=hf.InstructBlipQFormerConfig(**QFORMER),
        text_config=hf.LlamaConfig(**{**TEXT, "num_key_value_heads": 4}),
        num_query_tokens=8,
        image_token_id=words.convert_tokens_to_ids("<image>"),
    )
    processor = hf.InstructBlipProcessor(
        image_processor=hf.BlipImageProcessor(size=SIZE),
        tokenizer=words,
        qformer_tokenizer=tokenizer(),
        num_query_tokens=8,
    )
    return hf.InstructBlipForConditionalGeneration(config), processor


@builds("blip2")
def blip2() -> Built:
    words = tokenizer("<image>")
    config = hf.Blip2Config(
        vision_config=hf.Blip2VisionConfig(**BLIP_VISION),
        qformer_config=hf.Blip2QFormerConfig(**QFORMER),
        text_config=hf.OPTConfig(
            vocab_size=128,
            hidden_size=32,
            word_embed_proj_dim=32,
            ffn_dim=48,
            num_hidden_layers=4,
            num_attention_heads=4,
            max_position_embeddings=512,
            pad_token_id=0,
            bos_token_id=1,
            eos_token_id=2,
            tie_word_embeddings=False,
        ),
        num_query_tokens=8,
        image_token_id=words.convert_tokens_to_ids("<image>"),
    )
    processor = hf.Blip2Processor(image_processor=hf.BlipImageProcessor(size=SIZE), tokenizer=words, num_query_tokens=8)
    return hf.Blip2ForConditionalGeneration(config), processor


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
    return tokenizer("<|im_start|>", "<|im_end|>", start=False, **QWEN_TOKENS)


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
    # The package spells out numbers in prompts about videos, which have no part here.
    smolvlm_processing.num2words = str
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
