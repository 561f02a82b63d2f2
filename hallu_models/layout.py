"""Where a row's columns come from: image, padding, before and after the image."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Layout:
    """The columns of a prefilled batch; columns added while decoding are text after the image.

    ``image`` and ``padding`` are (B, L) boolean masks over the prompt columns. Image columns need not be contiguous,
    and padding shifts them from row to row.
    """

    image: Tensor
    padding: Tensor
    _grown: Columns | None = field(default=None, repr=False, compare=False)

    @classmethod
    def from_ids(cls, input_ids: Tensor, attention_mask: Tensor | None, image_tokens: Iterable[int]) -> Layout:
        """From prompt ids (B, L), their mask (B, L; None: no padding) and the ids of image placeholder tokens."""
        padding = torch.zeros_like(input_ids, dtype=torch.bool) if attention_mask is None else attention_mask == 0
        tokens = torch.tensor(sorted(image_tokens), device=input_ids.device)
        return cls(torch.isin(input_ids, tokens) & ~padding, padding)

    @property
    def rows(self) -> int:
        """B."""
        return self.image.shape[0]

    @cached_property
    def any_padding(self) -> bool:
        return bool(self.padding.any())

    def columns(self, length: int) -> Columns:
        """The columns up to ``length``, those of generated tokens included."""
        if self._grown is None or self._grown.length != length:
            object.__setattr__(self, "_grown", Columns(self, length))
        assert self._grown is not None
        return self._grown

    def padded(self, extra: int) -> Layout:
        """The same layout behind ``extra`` more padding columns."""
        if not extra:
            return self
        return Layout(
            nn.functional.pad(self.image, (extra, 0)), nn.functional.pad(self.padding, (extra, 0), value=True)
        )

    @cached_property
    def has_image(self) -> Tensor:
        """(B,): rows with at least one image column."""
        return self.image.any(dim=1)

    @cached_property
    def rows_without_image(self) -> int:
        return int((~self.has_image).sum())

    @property
    def any_image(self) -> bool:
        return self.rows_without_image < self.rows

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

    def last_index(self, length: int) -> Tensor:
        """(B,) index of each row's last prompt position among ``length`` query rows."""
        if length == 1 or self._last is None:
            return torch.full((self.rows,), length - 1, device=self.padding.device)
        return self._last

    def image_columns(self) -> tuple[Tensor, Tensor]:
        """Indices (B, N) of the image columns in order, left-aligned, and the mask (B, N) of those that are real."""
        number = int(self.image.sum(dim=1).max())
        columns = self.image.int().argsort(dim=1, stable=True, descending=True)[:, :number]
        return columns, self.image.gather(1, columns)

    def text_columns(self) -> tuple[Tensor, Tensor]:
        """Prompt columns without image and padding, in order and right-aligned.

        Returns column indices (B, Lt) and the mask (B, Lt) of those that are text; Lt is the longest row's.
        """
        kept = ~self.image & ~self.padding
        length = int(kept.sum(dim=1).max())
        columns = kept.int().argsort(dim=1, stable=True)[:, -length:]
        return columns, kept.gather(1, columns)


class Columns:
    """A layout's masks (B, Lk) over prompt and generated columns; a generated column is text after the image."""

    def __init__(self, layout: Layout, length: int) -> None:
        self.length = length
        self._layout, self._extra = layout, length - layout.padding.shape[1]

    def _extended(self, mask: Tensor, generated: bool = False) -> Tensor:
        return nn.functional.pad(mask, (0, self._extra), value=generated) if self._extra else mask

    @cached_property
    def image(self) -> Tensor:
        """Image columns."""
        return self._extended(self._layout.image)

    @cached_property
    def visible(self) -> Tensor:
        """Not padding."""
        return self._extended(~self._layout.padding, generated=True)

    @cached_property
    def before(self) -> Tensor:
        """In front of the image; False throughout in a row without one."""
        return self._extended(self._layout.before)

    @cached_property
    def after(self) -> Tensor:
        """Behind the image, generated tokens included; False throughout in a row without one."""
        return self._extended(self._layout.after, generated=True) & self._layout.has_image[:, None]
