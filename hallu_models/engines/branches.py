"""The negative branch: every row is paired with one that sees a worse input, and their predictions are contrasted.

The pairing happens inside the language model. ``generate`` and the caller only ever see the main rows: sampling draws
once a main row, beams are the main rows' beams, and scores have the caller's batch size.

``paired`` runs both as one forward of 2B rows with one cache; ``sequential`` runs the negative rows on their own, with
a cache of their own, for runs that are short of memory. Both give the same predictions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from hallu_models.hosts import finish, forward
from hallu_models.hosts.crossing import Crossing
from hallu_models.hosts.host import Host
from hallu_models.hosts.inputs import DecoderInputs
from hallu_models.layout import Layout

Mode = Literal["paired", "sequential"]
MODES = ("paired", "sequential")


@dataclass(frozen=True)
class Negative:
    """What the negative rows see instead: prompts of B rows with left padding.

    ``active`` (B,) tells which rows are contrasted at all; the others are answered by the plain model. ``layout`` is
    that of ``inputs`` where these rows are edited and their columns are not the prompt's.
    """

    inputs: DecoderInputs
    active: Tensor
    layout: Layout | None = None


class Branch:
    """The negative rows of one generation. Forward passes go through :meth:`before` and :meth:`after`."""

    def __init__(self, negative: Negative, main: DecoderInputs, call: forward.Call, mode: Mode, host: Host) -> None:
        """``main`` is what the decoder reads in the prefill, ``call`` that forward."""
        if not bool(main.mask[:, -1].all()):
            raise ValueError("a contrast of two branches needs left padding: set padding_side='left'")
        self._mode, self._host, self.active = mode, host, negative.active
        inputs, length = negative.inputs, main.mask.shape[1]
        if mode == "paired":
            length = max(length, inputs.mask.shape[1])
            inputs = inputs.padded(length - inputs.mask.shape[1])
        self.extra = length - main.mask.shape[1]
        """Padding columns that the main rows get in front of theirs where the negative prompt is the longer one."""
        self._main, self._negative = main, inputs
        self._crossing = None if inputs.crossing is None else inputs.crossing.decoding()
        self._offset: Tensor | None = None
        if main.positions is not None and inputs.positions is not None:
            self._offset = inputs.positions[..., -1:] - main.positions[..., -1:]
        # What both halves have seen so far.
        self._main_mask = nn.functional.pad(main.mask, (self.extra, 0))
        self._mask = inputs.mask
        self._cache = forward.new_cache(host.decoder) if mode == "sequential" else None
        self._cache_name = call.cache_name
        self._hidden: Tensor | None = None
        self._finish: finish.Finish | None = None
        self._raw: Tensor | None = None
        if mode == "paired" and forward.fixed_rows(call.cache):
            raise ValueError(
                "a static cache has room for the rows of the batch alone, not for negative ones: use "
                'branch="sequential" or the default cache'
            )

    @property
    def columns(self) -> int:
        """Of the negative rows, so far."""
        return self._mask.shape[1]

    def reorder(self, index: Tensor) -> Tensor:
        """Negative rows go on as the main rows ``index`` do, any number; returned is the order of the main cache."""
        rows = len(self._mask)
        self.active, self._mask, self._main_mask = (
            kept[index.to(kept.device)] for kept in (self.active, self._mask, self._main_mask)
        )
        if self._offset is not None:
            self._offset = self._offset.index_select(-2, index.to(self._offset.device))
        if self._crossing is not None:
            self._crossing = self._crossing.rows(index)
        if self._mode == "paired":
            return torch.cat([index, index + rows])
        forward.reorder(self._cache, index)
        return index

    def saved(self) -> Callable[[], None]:
        """What is kept now; the function puts it back."""
        kept = self.active, self._mask, self._main_mask, self._offset, self._crossing
        layers = None if self._cache is None else forward.layers_of(self._cache)

        def put_back() -> None:
            self.active, self._mask, self._main_mask, self._offset, self._crossing = kept
            if layers is not None:
                forward.put_back(self._cache, layers)

        return put_back

    def before(self, call: forward.Call, embeddings: Tensor, prefill: bool) -> dict[str, Any]:
        """The decoder's arguments with the negative rows behind the main ones, or as they are after running these.

        ``embeddings`` (B, L, D) are what the main rows read in this forward.
        """
        model = self._host.model
        if prefill:
            main, negative = self._main.padded(self.extra), self._negative
        else:
            self._main_mask, self._mask = (
                nn.functional.pad(mask, (0, 1), value=True) for mask in (self._main_mask, self._mask)
            )
            main = self._main.next(call, embeddings, self._main_mask, Crossing.of(call.arguments, len(embeddings)))
            negative = self._main.next(call, embeddings, self._mask, self._crossing)
            negative = negative.moved(self._offset)
        if self._mode == "sequential":
            if self._cache_name is None:
                raise ValueError('branch="sequential" needs the key-value cache: set use_cache=True')
            hidden = negative.run_on(model, self._host.decoder, self._cache, self._cache_name)
            self._hidden = hidden[:, -1]
            return call.arguments
        return call.replaced(main.below(negative).arguments(model, call.cache))

    def _logits(self, made: Tensor) -> Tensor:
        """(B, V) of the negative rows' hidden states, as the model ``made`` those (B, L, V) of the main rows."""
        assert self._hidden is not None
        if self._finish is None:
            assert self._raw is not None
            self._finish = finish.finish(self._raw[:, -1], made[:, -1], self._host.soft_cap)
            self._raw = None
        return self._finish(self._host.causal.get_output_embeddings()(self._hidden).float())

    def saw(self, raw: Tensor) -> None:
        """Take what the output embeddings made of the main rows (B, L, V); needed in the prefill alone."""
        if self._finish is None:
            self._raw = raw

    def after(self, made: Tensor, length: int) -> tuple[Tensor, Tensor, Tensor]:
        """The main rows' logits (B, length, V), and the last ones (B, V) of main and negative rows in float32."""
        if self._mode == "sequential":
            return made, made[:, -1].float(), self._logits(made)
        main, negative = made.chunk(2)
        main = main[:, -length:]
        return main, main[:, -1].float(), negative[:, -1].float()
