"""BLIP: an image becomes a few queries about all of it."""

from __future__ import annotations

import transformers as hf

from hallu_models.testing.families.parts import SIZE, TEXT, Built, builds
from hallu_models.testing.families.words import tokenizer

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
