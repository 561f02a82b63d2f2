"""Columns of a batch: image, padding, before, after, text only."""

from __future__ import annotations

import torch
from conftest import IMAGE

from hallu_models.layout import Layout

IDS = torch.tensor(
    [
        [0, 0, 5, IMAGE, IMAGE, 6, IMAGE, 7],  # Two images, left padding.
        [5, 6, 7, 8, 9, 10, 11, 12],  # No image.
        [IMAGE, IMAGE, 5, 6, 7, 0, 0, 0],  # Right padding.
    ]
)
MASK = torch.tensor([[0, 0, 1, 1, 1, 1, 1, 1], [1] * 8, [1, 1, 1, 1, 1, 0, 0, 0]])
LAYOUT = Layout.from_ids(IDS, MASK, {IMAGE})


def columns(mask):
    return [row.nonzero().flatten().tolist() for row in mask]


def test_columns():
    assert columns(LAYOUT.image) == [[3, 4, 6], [], [0, 1]]
    assert columns(LAYOUT.before) == [[2], [], []]
    assert columns(LAYOUT.after) == [[7], [], [2, 3, 4]]
    assert LAYOUT.has_image.tolist() == [True, False, True]


def test_a_placeholder_in_the_padding_is_no_image():
    layout = Layout.from_ids(torch.tensor([[IMAGE, 5, 6]]), torch.tensor([[0, 1, 1]]), {IMAGE})
    assert not layout.any_image


def test_last_row_is_the_last_prompt_position():
    states = torch.arange(8).expand(3, 8)[..., None]
    assert LAYOUT.last_row(states).flatten().tolist() == [7, 7, 4]
    assert LAYOUT.last_row(states[:, :1]).flatten().tolist() == [0, 0, 0]  # A decode step has one row.


def test_text_columns_are_right_aligned_and_in_order():
    index, text = LAYOUT.text_columns()
    assert [row[kept].tolist() for row, kept in zip(index, text)] == [[2, 5, 7], list(range(8)), [2, 3, 4]]
    assert text.sum(dim=1).tolist() == [3, 8, 3]
    assert (text.int().diff(dim=1) >= 0).all()


def test_without_a_mask_nothing_is_padding():
    assert not Layout.from_ids(IDS, None, {IMAGE}).padding.any()
