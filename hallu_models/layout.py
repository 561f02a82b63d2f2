"""Where a row's columns come from: image, padding, before and after the image."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor


@dataclass(frozen=True)
class Layout:
    """The columns of a prefilled batch; columns added while decoding are text after the image.

    ``image`` and ``padding`` are (B, L) boolean masks over the prompt columns. Image columns need not be contiguous,
    and padding shifts them from row to row.
    """

    image: Tensor
    padding: Tensor

    @classmethod
    def from_ids(cls, input_ids: Tensor, attention_mask: Tensor | None, image_tokens: Iterable[int]) -> Layout:
        """From prompt ids (B, L), their mask (B, L; None: no padding) and the ids of image placeholder tokens."""
        padding = torch.zeros_like(input_ids, dtype=torch.bool) if attention_mask is None else attention_mask == 0
        tokens = torch.tensor(sorted(image_tokens), device=input_ids.device)
        return cls(torch.isin(input_ids, tokens) & ~padding, padding)

    @cached_property
    def has_image(self) -> Tensor:
        """(B,): rows with at least one image column."""
        return self.image.any(dim=1)

    @cached_property
    def any_image(self) -> bool:
        return bool(self.has_image.any())

    @cached_property
    def after(self) -> Tensor:
        """(B, L): text behind the last image column; False throughout in a row without an image."""
        behind = self.image.flip(1).cumsum(1).flip(1) == 0
        return behind & ~self.padding & self.has_image[:, None]

    @cached_property
    def before(self) -> Tensor:
        """(B, L): text in front of the first image column; False throughout in a row without an image."""
        return (self.image.cumsum(1) == 0) & ~self.padding & self.has_image[:, None]

    @cached_property
    def _last(self) -> Tensor | None:
        """(B,) last prompt column of each row, or None when that is the last column everywhere."""
        if not bool(self.padding[:, -1].any()):
            return None
        columns = torch.arange(self.padding.shape[1], device=self.padding.device)
        return torch.where(self.padding, -1, columns).amax(dim=1)

    def last_row(self, states: Tensor) -> Tensor:
        """States (B, Lq, ...) at each row's last prompt position, or at the only one of a decode step: (B, ...)."""
        if states.shape[1] == 1 or self._last is None:
            return states[:, -1]
        return states[torch.arange(states.shape[0], device=states.device), self._last]

    def text_columns(self) -> tuple[Tensor, Tensor]:
        """Prompt columns without image and padding, in order and right-aligned.

        Returns column indices (B, Lt) and the mask (B, Lt) of those that are text; Lt is the longest row's.
        """
        kept = ~self.image & ~self.padding
        length = int(kept.sum(dim=1).max())
        columns = kept.int().argsort(dim=1, stable=True)[:, -length:]
        return columns, kept.gather(1, columns)
