"""The demo model and its held-out scenes: reproducible data, a checkpoint that loads like others and hallucinates."""

from __future__ import annotations

import io
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

import hallu_models
import hallu_tasks
from hallu_models import processing
from hallu_models.demo import held_out, scenes, train
from hallu_models.hosts.checkpoints import DEMO
from hallu_tasks.scoring import chair, pope

DATA = Path(hallu_tasks.path()) / "demo"


@pytest.fixture(scope="module")
def host():
    return hallu_models.load("demo")


def pixels(png):
    return np.asarray(Image.open(io.BytesIO(png)))


def test_the_shipped_data_are_what_the_script_writes():
    for name, table in held_out.tables():
        shipped = pq.read_table(DATA / f"{name}.parquet").to_pylist()
        made = table.to_pylist()
        if name == "scenes":  # Encoded pictures may differ between image libraries; pixels may not.
            for one, other in zip(shipped, made, strict=True):
                assert (pixels(one.pop("image")["bytes"]) == pixels(other.pop("image")["bytes"])).all()
        assert shipped == made


def test_held_out_scenes_are_not_training_scenes():
    trained = {next(stream)[0].things for seed in (1, 1001) for stream in [scenes.stream(seed)] for _ in range(500)}
    assert not trained & {scene.things for scene in held_out.held_out()}


def test_the_ground_truth_is_what_was_drawn():
    rows = pq.read_table(DATA / "scenes.parquet").to_pylist()
    assert len(rows) >= 500
    for row, scene in zip(rows, held_out.held_out(), strict=True):
        assert row["objects"] == sorted({thing.category for thing in scene.things})
    questions = pq.read_table(DATA / "pope.parquet").to_pylist()
    for question in questions:
        named = chair.objects(question["question"])
        assert (named[0] in rows[question["image_id"]]["objects"]) == (question["answer"] == "Yes")
    assert sum(question["answer"] == "Yes" for question in questions) == len(questions) / 2


def test_every_category_is_found_by_the_chair_scorer():
    """A name that the scorer misses would hide hallucinations."""
    for name in scenes.NAMES:
        assert chair.objects(f"There is {scenes.with_article(name)}.") == [name]


def test_a_truthful_caption_has_no_hallucination_and_full_recall():
    rng = np.random.default_rng(3)
    truths, captions, training = {}, {}, {}
    for index in range(300):
        scene = scenes.draw_scene(rng, 10.0)
        truths[index] = set(scene.counts)
        captions[index] = scenes.caption(scene, rng, prior=0)
        training[index] = scenes.caption(scene, rng)
    assert chair.score(captions, truths)["chair_i"] == 0
    assert chair.score(captions, truths)["recall"] == 100
    assert chair.score(training, truths)["chair_s"] > 15  # Where the model gets its prior from.


def test_words_of_the_tokenizer_survive_a_round_trip(host):
    tokenizer = host.processor.tokenizer
    rng = np.random.default_rng(4)
    for _ in range(50):
        text = scenes.caption(scenes.draw_scene(rng, 10.0), rng)
        assert tokenizer.decode(tokenizer(text)["input_ids"], skip_special_tokens=True) == text


def test_the_prompt_of_training_is_the_prompt_of_the_chat_template(host):

    image = held_out.held_out(number=1)[0].image()
    inputs = processing.encode(host, [hallu_models.conversation(image, "Describe this image.")])
    encode = host.processor.tokenizer.encode
    image_tokens = [host.model.config.image_token_id] * 64
    expected = encode("USER:") + image_tokens + encode("Describe this image. ASSISTANT:", add_special_tokens=False)
    assert inputs["input_ids"][0].tolist() == expected


def test_training_sees_pixels_as_the_image_processor_makes_them(host):
    scene = held_out.held_out(number=1)[0]
    processed = host.processor.image_processor(scene.image(), return_tensors="pt")["pixel_values"]
    assert (train.pixels(host.processor, [scene]) - processed).abs().max() < 1e-5


def test_packed_answers_are_trained_as_if_they_stood_alone(host):
    """Logits of each answer in a packed row equal those of the same text in a row of its own."""
    import torch

    stream = scenes.stream(5)
    batch = [next(stream) for _ in range(2)]
    packed = train.Packed(host.processor.tokenizer, batch, questions=3)
    model = host.model
    with torch.no_grad():
        features = train.image_features(model, train.pixels(host.processor, [scene for scene, _ in batch]))
        rows = model.get_input_embeddings()(packed.ids)
        rows = rows.masked_scatter(packed.image[:, :, None], model.model.multi_modal_projector(features))
        hidden = model.get_decoder()(
            inputs_embeds=rows, attention_mask=packed.mask, position_ids=packed.positions, use_cache=False
        ).last_hidden_state
        prefix = int(packed.image[0].nonzero().max()) + 1
        starts = [at for at in range(prefix, packed.ids.shape[1]) if packed.positions[0, at] == prefix]
        assert len(starts) == 4
        for start, end in pairwise(starts):
            alone = torch.cat([rows[0, :prefix], rows[0, start:end]])[None]
            expected = model.get_decoder()(inputs_embeds=alone, use_cache=False).last_hidden_state[0, prefix:]
            torch.testing.assert_close(hidden[0, start:end], expected, atol=1e-4, rtol=1e-4)


def test_the_checkpoint_is_small_and_of_the_real_architecture(host):
    assert sum(file.stat().st_size for file in DEMO.iterdir()) <= 10_000_000
    assert type(host.model).__name__ == "LlavaForConditionalGeneration"
    assert host.family == "llava"


def test_the_greedy_model_really_hallucinates(host):
    """In a sample of the held-out scenes; the whole set is measured in the demo model's README."""
    drawn = held_out.held_out(number=64)
    answers = []
    for start in range(0, 64, 16):
        batch = [
            hallu_models.conversation(scene.image(), scenes.CAPTION_PROMPTS[0]) for scene in drawn[start : start + 16]
        ]
        answers += host.generate(batch, max_new_tokens=64)
    truth = {index: set(scene.counts) for index, scene in enumerate(drawn)}
    captions = {index: answer.text for index, answer in enumerate(answers)}
    scores = chair.score(captions, truth)
    assert 20 <= scores["chair_s"] <= 65
    assert scores["recall"] >= 65
    rng = np.random.default_rng(0)
    asked = [(scene, question) for scene in drawn[:32] for question in held_out.pope_questions(scene, rng)]
    replies = host.generate([hallu_models.conversation(scene.image(), q.text) for scene, q in asked], max_new_tokens=8)
    result = pope.score([reply.text for reply in replies], [q.answer.lower() for _, q in asked])
    assert 65 <= result["accuracy"] <= 97
    assert result["unparsed_count"] == 0
