"""Train the demo model from scratch: ``python -m hallu_models.demo.train --output FOLDER``.

Two stages on two CPU cores. First the vision tower and the projector learn to name what is in each of the 16 cells, in
the language model's own word embeddings. Then the whole LLaVA learns captions and yes/no questions; the loss is
averaged per answer first, so that a caption weighs as much as two one-word answers. All answers of one picture share
its image tokens in one row: a block mask keeps them from seeing each other and positions restart behind the picture,
so each is trained as if it stood alone.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from transformers import (
    CLIPImageProcessor,
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)
from transformers import LlavaForConditionalGeneration as Llava

from hallu_models.demo import scenes

Log = Callable[..., None]

PATCH = 8
SHARPNESS = 12.0
"""Factor on cosines in stage 1."""
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'user' %}USER: {% elif message['role'] == 'assistant' %} ASSISTANT: {% endif %}"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] if part['type'] == 'image' %}<image> {% endfor %}"
    "{% for part in message['content'] if part['type'] == 'text' %}{{ part['text'] }}{% endfor %}"
    "{% endif %}{% endfor %}{% if add_generation_prompt %} ASSISTANT:{% endif %}"
)
SPECIAL = ["<pad>", "<s>", "</s>", "<unk>", "<image>"]
# Words of common prompts that no training text holds, so that they are at least told apart.
EXTRA = (
    "a an all and any answer are be briefly can content could detail do does how I is it list many not object objects "
    "of or photo picture see single the there this using what which who with word yes no you your"
).split()


def build_processor() -> LlavaProcessor:
    """Word-level tokenizer and image processor of the demo model, with LLaVA-1.5's prompt layout."""
    texts = set(scenes.CAPTION_PROMPTS) | set(EXTRA) | {"USER: ASSISTANT:", "Yes", "No", "Please answer yes or no."}
    rng = np.random.default_rng(0)
    for scene, _ in (pair for pair, _ in zip(scenes.stream(0), range(3000))):
        texts.add(scenes.caption(scene, rng))
        texts.update(question.text for question in scenes.questions(scene, rng, 8))
    split = pre_tokenizers.Whitespace()
    words = sorted({word for text in texts for word, _ in split.pre_tokenize_str(text)})
    vocabulary = {token: index for index, token in enumerate(SPECIAL + words)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = split
    tokenizer.decoder = decoders.WordPiece(prefix="##", cleanup=True)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", vocabulary["<s>"])]
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        additional_special_tokens=["<image>"],
        padding_side="left",
        model_max_length=512,
    )
    image_processor = CLIPImageProcessor(
        size={"shortest_edge": scenes.SIZE},
        crop_size={"height": scenes.SIZE, "width": scenes.SIZE},
        image_mean=[0.3, 0.3, 0.3],
        image_std=[0.2, 0.2, 0.2],
    )
    return LlavaProcessor(
        image_processor=image_processor,
        tokenizer=fast,
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        image_token="<image>",
        chat_template=CHAT_TEMPLATE,
    )


def build_model(processor: LlavaProcessor) -> Llava:
    """A randomly initialised LLaVA of 2.4 million parameters: 4 vision layers, 8 language layers, width 128."""
    tokenizer = processor.tokenizer
    vision = CLIPVisionConfig(
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=4,
        num_attention_heads=4,
        image_size=scenes.SIZE,
        patch_size=PATCH,
    )
    text = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=344,
        num_hidden_layers=8,
        num_attention_heads=8,
        num_key_value_heads=8,
        max_position_embeddings=512,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    config = LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        vision_feature_layer=-1,
        vision_feature_select_strategy="default",
        image_seq_length=(scenes.SIZE // PATCH) ** 2,
    )
    config.tie_word_embeddings = False
    model = Llava(config)
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.generation_config.bos_token_id = tokenizer.bos_token_id
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    return model


def pixels(processor: LlavaProcessor, batch: Iterable[scenes.Scene]) -> Tensor:
    """Pixel values (B, 3, 64, 64), as the image processor makes them for pictures that need no resizing."""
    raw = torch.from_numpy(np.stack([scene.picture for scene in batch])).permute(0, 3, 1, 2).float() / 255
    mean, std = (
        torch.tensor(getattr(processor.image_processor, name))[:, None, None] for name in ("image_mean", "image_std")
    )
    return (raw - mean) / std


def image_features(model: Llava, pixel_values: Tensor) -> Tensor:
    """Vision tower output without the class token, (B, 64, 128)."""
    return model.model.vision_tower(pixel_values=pixel_values, output_hidden_states=True).hidden_states[-1][:, 1:]


