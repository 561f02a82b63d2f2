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
    ignored: Tensor | None = None
    """(B, L): columns of images that methods are told to leave alone; neither image nor text."""
    _grown: dict[int, Columns] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def from_ids(
        cls,
        input_ids: Tensor,
        mask: Tensor | None,
        image_tokens: Iterable[int],
        chosen: Tensor | None = None,
    ) -> Layout:
        """From prompt ids (B, L), their mask (B, L; None: no padding) and the ids of image placeholder tokens.

        chosen: (B, L) columns of the images that count; None for all.
        """
        padding = torch.zeros_like(input_ids, dtype=torch.bool) if mask is None else mask == 0
        tokens = torch.tensor(sorted(image_tokens), device=input_ids.device)
        image = torch.isin(input_ids, tokens) & ~padding
        return cls(image, padding) if chosen is None else cls(image & chosen, padding, image & ~chosen)

    def on(self, device: torch.device) -> Layout:
        """The layout on a device: a model may be spread over several."""
        if self.image.device == device:
            return self
        if device not in self._elsewhere:
            ignored = None if self.ignored is None else self.ignored.to(device)
            self._elsewhere[device] = Layout(self.image.to(device), self.padding.to(device), ignored)
        return self._elsewhere[device]

    @cached_property
    def _elsewhere(self) -> dict[torch.device, Layout]:
        return {}

    def repeated(self, rows: int) -> Layout:
        """Every row several times, as beams repeat it, ``rows`` in all."""
        times = rows // self.rows
        masks = (self.image, self.padding, self.ignored)
        return Layout(*(None if mask is None else mask.repeat_interleave(times, dim=0) for mask in masks))  # type: ignore[arg-type]

    def taken(self, index: Tensor) -> Layout:
        """The rows with these numbers."""
        masks = (self.image, self.padding, self.ignored)
        return Layout(*(None if mask is None else mask[index.to(mask.device)] for mask in masks))  # type: ignore[arg-type]

    @property
    def rows(self) -> int:
        """B."""
        return self.image.shape[0]

    @cached_property
    def any_padding(self) -> bool:
        return bool(self.padding.any())

    def columns(self, length: int, seen: int | None = None) -> Columns:
        """The columns up to ``length``, those of generated tokens included; of these the last ``seen`` (default: all).

        A cache of a sliding window gives only its last columns back.
        """
        seen = length if seen is None else seen
        found = self._grown.get(seen)
        if found is None or found.length != length:
            found = self._grown[seen] = Columns(self, length, seen)
        return found

    def padded(self, extra: int) -> Layout:
        """The same layout behind ``extra`` more padding columns."""
        if not extra:
            return self
        return Layout(
            nn.functional.pad(self.image, (extra, 0)),
            nn.functional.pad(self.padding, (extra, 0), value=True),
            None if self.ignored is None else nn.functional.pad(self.ignored, (extra, 0)),
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
    def first(self) -> Tensor:
        """(B, L): the first column of each row that is no padding."""
        real = ~self.padding
        return real & (real.cumsum(1) == 1)

    @cached_property
    def text(self) -> Tensor:
        """(B, L): neither padding nor image; False throughout in a row without an image."""
        text = ~self.image & ~self.padding & self.has_image[:, None]
        return text if self.ignored is None else text & ~self.ignored

    @cached_property
    def after(self) -> Tensor:
        """(B, L): text behind the last image column; False throughout in a row without an image."""
        return (self.image.flip(1).cumsum(1).flip(1) == 0) & self.text

    @cached_property
    def before(self) -> Tensor:
        """(B, L): text in front of the first image column; False throughout in a row without an image."""
        return (self.image.cumsum(1) == 0) & self.text

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
    """A layout's masks (B, Lk) over prompt and generated columns; a generated column is text after the image.

    ``length`` counts all columns so far, ``seen`` is Lk: the last of them, all but in a sliding window.
    """

    def __init__(self, layout: Layout, length: int, seen: int) -> None:
        self.length, self.seen = length, seen
        self._layout, self._extra = layout, length - layout.padding.shape[1]

    def _extended(self, mask: Tensor, generated: bool = False) -> Tensor:
        whole = nn.functional.pad(mask, (0, self._extra), value=generated) if self._extra else mask
        return whole if self.seen == self.length else whole[:, -self.seen :]

    @cached_property
    def image(self) -> Tensor:
        """Image columns."""
        return self._extended(self._layout.image)

    @cached_property
    def visible(self) -> Tensor:
        """Not padding."""
        return self._extended(~self._layout.padding, generated=True)

    @cached_property
    def first(self) -> Tensor:
        """The first column of each row that is no padding."""
        return self._extended(self._layout.first)

    @cached_property
    def text(self) -> Tensor:
        """Neither padding nor image, generated tokens included; False throughout in a row without an image."""
        return self._extended(self._layout.text, generated=True) & self._layout.has_image[:, None]

    @cached_property
    def before(self) -> Tensor:
        """In front of the image; False throughout in a row without one."""
        return self._extended(self._layout.before)

    @cached_property
    def after(self) -> Tensor:
        """Behind the image, generated tokens included; False throughout in a row without one."""
        return self._extended(self._layout.after, generated=True) & self._layout.has_image[:, None]
