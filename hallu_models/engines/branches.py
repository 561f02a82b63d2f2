"""The negative branch: every row is paired with one that sees a worse input, and their predictions are contrasted.

The pairing happens inside the language model. ``generate`` and the caller only ever see the main rows: sampling draws
once a main row, beams are the main rows' beams, and scores have the caller's batch size.

``paired`` runs both as one forward of 2B rows with one cache; ``sequential`` runs the negative rows on their own, with
a cache of their own, for runs that are short of memory. Both give the same predictions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn
from transformers import DynamicCache

from hallu_models.engines import logits
from hallu_models.engines.crossing import Crossing
from hallu_models.engines.inputs import DecoderInputs

if TYPE_CHECKING:
    from hallu_models.host import Host

Mode = Literal["paired", "sequential"]
MODES = ("paired", "sequential")


@dataclass(frozen=True)
class Negative:
    """What the negative rows see instead: prompts of B rows with left padding.

    ``active`` (B,) tells which rows are contrasted at all; the others are answered by the plain model.
    """

    inputs: DecoderInputs
    active: Tensor


def plausible(logits: Tensor, reference: Tensor, beta: float) -> Tensor:
    """Adaptive plausibility: tokens below ``beta`` times the most likely one under ``reference`` become impossible."""
    limit = reference.amax(dim=-1, keepdim=True) + math.log(beta) if beta > 0 else -math.inf
    return logits.masked_fill(reference < limit, -math.inf)


class Branch:
    """The negative rows of one generation. Forward passes go through :meth:`before` and :meth:`after`."""

    def __init__(self, negative: Negative, main: DecoderInputs, cache: Any, mode: Mode, host: Host) -> None:
        """``main`` is what the decoder reads in the prefill, ``cache`` what it will write to."""
        if not bool(main.mask[:, -1].all()):
            raise ValueError("a contrast of two branches needs left padding: set padding_side='left'")
        self._mode, self._host, self._active = mode, host, negative.active
        inputs, length = negative.inputs, main.mask.shape[1]
        if mode == "paired":
            length = max(length, inputs.mask.shape[1])
            inputs = inputs.padded(length - inputs.mask.shape[1])
        self.extra = length - main.mask.shape[1]
        """Padding columns that the main rows get in front of theirs where the negative prompt is the longer one."""
        self._main, self._negative = main, inputs
        self._offset: Tensor | None = None
        if main.positions is not None and inputs.positions is not None:
            self._offset = inputs.positions[..., -1:] - main.positions[..., -1:]
        # What both halves have seen so far.
        self._main_mask = nn.functional.pad(main.mask, (self.extra, 0))
        self._mask = inputs.mask
        self._cache = DynamicCache(config=host.decoder.config) if mode == "sequential" else None
        self._hidden: Tensor | None = None
        self._finish: logits.Finish | None = None
        self._raw: Tensor | None = None
        if mode == "paired" and getattr(cache, "is_compileable", False):
            raise ValueError(
                "a static cache has room for the rows of the batch alone, not for negative ones: use "
                'branch="sequential" or the default cache'
            )
        _reorder_with(cache, self._cache)

    @property
    def rows(self) -> int:
        return len(self._mask)

    def before(self, kwargs: dict[str, Any], prefill: bool) -> dict[str, Any]:
        """The decoder's arguments with the negative rows behind the main ones, or as they are after running these."""
        model, cache = self._host.model, kwargs.get("past_key_values")
        if prefill:
            main, negative = self._main.padded(self.extra), self._negative
        else:
            self._main_mask, self._mask = (
                nn.functional.pad(mask, (0, 1), value=True) for mask in (self._main_mask, self._mask)
            )
            given = kwargs.get("position_ids")
            moved = None if given is None or self._offset is None else given + self._offset
            made = self._main.made_mask
            embeddings, read = kwargs["inputs_embeds"], self._negative.crossing
            main = DecoderInputs(
                embeddings, self._main_mask, given, made_mask=made, crossing=Crossing.of(kwargs, len(embeddings))
            )
            negative = DecoderInputs(
                embeddings, self._mask, moved, made_mask=made, crossing=None if read is None else read.decoding()
            )
        if self._mode == "sequential":
            output = self._host.decoder(
                **negative.arguments(model, self._cache), past_key_values=self._cache, use_cache=True
            )
            self._hidden = output.last_hidden_state[:, -1]
            return kwargs
        changed = main.below(negative).arguments(model, cache)
        return {**kwargs, **{name: value for name, value in changed.items() if value is not None or name in kwargs}}

    def _logits(self, made: Tensor) -> Tensor:
        """(B, V) of the negative rows' hidden states, as the model ``made`` those (B, L, V) of the main rows."""
        assert self._hidden is not None
        if self._finish is None:
            assert self._raw is not None
            self._finish = logits.finish(self._raw[:, -1], made[:, -1], self._host.decoder.config)
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

    def joined(self, main: Tensor, contrasted: Tensor, last: Tensor) -> Tensor:
        """Main logits (B, L, V) whose last position is ``contrasted`` (B, V) in the active rows."""
        chosen = torch.where(self._active.to(last.device)[:, None], contrasted, last)
        return torch.cat([main[:, :-1].float(), chosen[:, None]], dim=1)


def _reorder_with(cache: Any, other: Any) -> None:
    """Let a beam search that reorders the main rows' cache reorder the negative rows with them."""
    if cache is None:
        return

    def reorder(original: Any, index: Tensor) -> None:
        if other is None:
            original(torch.cat([index, index + len(index)]))
        else:
            original(index)
            other.reorder_cache(index)

    cache.reorder_cache = partial(reorder, cache.reorder_cache)