def cell_labels(batch: list[scenes.Scene]) -> Tensor:
    """Category index of each cell (B, 16); the number of categories where the cell is empty."""
    labels = torch.full((len(batch), scenes.GRID**2), len(scenes.NAMES))
    for row, scene in enumerate(batch):
        for thing in scene.things:
            labels[row, thing.cell] = scenes.NAMES.index(thing.category)
    return labels


class Packed:
    """One training batch: a picture prefix and its answers per row, with block mask, positions and loss weights."""

    def __init__(
        self, tokenizer: PreTrainedTokenizerFast, batch: list[tuple[scenes.Scene, np.random.Generator]], questions: int
    ):
        image_token = tokenizer.convert_tokens_to_ids("<image>")
        encode = tokenizer.encode
        prefix = encode("USER:") + [image_token] * (scenes.SIZE // PATCH) ** 2
        rows = []
        for scene, rng in batch:
            pairs = [(str(rng.choice(scenes.CAPTION_PROMPTS)), scenes.caption(scene, rng))]
            pairs += [(question.text, question.answer) for question in scenes.questions(scene, rng, questions)]
            rows.append(
                [
                    (
                        encode(f"{text} ASSISTANT:", add_special_tokens=False),
                        [*encode(answer, add_special_tokens=False), tokenizer.eos_token_id],
                    )
                    for text, answer in pairs
                ]
            )
        start = len(prefix)
        length = start + max(sum(len(p) + len(a) for p, a in row) for row in rows)
        size = len(rows)
        self.ids = torch.full((size, length), tokenizer.pad_token_id)
        self.ids[:, :start] = torch.tensor(prefix)
        self.image = self.ids == image_token
        self.positions = torch.zeros(size, length, dtype=torch.long)
        self.positions[:, :start] = torch.arange(start)
        segment = torch.full((size, length), -1)
        segment[:, :start] = 0
        self.targets = torch.full((size, length), -100)
        self.weights = torch.zeros(size, length)
        for r, row in enumerate(rows):
            at = start
            for s, (prompt, answer) in enumerate(row, start=1):
                end = at + len(prompt) + len(answer)
                self.ids[r, at:end] = torch.tensor(prompt + answer)
                self.positions[r, at:end] = torch.arange(start, start + end - at)
                segment[r, at:end] = s
                first = at + len(prompt) - 1
                self.targets[r, first : end - 1] = torch.tensor(answer)
                # A caption weighs as much as two questions.
                self.weights[r, first : end - 1] = (2.0 if s == 1 else 1.0) / len(answer)
                at = end
        causal = torch.ones(length, length, dtype=torch.bool).tril()
        same = segment[:, :, None] == segment[:, None, :]
        seen = causal & (same | (segment == 0)[:, None, :])
        self.mask = torch.where(seen, 0.0, torch.finfo(torch.float32).min)[:, None]


def text_loss(model: Llava, packed: Packed, features: Tensor) -> Tensor:
    """Mean over answers of the mean token loss."""
    projected = model.model.multi_modal_projector(features)
    embeddings = model.get_input_embeddings()(packed.ids)
    embeddings = embeddings.masked_scatter(packed.image[:, :, None], projected.to(embeddings.dtype))
    hidden = model.model.language_model(
        inputs_embeds=embeddings,
        attention_mask=packed.mask.to(embeddings.dtype),
        position_ids=packed.positions,
        use_cache=False,
    ).last_hidden_state
    chosen = packed.targets != -100
    losses = nn.functional.cross_entropy(model.lm_head(hidden[chosen]), packed.targets[chosen], reduction="none")
    weights = packed.weights[chosen]
    return (losses * weights).sum() / weights.sum()


def optimise(parameters: Iterable[nn.Parameter], rate: float, steps: int) -> tuple[Optimizer, LRScheduler]:
    optimizer = torch.optim.AdamW(parameters, lr=rate, weight_decay=0.01, betas=(0.9, 0.98))
    return optimizer, torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps, pct_start=0.1)


def train_vision(model: Llava, processor: LlavaProcessor, steps: int, seed: int, log: Log) -> None:
    """Stage 1: the projected patches of a cell, averaged, point to the word embedding of the object in it."""
    words = model.get_input_embeddings().weight
    with torch.no_grad():
        words.normal_(0, 0.2)
    first = processor.tokenizer.convert_tokens_to_ids([name.split()[0] for name in scenes.NAMES])
    empty = nn.Parameter(torch.randn(1, words.shape[1]) * 0.2)
    eyes = [*model.model.vision_tower.parameters(), *model.model.multi_modal_projector.parameters()]
    optimizer, schedule = optimise([*eyes, words, empty], 1e-3, steps)
    stream = scenes.stream(seed)
    side, half = scenes.SIZE // PATCH, scenes.CELL // PATCH
    for step in range(1, steps + 1):
        batch = [next(stream)[0] for _ in range(64)]
        labels = cell_labels(batch)
        patches = model.model.multi_modal_projector(image_features(model, pixels(processor, batch)))
        grid = patches.view(64, side // half, half, side // half, half, -1).mean(dim=(2, 4)).flatten(1, 2)
        names = nn.functional.normalize(torch.cat([words[first], empty]), dim=-1)
        logits = SHARPNESS * nn.functional.normalize(grid, dim=-1) @ names.T
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten())
        advance(loss, optimizer, schedule)
        if step % 100 == 0 or step == steps:
            there = labels < len(scenes.NAMES)
            accuracy = (logits.argmax(-1) == labels)[there].float().mean().item()
            log(stage="vision", step=step, loss=round(loss.item(), 4), object_accuracy=round(100 * accuracy, 1))


