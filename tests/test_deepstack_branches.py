"""A negative branch without an image beside rows whose early layers add image features."""

from __future__ import annotations

import torch

from hallu_models.hosts.inputs import DecoderInputs, Deepstack


def test_rows_without_an_image_add_nothing():
    where = torch.tensor([[False, True, True, False]])
    mask = torch.ones(1, 4, dtype=torch.bool)
    main = DecoderInputs(torch.rand(1, 4, 8), mask, deepstack=Deepstack(where, (torch.rand(2, 8), torch.rand(2, 8))))
    both = main.below(DecoderInputs(torch.rand(1, 4, 8), mask)).deepstack
    assert both.where.tolist() == [*where.tolist(), [False] * 4]
    assert all(torch.equal(*pair) for pair in zip(both.features, main.deepstack.features))
