"""A tiny random LLaVA of six layers, with and without grouped heads, and batches of ids for it without a processor."""

from __future__ import annotations

import torch
from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration, MistralConfig

IMAGE, PAD, START, END = 3, 0, 1, 2
IMAGE_TOKENS = 16


def tiny_llava(
    kv_heads: int, seed: int = 0, attention: str = "sdpa", window: int | None = None
) -> LlavaForConditionalGeneration:
    """Six language layers of four heads; weights large enough that heads differ and no logit is a near-tie.

    window: columns that a position sees, itself included.
    """
    torch.manual_seed(seed)
    kind, more = (LlamaConfig, {}) if window is None else (MistralConfig, {"sliding_window": window})
    text = kind(
        **more,
        vocab_size=64,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=6,
        num_attention_heads=4,
        num_key_value_heads=kv_heads,
        max_position_embeddings=256,
        initializer_range=0.2,
        pad_token_id=PAD,
        bos_token_id=START,
        eos_token_id=END,
    )
    vision = CLIPVisionConfig(
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        image_size=16,
        patch_size=4,
        initializer_range=0.2,
    )
    config = LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_id=IMAGE,
        vision_feature_layer=-1,
        image_seq_length=IMAGE_TOKENS,
    )
    config.tie_word_embeddings = False
    config._attn_implementation = attention
    model = LlavaForConditionalGeneration(config).eval()
    with torch.no_grad():
        for parameter in model.model.multi_modal_projector.parameters():
            parameter.normal_(0, 0.3)
    model.generation_config.eos_token_id = None  # Answers of a fixed length.
    model.generation_config.pad_token_id = PAD
    return model


def prompts(lengths: list[tuple[int, int]], images: list[bool] | None = None, seed: int = 1) -> dict[str, torch.Tensor]:
    """A left-padded batch: for each row this many text tokens before and after the image (if it has one)."""
    generator = torch.Generator().manual_seed(seed)
    images = images or [True] * len(lengths)
    rows = []
    for (before, after), has_image in zip(lengths, images):
        text = torch.randint(4, 64, (before + after,), generator=generator)
        middle = torch.full((IMAGE_TOKENS if has_image else 0,), IMAGE)
        rows.append(torch.cat([torch.tensor([START]), text[:before], middle, text[before:]]))
    width = max(len(row) for row in rows)
    ids = torch.full((len(rows), width), PAD)
    mask = torch.zeros_like(ids)
    for index, row in enumerate(rows):
        ids[index, width - len(row) :] = row
        mask[index, width - len(row) :] = 1
    pixels = torch.randn(sum(images), 3, 16, 16, generator=generator)
    batch = {"input_ids": ids, "attention_mask": mask}
    return {**batch, "pixel_values": pixels} if any(images) else batch


def take(batch: dict[str, torch.Tensor], row: int) -> dict[str, torch.Tensor]:
    """One row of a batch of :func:`prompts`, without its padding."""
    keep = batch["attention_mask"][row].bool()
    ids = batch["input_ids"][row, keep][None]
    single = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    if IMAGE in ids:
        image = int((batch["input_ids"][:row] == IMAGE).any(dim=1).sum())
        single["pixel_values"] = batch["pixel_values"][image : image + 1]
    return single


MIXED = [(2, 9), (5, 3), (1, 12), (3, 5)]
"""Prompt lengths of four rows with different padding."""
