"""AGLA: the matching model's GradCAM, the mask that is made of it, and what is read when."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from hallu_models.conversations import conversation
from hallu_models.hosts import matching
from hallu_models.interventions import BadArgument, pictures
from hallu_models.interventions.agla import AGLA, shown
from hallu_models.testing.families.matching import built
from hallu_models.testing.questions import host, picture

TINY = {"itm": "tiny-random"}


def test_relevance_is_attention_times_its_gradient():
    """Against a backward pass through the whole model."""
    model, processor = built()
    found, cosine = matching.load("tiny-random").relevance(picture(20, 14, 1), "Is there a DOG ? (yes or no)", 6)
    assert found.shape == (4, 4)
    text = processor.tokenizer("is there a dog ? yes or no", return_tensors="pt")["input_ids"]
    pixels = processor.image_processor(images=picture(20, 14, 1), return_tensors="pt")["pixel_values"]
    kept = {}

    def keep(_, args, output):
        output[1].retain_grad()
        kept["map"] = output[1]

    model.eval().text_encoder.encoder.layer[6].crossattention.self.register_forward_hook(keep)
    seen = model.vision_model(pixel_values=pixels).last_hidden_state
    encoding = text.clone()
    encoding[0, 0] = 127
    states = model.text_encoder(input_ids=encoding, encoder_hidden_states=seen).last_hidden_state
    model.itm_head(states[:, 0])[0, 1].backward()
    cam = (kept["map"] * kept["map"].grad.clamp(min=0))[0].mean(dim=0)
    expected = cam[1:-1, 1:].sum(dim=0) / (text.shape[1] - 2)
    assert expected.max().item() > 0
    torch.testing.assert_close(found.flatten(), expected.detach(), rtol=1e-4, atol=1e-9)
    alone = model.text_encoder(input_ids=text).last_hidden_state[0, 0]
    image = torch.nn.functional.normalize(model.vision_proj(seen[0, 0]), dim=0)
    word = torch.nn.functional.normalize(model.text_proj(alone), dim=0)
    assert cosine == pytest.approx((image @ word).item(), abs=1e-5)


def test_gradients_are_there_under_inference_mode_and_none_are_left():
    model = matching.load("tiny-random")
    first, _ = model.relevance(picture(16, 16, 2), "a dog", 6)
    with torch.inference_mode():
        again, _ = model.relevance(picture(16, 16, 2), "a dog", 6)
    assert torch.equal(first, again)
    assert all(parameter.grad is None for parameter in model._model.parameters())
    other, _ = model.relevance(picture(16, 16, 2), "a red bus", 6)
    assert not torch.equal(first, other)


def test_a_block_that_the_matching_model_lacks_and_a_model_that_is_not_there():
    with pytest.raises(ValueError, match="block=8: the matching model has 8 blocks"):
        AGLA(**TINY, block=8).other_image(picture(16, 16, 2), "a dog")
    with pytest.raises(ValueError, match="itm=nowhere/at-all: no BLIP image-text retrieval model was read from there"):
        AGLA(itm="nowhere/at-all").other_image(picture(16, 16, 2), "a dog")


def test_enlarging_and_smoothing_are_scipy_s():
    image = pytest.importorskip("scipy.ndimage")
    values = np.random.default_rng(0).random((6, 5))
    fine = image.zoom(values, (7, 8), order=3, mode="grid-constant", cval=0, grid_mode=True)
    found = pictures.enlarged(torch.as_tensor(values), 42, 40).numpy()
    np.testing.assert_allclose(found, fine.clip(values.min(), values.max()), atol=1e-6)
    for sigma in (0.8, 3.0, 30.0):
        expected = image.gaussian_filter(fine, sigma)
        np.testing.assert_allclose(pictures.smoothed(torch.as_tensor(fine), sigma).numpy(), expected, atol=1e-9)


@pytest.mark.parametrize(("similarity", "share"), [(0.0, 1.0), (0.5, 0.75), (1.0, 0.5), (-0.4, 1.0)])
def test_the_better_the_match_the_less_stays(similarity, share):
    relevance = torch.rand(4, 4, generator=torch.Generator().manual_seed(1))
    kept = shown(relevance, similarity, 32)
    assert int(kept.sum()) == min(int(min(share, 1 - 1e-5) * 1024) + 1, 1024)
    spread = (relevance - relevance.min()) / (relevance.max() - relevance.min())
    smooth = pictures.smoothed(pictures.enlarged(spread, 32, 32), 0.64)
    assert bool(kept.all()) or float(smooth[kept].min()) >= float(smooth[~kept].max())


def test_without_any_relevance_all_stays():
    assert bool(shown(torch.zeros(4, 4), 0.3, 32).all())


def test_what_goes_is_black_at_the_image_s_own_size():
    kept = torch.tensor([[True, False], [False, True]])
    image = Image.fromarray(np.full((6, 8, 3), 200, dtype=np.uint8))
    made = np.asarray(pictures.masked(image, kept))
    assert made.shape == (6, 8, 3)
    assert (made[:3, :4] == 200).all() and (made[3:, 4:] == 200).all()
    assert (made[:3, 4:] == 0).all() and (made[3:, :4] == 0).all()


def test_answers_with_a_masked_image_and_what_is_observed():
    found, image = host("llava"), picture(40, 16, 2)
    asked = [conversation(image, "is there a dog ?"), conversation(None, "two people ?")]
    made = found.generate(asked, "agla", max_new_tokens=4, **TINY)
    expected = AGLA(**TINY).other_image(image, "is there a dog ?")
    seen = made[0].observations
    assert seen["similarity"].values[0, 0] == pytest.approx(expected.observed["similarity"], abs=1e-6)
    assert seen["kept"].values[:, 0].tolist() == [pytest.approx(expected.observed["kept"], abs=1e-6), -1]
    (given,) = found.generate(asked[:1], "agla", max_new_tokens=4, other_images=[expected.image])
    assert given.token_ids == made[0].token_ids


@pytest.mark.parametrize("wrong", [{"alpha": -1.0}, {"beta": 2.0}, {"block": -1}])
def test_values_out_of_range_are_refused(wrong):
    with pytest.raises(BadArgument, match=f"agla: {next(iter(wrong))}="):
        AGLA(**wrong)
