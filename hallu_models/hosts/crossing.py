"""Images that some layers of a language model read by cross-attention, beside the prompt's columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

STATES = "cross_attention_states"
SEEN, SEEING = "cross_attention_mask", "full_text_row_masked_out_mask"
MASKS = (SEEN, SEEING)
"""Arguments of a decoder: which image positions each column sees, and whether it sees any."""


@dataclass(frozen=True)
class Crossing:
    """What B rows read by cross-attention (Llama 3.2 Vision).

    states: (B, S, D) features of each row's images; None in a decode step, which finds them in the cache. masks: by
    argument of the decoder, (B, 1, L, S or 1), added to scores or multiplied.
    """

    states: Tensor | None
    masks: dict[str, Tensor]

    @classmethod
    def of(cls, arguments: dict[str, Any], rows: int) -> Crossing | None:
        """From the arguments of a decoder's forward; None where no layer is given an image."""
        states = arguments.get(STATES)
        masks = {name: arguments[name] for name in MASKS if arguments.get(name) is not None}
        if states is None and not masks:
            return None
        # A decoder takes the tiles of all rows as one list, and as a row each.
        return cls(None if states is None else states.reshape(rows, -1, states.shape[-1]), masks)

    def arguments(self) -> dict[str, Any]:
        """Keyword arguments of the decoder's forward."""
        return {STATES: self.states, **self.masks}

    def rows(self, index: Tensor) -> Crossing:
        states = None if self.states is None else self.states[index]
        return Crossing(states, {name: mask[index] for name, mask in self.masks.items()})

    def padded(self, left: int) -> Crossing:
        """Behind ``left`` more columns, which see as little as those in front of an image."""
        masks = {name: nn.functional.pad(mask, (0, 0, left, 0)) for name, mask in self.masks.items()}
        return Crossing(self.states, masks)

    def unseen(self, rows: int, columns: int) -> Crossing:
        """Of as many rows and columns that see no image: without biases, zeros add nothing to them."""
        if SEEING not in self.masks:
            raise ValueError(f"rows without an image beside rows with one need the processor's {SEEN}")
        masks = {name: mask.new_zeros(rows, 1, columns, mask.shape[-1]) for name, mask in self.masks.items()}
        states = None if self.states is None else self.states.new_zeros(rows, *self.states.shape[1:])
        return Crossing(states, masks)

    def extended(self, number: int) -> Crossing:
        """With ``number`` more columns, which see what the last one does."""
        masks = {
            name: torch.cat([mask, mask[:, :, -1:].expand(-1, -1, number, -1)], dim=2)
            for name, mask in self.masks.items()
        }
        return Crossing(self.states, masks)

    def decoding(self) -> Crossing | None:
        """That of one generated column, whose images are in the cache."""
        return Crossing(None, {name: mask[:, :, -1:] for name, mask in self.masks.items()}) if self.masks else None

    def below(self, other: Crossing) -> Crossing:
        """These rows, then those of ``other``, which has as many columns and image positions."""
        states = self.states
        if states is not None:
            assert other.states is not None
            states = torch.cat([states, other.states.to(states.dtype)])
        masks = {name: torch.cat([mask, other.masks[name]]) for name, mask in self.masks.items()}
        return Crossing(states, masks)

    def features(self) -> Tensor:
        """Those (N, D) that the last column of each row sees, row by row."""
        assert self.states is not None
        return self.states[self.masks[SEEN][:, 0, -1] == 0] if SEEN in self.masks else self.states.flatten(0, 1)
