"""What follows a model's output embeddings, read off its own forward."""

from __future__ import annotations

import pytest
import torch

from hallu_models.hosts.finish import finish

CAPPED, PLAIN = 30.0, None
LATER = torch.tensor([[40.0, -25.0, 3.0]])


def drawn(largest):
    return torch.linspace(-largest, largest, 42).reshape(2, 21)


@pytest.mark.parametrize(
    ("largest", "dtype"),
    [(2.0, torch.float32), (8.0, torch.float32), (60.0, torch.float32), (8.0, torch.bfloat16), (60.0, torch.bfloat16)],
)
def test_a_cap_is_seen_where_it_hardly_shows(largest, dtype):
    raw = drawn(largest).to(dtype)
    found = finish(raw, 30 * torch.tanh(raw.float() / 30), CAPPED)
    torch.testing.assert_close(found(LATER), 30 * torch.tanh(LATER / 30))


@pytest.mark.parametrize("cap", [PLAIN, CAPPED])
def test_logits_that_are_left_alone_stay_as_they_are(cap):
    assert torch.equal(finish(drawn(8.0), drawn(8.0), cap)(LATER), LATER)


def test_a_scale():
    torch.testing.assert_close(finish(drawn(8.0), drawn(8.0) / 16, PLAIN)(LATER), LATER / 16)


def test_anything_else_is_refused_with_the_way_out():
    with pytest.raises(ValueError, match=r"neither a soft cap nor a scale; use branch=\"paired\""):
        finish(drawn(8.0), drawn(8.0).square(), PLAIN)
