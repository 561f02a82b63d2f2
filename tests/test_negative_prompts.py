"""Prompts that negative rows read: the text alone, where images are more than columns."""

from __future__ import annotations

import pytest
import torch

from hallu_models.hosts.crossing import SEEING, SEEN, Crossing
from hallu_models.hosts.inputs import DecoderInputs, Deepstack
from hallu_models.layout import Layout


def crossed(masks, ignored=None):
    image = torch.tensor([[False, True, False, False]])
    inputs = DecoderInputs(
        torch.ones(1, 4, 2), torch.ones(1, 4, dtype=torch.bool), crossing=Crossing(torch.ones(1, 5, 2), masks)
    )
    return inputs, Layout(image, torch.zeros_like(image), ignored)


def test_text_alone_sees_nothing_beside_its_columns():
    masks = {SEEN: torch.zeros(1, 1, 4, 5), SEEING: torch.ones(1, 1, 4, 1)}
    inputs, layout = crossed(masks)
    text = inputs.without_image(layout).crossing
    assert not text.states.any()
    assert {name: mask.shape for name, mask in text.masks.items()} == {SEEN: (1, 1, 3, 5), SEEING: (1, 1, 3, 1)}
    assert not text.masks[SEEING].any()


def test_images_beside_the_columns_go_together_or_not_at_all():
    masks = {SEEN: torch.zeros(1, 1, 4, 5), SEEING: torch.ones(1, 1, 4, 1)}
    inputs, layout = crossed(masks, ignored=torch.tensor([[True, False, False, False]]))
    with pytest.raises(ValueError, match="leave images=all"):
        inputs.without_image(layout)
    inputs, layout = crossed({})
    with pytest.raises(ValueError, match=f"needs the processor's {SEEN}"):
        inputs.without_image(layout)


def test_rows_without_features_for_deeper_layers_lie_below_rows_with_them():
    image = torch.tensor([[False, True, True]])
    mask = torch.ones(1, 3, dtype=torch.bool)
    own = DecoderInputs(torch.ones(1, 3, 2), mask, deepstack=Deepstack(image, (torch.ones(2, 2),)))
    both = own.below(DecoderInputs(torch.ones(1, 3, 2), mask)).deepstack
    assert both.where.tolist() == [[False, True, True], [False, False, False]]
    assert both.features[0].shape == (2, 2)
