"""Prompts that negative rows read: the text alone, and pictures with other pixels, in any form a model has them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import pytest
import torch

from hallu_models import generation
from hallu_models.hosts import processors
from hallu_models.hosts.crossing import SEEING, SEEN, Crossing
from hallu_models.hosts.inputs import DecoderInputs, Deepstack
from hallu_models.interventions import Intervention, Prompt
from hallu_models.layout import Layout
from hallu_models.testing.questions import host, picture


def crossed(masks):
    """Four columns with an image beside them."""
    crossing = Crossing(torch.ones(1, 5, 2), masks)
    return DecoderInputs(torch.ones(1, 4, 2), torch.ones(1, 4, dtype=torch.bool), crossing=crossing)


def test_rows_without_an_image_beside_them_lie_below_rows_with_one():
    inputs = crossed({SEEN: torch.zeros(1, 1, 4, 5), SEEING: torch.ones(1, 1, 4, 1)})
    text = DecoderInputs(torch.ones(1, 4, 2), inputs.mask)
    both = inputs.below(text).crossing
    assert both.states.any(dim=-1).any(dim=-1).tolist() == [True, False]
    assert both.masks[SEEING][:, 0, :, 0].tolist() == [[1] * 4, [0] * 4]
    with pytest.raises(ValueError, match=f"need the processor's {SEEN}"):
        crossed({}).below(text)


def test_images_beside_the_columns_go_together_or_not_at_all():
    image = torch.tensor([[False, True, False, False]])
    layout = Layout(image, torch.zeros_like(image), ignored=image.roll(1))
    with pytest.raises(ValueError, match="leave images=all"):
        crossed({}).without_image(layout)


def test_rows_without_features_for_deeper_layers_lie_below_rows_with_them():
    image = torch.tensor([[False, True, True]])
    mask = torch.ones(1, 3, dtype=torch.bool)
    own = DecoderInputs(torch.ones(1, 3, 2), mask, deepstack=Deepstack(image, (torch.ones(2, 2),)))
    both = own.below(DecoderInputs(torch.ones(1, 3, 2), mask)).deepstack
    assert both.where.tolist() == [[False, True, True], [False, False, False]]
    assert both.features[0].shape == (2, 2)


def forms():
    """Model inputs of two pictures, and which of their pixels are real."""
    tiles = torch.ones(2, 3, 3, 4, 4)
    tiles[0, 2] = 0
    mask = torch.zeros(2, 1, 4, 6, dtype=torch.long)
    mask[0, 0, :2], mask[1, 0, :, :3] = 1, 1
    patches = torch.tensor([[1, 1, 0], [1, 1, 1]])
    sizes = torch.zeros(2, 3, 4, 6)
    sizes[0, :, :2, :6], sizes[1, :, :4, :3] = 1, 1
    return {
        "pictures": ({"pixel_values": torch.ones(2, 3, 4, 4)}, torch.ones(2, 3, 4, 4), 2),
        "tiles": ({"pixel_values": tiles, "image_sizes": torch.tensor([[8, 4], [8, 8]])}, tiles, 5),
        "masked tiles": (
            {"pixel_values": torch.ones(2, 1, 3, 4, 6), "pixel_attention_mask": mask},
            mask[:, :, None].expand(2, 1, 3, 4, 6),
            2,
        ),
        "padded pictures": (
            {"pixel_values": torch.ones(2, 3, 4, 6), "image_sizes": torch.tensor([[2, 6], [4, 3]])},
            sizes,
            2,
        ),
        "patches": (
            {"pixel_values": torch.ones(10, 7), "image_grid_thw": torch.tensor([[1, 2, 2], [1, 2, 3]])},
            torch.ones(10, 7),
            2,
        ),
        "padded patches": (
            {"pixel_values": torch.ones(2, 3, 5), "pixel_attention_mask": patches},
            patches[:, :, None].expand(2, 3, 5),
            2,
        ),
    }


@pytest.mark.parametrize("form", list(forms()))
def test_pixels_are_edited_picture_by_picture_and_padding_is_not(form):
    inputs, real, number = forms()[form]
    before = inputs["pixel_values"].clone()
    seen = []

    def edit(pixels):
        seen.append(pixels.shape)
        return pixels.double() + len(seen)

    changed = processors.edited_pixels(inputs, edit)["pixel_values"] - before
    assert len(seen) == number
    assert torch.equal(changed > 0, real > 0)
    assert changed.unique().tolist() == [*([0] if not real.all() else []), *range(1, number + 1)]
    assert torch.equal(inputs["pixel_values"], before)


def test_pixels_in_no_known_form_are_refused():
    with pytest.raises(ValueError, match=r"pixel_values of shape \(10, 7\) do not say"):
        processors.pieces({"pixel_values": torch.ones(10, 7)})


@dataclass(frozen=True)
class Inverted(Intervention):
    """Reads the prompt with inverted pictures."""

    name: ClassVar[str] = "inverted"
    layers: str = ""
    seen: list[Any] = field(default_factory=list)

    def read(self, prompt: Prompt) -> None:
        self.seen.append((prompt, prompt.run.with_pixels(self.name, lambda pixels: -pixels)))

    def token_logits(self, logits: Any, at: Any) -> Any:
        return logits + 0


@pytest.mark.parametrize("family", ["llava", "qwen3_vl"])
@pytest.mark.parametrize("images", ["all", "last"])
def test_of_several_pictures_the_chosen_ones_change(family, images):
    content = [{"type": "image", "image": picture(16, 16, seed)} for seed in (1, 2)]
    asked = [{"role": "user", "content": [*content, {"type": "text", "text": "what is in the picture ?"}]}]
    method = Inverted()
    generation.generate(host(family), [asked], method, max_new_tokens=1, images=images)
    ((prompt, changed),) = method.seen
    own = prompt.run.prompt
    away = (changed.embeddings != own.embeddings).any(dim=2)
    assert torch.equal(away, prompt.layout.image)
    if own.deepstack is not None:
        moved = (changed.deepstack.features[0] != own.deepstack.features[0]).any(dim=1)
        assert torch.equal(moved, prompt.layout.image[own.deepstack.where])


def test_pictures_beside_the_columns_change_together_or_not_at_all():
    content = [{"type": "image", "image": picture(16, 16, seed)} for seed in (1, 2)]
    asked = [{"role": "user", "content": [*content, {"type": "text", "text": "a cat ?"}]}]
    with pytest.raises(ValueError, match="inverted: .*leave images=all"):
        generation.generate(host("mllama"), [asked], Inverted(), max_new_tokens=1, images="last")


def test_an_error_of_the_pixels_names_the_method():
    def fail(pixels):
        raise ValueError("no")

    @dataclass(frozen=True)
    class Failing(Inverted):
        def read(self, prompt: Prompt) -> None:
            prompt.run.with_pixels(self.name, fail)

    asked = [{"role": "user", "content": [{"type": "image", "image": picture(16, 16, 1)}]}]
    with pytest.raises(ValueError, match="inverted: no"):
        generation.generate(host("llava"), [asked], Failing(), max_new_tokens=1)


@dataclass(frozen=True)
class Told(Inverted):
    """What tells each row's pictures from others."""

    name: ClassVar[str] = "told"

    def read(self, prompt: Prompt) -> None:
        self.seen.extend(prompt.run.fingerprints(self.name))


def asking(*seeds):
    content = [{"type": "image", "image": picture(16, 16 if seed < 3 else 32, seed)} for seed in seeds]
    return [{"role": "user", "content": [*content, {"type": "text", "text": "a cat ?"}]}]


def told(family, asked, **options):
    method = Told()
    generation.generate(host(family), asked, method, max_new_tokens=1, **options)
    return method.seen


@pytest.mark.parametrize("family", ["llava", "qwen2_5_vl", "internvl", "gemma3", "mistral3", "idefics3"])
def test_rows_are_told_by_their_pictures(family):
    """Several a row, some of them cut into tiles; one row without any; the same pair twice; beams."""
    together = told(family, [asking(1, 3), asking(), asking(2), asking(1, 3)])
    assert together[1] == b""
    assert together[0] == together[3]
    assert len(set(together)) == 3
    assert told(family, [asking(2)], num_beams=2) == [together[2]] * 2


def test_pictures_that_could_be_anybody_s_are_refused():
    assert len(set(told("llava_next", [asking(1), asking(3)]))) == 2
    with pytest.raises(ValueError, match="told: nothing tells which of 3 pictures are whose; give one a prompt"):
        told("llava_next", [asking(1, 3), asking(2)])
