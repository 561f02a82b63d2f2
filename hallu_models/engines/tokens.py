"""Generated tokens."""

from __future__ import annotations

import torch


def ends_of(tokens: torch.Tensor, end: int | list[int] | None) -> torch.Tensor:
    """Number of generated tokens (B,) of each answer (B, T), the first end-of-text token included."""
    found = torch.isin(tokens, torch.tensor(end if isinstance(end, list) else [-1 if end is None else end]).to(tokens))
    return torch.where(found.any(dim=1), found.int().argmax(dim=1) + 1, tokens.shape[1])