def train_language(
    model: Llava, processor: LlavaProcessor, steps: int, batch_size: int, questions: int, seed: int, log: Log
) -> None:
    """Stage 2: captions and yes/no questions. The vision tower stays as stage 1 left it."""
    model.model.vision_tower.requires_grad_(False)
    optimizer, schedule = optimise((p for p in model.parameters() if p.requires_grad), 2e-3, steps)
    stream = scenes.stream(seed)
    total, since = 0.0, 0
    for step in range(1, steps + 1):
        batch = [next(stream) for _ in range(batch_size)]
        packed = Packed(processor.tokenizer, batch, questions)
        values = pixels(processor, [scene for scene, _ in batch])
        with torch.no_grad():
            features = image_features(model, values)
        loss = text_loss(model, packed, features)
        advance(loss, optimizer, schedule)
        total, since = total + loss.item(), since + 1
        if step % 50 == 0 or step == steps:
            log(stage="language", step=step, loss=round(total / since, 4))
            total, since = 0.0, 0
        if step % 400 == 0 or step == steps:
            log(stage="check", step=step, **check(model, processor))


def check(model: Llava, processor: LlavaProcessor, number: int = 64) -> dict[str, float]:
    """Greedy captions and answers on scenes of a third seed: CHAIR and POPE, in percent."""
    from hallu_models.conversations import conversation
    from hallu_models.demo import held_out
    from hallu_models.loading import inspect
    from hallu_tasks.scoring import chair, pope

    host = inspect(model.eval(), processor)
    rng = np.random.default_rng(30_000)
    drawn = [scenes.draw_scene(rng, held_out.NOISE) for _ in range(number)]
    captions = host.generate([conversation(s.image(), scenes.CAPTION_PROMPTS[0]) for s in drawn], max_new_tokens=64)
    asked = [(scene, question) for scene in drawn for question in held_out.pope_questions(scene, rng)]
    replies = host.generate([conversation(s.image(), question.text) for s, question in asked], max_new_tokens=4)
    model.train()
    truth = {index: set(scene.counts) for index, scene in enumerate(drawn)}
    found = chair.score({index: answer.text for index, answer in enumerate(captions)}, truth)
    said = pope.score([reply.text for reply in replies], [question.answer.lower() for _, question in asked])
    scores = {"chair_s": found["chair_s"], "recall": found["recall"], "pope_accuracy": said["accuracy"]}
    return {name: round(value or 0.0, 1) for name, value in scores.items()}


def advance(loss: Tensor, optimizer: Optimizer, schedule: LRScheduler) -> None:
    if not math.isfinite(loss.item()):
        raise RuntimeError("the loss is no longer finite")
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(
        [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None], 1.0
    )
    optimizer.step()
    schedule.step()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="folder for the checkpoint and training_log.jsonl")
    parser.add_argument("--vision-steps", type=int, default=1500)
    parser.add_argument("--steps", type=int, default=2400)
    parser.add_argument("--batch-size", type=int, default=24, help="pictures a step, each with one caption")
    parser.add_argument("--questions", type=int, default=3, help="yes/no questions a picture")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    began = time.time()

    with open(arguments.output / "training_log.jsonl", "w") as file:

        def log(**entry: Any) -> None:
            line = json.dumps({**entry, "minutes": round((time.time() - began) / 60, 2)})
            print(line, flush=True)
            file.write(line + "\n")
            file.flush()

        torch.manual_seed(arguments.seed)
        processor = build_processor()
        model = build_model(processor).train()
        log(stage="start", parameters=model.num_parameters(), vocabulary=len(processor.tokenizer), seed=arguments.seed)
        train_vision(model, processor, arguments.vision_steps, arguments.seed, log)
        train_language(
            model, processor, arguments.steps, arguments.batch_size, arguments.questions, arguments.seed + 1000, log
        )
    model.eval().save_pretrained(arguments.output)
    processor.save_pretrained(arguments.output)


if __name__ == "__main__":
    main()
