"""Token by token through a model, for a way of decoding that is none of transformers' own."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from hallu_models.hosts import forward


class Keeping(Protocol):
    """What a session keeps beside the model. generation: what the deciding method keeps itself."""

    @property
    def generation(self) -> MutableMapping[str, Any]: ...

    def record(self, name: str, value: Tensor, *axes: str) -> None:
        """Keep a value (B, ...) of the prompts for the observations."""

    def saved(self) -> Callable[[], None]:
        """What is kept now; the function puts it back, as often as it is called."""

    def reads(self, token: int, prompts: Tensor) -> None:
        """A forward begins that predicts this token, counted from 0, of rows of these prompts (R,)."""


@dataclass(frozen=True)
class Saved:
    """A place in a generation to go on from once more."""

    ids: Tensor
    prompts: Tensor
    options: dict[str, Any]
    cache: list[Any]
    keeping: Callable[[], None]


class Decoding:
    """One generation as a decoding policy drives it.

    ids: (R, L) prompt and tokens so far; a row is a prompt at first, and what :meth:`reorder` makes of it. prompts:
    (R,) which row each was at first. limit: number of tokens to generate at most. ends: (E,) ids that end an answer.
    padding: id that fills the rest of an answer. generation: what the policy's method keeps, as in its other hooks.
    record: as in these, of the prompts. beams, answers, samples, length_penalty, early_stopping: what generate was
    asked for; rows of a prompt stand one behind another where it has several.
    """

    def __init__(
        self, model: Any, ids: Tensor, config: Any, processors: Any, criteria: Any, keeping: Keeping, options: Any
    ) -> None:
        self._model, self._config, self._processors, self._options = model, config, processors, options
        self._criteria, self._keeping = criteria, keeping
        self.ids, (self._number, self._length) = ids, ids.shape
        self.prompts = torch.arange(len(ids), device=ids.device)
        self.limit: int = config.max_length - ids.shape[1]
        ends = config.eos_token_id
        self.ends = torch.tensor([] if ends is None else ends if isinstance(ends, list) else [ends], device=ids.device)
        self.padding: int = config.pad_token_id if config.pad_token_id is not None else int(self.ends[0])
        self.beams: int = config.num_beams or 1
        self.answers: int = config.num_return_sequences or 1
        self.samples = bool(config.do_sample)
        self.length_penalty = 1.0 if config.length_penalty is None else float(config.length_penalty)
        self.early_stopping: bool | str = config.early_stopping or False
        self.record = keeping.record
        self._output: Any = None

    @property
    def rows(self) -> int:
        return len(self.ids)

    @property
    def generation(self) -> MutableMapping[str, Any]:
        return self._keeping.generation

    def next(self, tokens: Tensor | None = None, *, processed: bool = True) -> Tensor:
        """Logits (R, V) in float32 of the token behind ``tokens`` (R,), which follow those so far; None at first.

        processed: behind the processors that generate's options ask for.
        """
        model = self._model
        self._keeping.reads(self.ids.shape[1] - self._length + (tokens is not None), self.prompts)
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
        return self.processing()(logits) if processed else logits

    def processing(self) -> Callable[[Tensor], Tensor]:
        """What the processors that generate's options ask for make of scores (R, V) of the rows as they are now.

        Beam search processes log-probabilities.
        """
        processors, ids, prompts, number = self._processors, self.ids, self.prompts, self._number
        if not len(processors) or torch.equal(prompts, torch.arange(number, device=prompts.device)):
            return lambda scores: processors(ids, scores)  # type: ignore[no-any-return]

        def processed(scores: Tensor) -> Tensor:
            # Processors may know something of each prompt, so they see a row of each, in order.
            made, left = scores.clone(), torch.ones_like(prompts, dtype=torch.bool)
            while bool(left.any()):
                rows = torch.full((number,), -1, device=prompts.device).scatter_reduce(
                    0, prompts[left], left.nonzero()[:, 0], "amax"
                )
                found = processors(ids[rows], scores[rows.to(scores.device)])
                there = rows >= 0
                made[rows[there]] = found[there]
                left[rows[there]] = False
            return made

        return processed

    def stopped(self, ids: Tensor) -> Tensor:
        """(R,) which ids (R, L), prompts included, are finished by what generate's options ask for, or their length."""
        return self._criteria(ids, None)  # type: ignore[no-any-return]

    def reorder(self, index: Tensor) -> None:
        """Rows go on from the rows ``index``, any number of them: tokens, cache, and what methods keep."""
        rows = self.rows
        self.ids, self.prompts = self.ids[index], self.prompts[index]
        self._options = {name: _rows(value, index, rows) for name, value in self._options.items()}
        self._cache.reorder_cache(index)

    def save(self) -> Saved:
        """This place, behind the tokens so far. It keeps the cache of its rows in memory."""
        return Saved(self.ids, self.prompts, dict(self._options), forward.layers_of(self._cache), self._keeping.saved())

    def restore(self, saved: Saved) -> None:
        """Go on from a place once more."""
        self.ids, self.prompts, self._options = saved.ids, saved.prompts, dict(saved.options)
        forward.put_back(self._cache, saved.cache)
        saved.keeping()

    @property
    def _cache(self) -> Any:
        return next(value for value in self._output.values() if forward.is_cache(value))


def _rows(value: Any, index: Tensor, rows: int) -> Any:
    """Masks, types and positions (B, L) or (axes, B, L) of some of ``rows`` rows; other options as they are."""
    if not isinstance(value, Tensor) or value.is_floating_point() or value.ndim < 2 or value.shape[-2] != rows:
        return value
    return value.index_select(-2, index.to(value.device))


def by(decode: Callable[[Decoding], Tensor], keeping: Keeping, streamer: Any = None) -> dict[str, Any]:
    """Arguments under which ``generate`` answers as ``decode`` does, which gives the ids (A, L) of the answers.

    A streamer is given the answer when it is known.
    """

    def run(
        model: Any, ids: Tensor, logits_processor: Any, stopping_criteria: Any, generation_config: Any, **options: Any
    ) -> Tensor:
        made = decode(Decoding(model, ids, generation_config, logits_processor, stopping_criteria, keeping, options))
        if streamer is not None:
            streamer.put(made[0, ids.shape[1] :].cpu())
            streamer.end()
        return made

    return {"custom_generate": run}
