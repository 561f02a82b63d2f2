"""RITUAL: copies that belong to their image, transforms as torchvision's, and where copies are made."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image
from test_adapter import DOCS, requests, texts

import hallu_models
from hallu_models import generation, models, processing
from hallu_models.conversations import conversation
from hallu_models.interventions import BadArgument, pictures
from hallu_models.interventions.ritual import RITUAL, TRANSFORMS
from hallu_models.testing.questions import host, picture


def smooth(width, height, seed=0):
    """A picture without hard edges, in which rounding and interpolation agree."""
    small = picture(6, 5, seed)
    return small.resize((width, height), resample=Image.Resampling.BICUBIC)


def apart(first, second):
    """Mean and largest difference of two pictures, in steps of 256."""
    difference = np.abs(np.asarray(first, dtype=int) - np.asarray(second, dtype=int))
    return float(difference.mean()), int(difference.max())


FACTORS, ORDER = [1.4, 0.6, 1.7, -0.2], [2, 0, 3, 1]


def jittered(functional, image):
    adjust = (
        functional.adjust_brightness,
        functional.adjust_contrast,
        functional.adjust_saturation,
        functional.adjust_hue,
    )
    for index in ORDER:
        image = adjust[index](image, FACTORS[index])
    return image


SAME = {
    "horizontal flip": (pictures.horizontal_flip, lambda f, image: f.hflip(image)),
    "vertical flip": (pictures.vertical_flip, lambda f, image: f.vflip(image)),
    "rotation": (lambda image: pictures.rotate(image, 33.0), lambda f, image: f.rotate(image, 33.0)),
    "color jitter": (lambda image: pictures.color_jitter(image, FACTORS, ORDER), jittered),
    "blur": (lambda image: pictures.gaussian_blur(image, 13, 1.7), lambda f, image: f.gaussian_blur(image, 13, 1.7)),
    "crop": (
        lambda image: pictures.resized_crop(image, 5, 3, 20, 12),
        lambda f, image: f.resized_crop(image, 3, 5, 12, 20, [image.height, image.width]),
    ),
}


@pytest.mark.parametrize("name", SAME)
def test_a_transform_is_torchvision_s(name):
    functional = pytest.importorskip("torchvision.transforms.functional")
    ours, theirs = SAME[name]
    image = smooth(48, 30)
    made = ours(image)
    assert made.size == image.size
    assert made.mode == "RGB"
    mean, largest = apart(made, theirs(functional, image))
    assert mean < 0.5
    assert largest <= 2
    assert apart(made, image)[0] > 1


def test_every_transform_is_drawn_and_belongs_to_the_image_and_the_seed():
    method, images = RITUAL(), [picture(20, 14, seed) for seed in range(60)]
    made = [method.other_image(image, "").image for image in images]
    drawn = [method.other_image(image, "").observed["transform"] for image in images]
    assert sorted(set(drawn)) == list(range(6))
    assert all(one.size == (20, 14) for one in made)
    again = [RITUAL().other_image(image.copy(), "another question") for image in reversed(images)]
    assert [one.observed["transform"] for one in reversed(again)] == drawn
    assert all(one.image.tobytes() == first.tobytes() for one, first in zip(reversed(again), made))
    other = [RITUAL(image_seed=1).other_image(image, "").observed["transform"] for image in images]
    assert other != drawn
    # What is drawn within a transform differs too.
    for name in ("rotation", "color_jitter", "gaussian_blur", "crop"):
        image = smooth(20, 14)
        kinds = {RITUAL(transform=name, image_seed=seed).other_image(image, "").image.tobytes() for seed in range(5)}
        assert len(kinds) == 5, name


def test_parts_have_the_shares_that_were_asked_for():
    draw, image = torch.Generator().manual_seed(0), picture(60, 40, 1)
    parts = [pictures.random_part(image, draw, (0.08, 1), (3 / 4, 4 / 3)) for _ in range(400)]
    shares = torch.tensor([wide * high / 2400 for _, _, wide, high in parts])
    assert 0.07 < float(shares.min()) < 0.12
    assert float(shares.max()) > 0.8
    assert all(0 <= left <= 60 - wide and 0 <= top <= 40 - high for left, top, wide, high in parts)
    # No part of these shapes fits: the largest in the middle.
    assert pictures.random_part(picture(50, 2, 1), draw, (0.9, 1), (3 / 4, 4 / 3)) == [23, 0, 3, 2]


def test_tiny_pictures_are_blurred_too():
    assert pictures.gaussian_blur(picture(4, 3, 1), 13, 1.5).size == (4, 3)


def test_an_image_of_the_prompt_and_the_same_copy_of_it_are_observed():
    """Rows with several images, one, and none; two beams."""
    found = host("llava")
    several = [
        {
            "role": "user",
            "content": [
                {"type": "image", "image": picture(16, 16, 1)},
                {"type": "image", "image": picture(16, 16, 2)},
                {"type": "text", "text": "what ?"},
            ],
        }
    ]
    asked = [several, conversation(picture(16, 16, 2), "what ?"), conversation(None, "what ?")]
    with hallu_models.attach(found, "ritual", check=False) as session:
        generation.generate_in(session, asked, max_new_tokens=2, num_beams=2)
        seen = session.observations["transform"]
    assert seen.axes == ("row", "image")
    first, second = (RITUAL().other_image(picture(16, 16, seed), "").observed["transform"] for seed in (1, 2))
    assert seen.values.tolist() == [[first, second]] * 2 + [[second, -1]] * 2 + [[-1, -1]] * 2


def test_none_is_sharpening_alone():
    """4 l at alpha=3: in greedy decoding the plain answer."""
    found, asked = host("llava"), [conversation(picture(16, 16, 1), "what is this ?")]
    (plain,) = found.generate(asked, max_new_tokens=6)
    (control,) = found.generate(asked, "ritual", max_new_tokens=6, transform="none")
    assert control.token_ids == plain.token_ids
    assert control.observations["transform"].values.tolist() == [[TRANSFORMS.index("none")]]


def test_other_images_that_are_given_are_taken():
    found, asked = host("llava"), [conversation(picture(16, 16, 1), "what is this ?")]
    flipped = pictures.vertical_flip(picture(16, 16, 1))
    (given,) = found.generate(asked, "ritual", max_new_tokens=6, other_images=[flipped])
    (made,) = found.generate(asked, "ritual", max_new_tokens=6, transform="vertical_flip")
    assert given.token_ids == made.token_ids
    assert "transform" not in given.observations


def test_model_inputs_alone_hold_no_images_to_copy():
    found = host("llava")
    inputs = processing.encode(found, [conversation(picture(16, 16, 1), "what ?")])
    with (
        hallu_models.attach(found, "ritual", check=False),
        pytest.raises(ValueError, match=r"ritual makes another image of each .*Host\.generate\(\), or .*other_images="),
    ):
        found.model.generate(**inputs, max_new_tokens=2)
    copy = RITUAL().other_image(picture(16, 16, 1), "").image
    with hallu_models.attach(found, "ritual", check=False, other_images=[copy]):
        given = found.model.generate(**inputs, max_new_tokens=4)
    (made,) = found.generate([conversation(picture(16, 16, 1), "what ?")], "ritual", max_new_tokens=4)
    assert given[0, inputs["input_ids"].shape[1] :].tolist()[: len(made.token_ids)] == list(made.token_ids)


@pytest.mark.parametrize("family", ["qwen2_5_vl", "llava_next"])
def test_copies_take_as_many_tokens(family):
    """Where the size decides how many."""
    found, image = host(family), picture(40, 16, 3)
    lengths = {
        processing.encode(found, [conversation(copy, "what ?")])["input_ids"].shape
        for copy in (image, *(RITUAL(transform=name).other_image(image, "").image for name in TRANSFORMS))
    }
    assert len(lengths) == 1


@pytest.mark.parametrize("wrong", [{"alpha": -1.0}, {"beta": 2.0}, {"transform": "blur"}, {"image_seed": -1}])
def test_values_out_of_range_are_refused(wrong):
    with pytest.raises(BadArgument, match=f"ritual: {next(iter(wrong))}="):
        dataclasses.replace(RITUAL(), **wrong)


def test_a_run_of_lmms_eval_makes_the_same_copies_in_any_batch(tmp_path, monkeypatch):
    monkeypatch.setenv("HALLU_RECOVERY", str(tmp_path))
    answers = []
    for size in (1, 5):
        model = models.llava_ritual(pretrained="demo", device="cpu", batch_size=size)
        answers.append(texts(model.generate_until(requests(model, DOCS[:5]))))
    assert answers[0] == answers[1]
    image = model.documents.conversation(requests(model, DOCS[:1])[0])
    (alone,) = model.host.generate([image], "ritual", max_new_tokens=12)
    assert alone.text == answers[0][0]
