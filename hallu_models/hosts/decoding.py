"""Token by token through a model, for a way of decoding that is none of transformers' own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from hallu_models.hosts import forward


class Decoding:
    """One generation as a decoding policy drives it: ``next`` gives logits, ``reorder`` moves rows.

    ids: (B, L) prompt and tokens so far; beams of a prompt are rows one behind another. limit: number of tokens to
    generate at most. ends: (E,) ids that end an answer. padding: id that fills the rest of an answer.
    """

    def __init__(self, model: Any, ids: Tensor, config: Any, processors: Any, options: dict[str, Any]) -> None:
        self._model, self._config, self._processors, self._options = model, config, processors, options
        self.ids = ids
        self.limit: int = config.max_length - ids.shape[1]
        ends = config.eos_token_id
        self.ends = torch.tensor([] if ends is None else ends if isinstance(ends, list) else [ends], device=ids.device)
        self.padding: int = config.pad_token_id if config.pad_token_id is not None else int(self.ends[0])
        self._output: Any = None

    @property
    def rows(self) -> int:
        return len(self.ids)

    def next(self, tokens: Tensor | None = None, *, processed: bool = True) -> Tensor:
        """Logits (B, V) in float32 of the token behind ``tokens`` (B,), which follow those so far; None at first.

        processed: behind the processors that generate's options ask for.
        """
        model = self._model
        if tokens is None:
            self._output = model._prefill(self.ids, self._config, self._options)
        else:
            self._options = model._update_model_kwargs_for_generation(
                self._output, self._options, is_encoder_decoder=model.config.is_encoder_decoder
            )
            self.ids = torch.cat([self.ids, tokens[:, None].to(self.ids)], dim=1)
            inputs = model.prepare_inputs_for_generation(self.ids, next_sequence_length=1, **self._options)
            self._output = model(**inputs, return_dict=True)
        logits = forward.logits_of(self._output)[:, -1].to(self.ids.device, torch.float32, copy=True)
        return self._processors(self.ids, logits) if processed else logits

    def reorder(self, index: Tensor) -> None:
        """Rows go on from the rows ``index`` (B,), of the same prompt each: tokens, cache, and what methods keep."""
        self.ids = self.ids[index]
        cache = next(value for value in self._output.values() if forward.is_cache(value))
        cache.reorder_cache(index)


def by(decode: Callable[[Decoding], Tensor]) -> dict[str, Any]:
    """Arguments under which ``generate`` answers as ``decode`` does, which gives the ids (A, L) of the answers."""

    def run(
        model: Any, ids: Tensor, logits_processor: Any, stopping_criteria: Any, generation_config: Any, **options: Any
    ) -> Tensor:
        return decode(Decoding(model, ids, generation_config, logits_processor, options))

    return {"custom_generate": run}
