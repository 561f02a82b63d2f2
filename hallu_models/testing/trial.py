"""A method on one tiny model, and the answers that it and the plain model give there."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from hallu_models import generation, processing
from hallu_models.attaching import attach
from hallu_models.conversations import conversation
from hallu_models.engines.branches import Mode
from hallu_models.hosts import generate
from hallu_models.hosts import host as hosts
from hallu_models.interventions import Intervention
from hallu_models.loading import Host
from hallu_models.testing import questions
from hallu_models.testing.dense_row import Row

STEPS = 10
SEED = 3
Reference = Callable[[Intervention, Row], Tensor]
"""Logits (L, V) of prompt and answer, or (T, V) of the answer's tokens, by the paper's equations."""


_PLAIN: WeakKeyDictionary[Any, dict[Any, Answers]] = WeakKeyDictionary()


@dataclass(frozen=True)
class Answers:
    """Of rows with these numbers: tokens (A, T); predicted, logits (A, T, V), unless the method chose the tokens."""

    numbers: tuple[int, ...]
    tokens: Tensor
    predicted: Tensor | None

    def row(self, number: int) -> Answers:
        """One of the rows."""
        index = self.numbers.index(number)
        logits = None if self.predicted is None else self.predicted[index : index + 1]
        return Answers((number,), self.tokens[index : index + 1], logits)


@dataclass(frozen=True)
class Trial:
    """A method bound to the tiny model of a family: as it is to act, and with the settings that switch it off."""

    family: str
    host: Host
    acting: Intervention
    off: Intervention
    reference: Reference | None = None
    steps: int = STEPS
    """Tokens of an answer."""

    @cached_property
    def numbers(self) -> list[int]:
        """Rows of the batch."""
        return questions.rows(self.family)

    @cached_property
    def with_image(self) -> list[int]:
        return [number for number in self.numbers if questions.ROWS[number][0] is not None]

    @cached_property
    def untouched(self) -> dict[str, Any]:
        """The model's fingerprint behind a plain generation, which leaves things of its own."""
        self.answered_anew(self.numbers, steps=2)
        return hosts.fingerprint(self.host.model)

    @cached_property
    def acted(self) -> Answers:
        """What the method answers to the whole batch, greedily."""
        return self.answered(self.acting, self.numbers)

    @cached_property
    def plain(self) -> Answers:
        """What the plain model makes of the same tokens."""
        return self.answered(None, self.numbers, force=self.acted.tokens)

    @property
    def decides(self) -> bool:
        """Whether the method chooses the tokens in the place of ``generate``."""
        return self.acting.overrides("decode")

    def answered(
        self,
        method: Intervention | None,
        numbers: Sequence[int],
        *,
        steps: int | None = None,
        branch: Mode = "paired",
        force: Tensor | None = None,
        processor: Any = None,
        **options: Any,
    ) -> Answers:
        """Answers to one batch. force: (A, T) tokens to be chosen. processor: a logits processor.

        What the plain model answers freely is computed once a model.
        """
        steps = self.steps if steps is None else steps
        if method is not None or force is not None or processor is not None:
            return self._answered(method, numbers, steps, branch, force, processor, options)
        known = _PLAIN.setdefault(self.host.model, {})
        key = (tuple(numbers), steps, *sorted(options.items()))
        if key not in known:
            known[key] = self.answered_anew(numbers, steps=steps, **options)
        return known[key]

    def answered_anew(self, numbers: Sequence[int], *, steps: int | None = None, **options: Any) -> Answers:
        """What the plain model answers now."""
        return self._answered(None, numbers, self.steps if steps is None else steps, "paired", None, None, options)

    def _answered(
        self,
        method: Intervention | None,
        numbers: Sequence[int],
        steps: int,
        branch: Mode,
        force: Tensor | None,
        processor: Any,
        options: dict[str, Any],
    ) -> Answers:
        if force is not None and not self.decides:
            processor = _forced(force)
        with self._attached(method, numbers, branch) as inputs, torch.random.fork_rng(devices=[]):
            torch.manual_seed(SEED)
            model = self.host.model
            if method is not None and self.decides:
                given = [] if processor is None else [processor]
                asked = {**inputs, **generate.ours(options), "max_new_tokens": steps, "min_new_tokens": steps}
                asked["logits_processor"] = given
                tokens = generate.sequences(model.generate(**asked))[:, -steps:]
                return Answers(tuple(numbers), tokens, None)
            tokens, logits = generate.scored(model, inputs, steps, force=processor, **options)
        return Answers(tuple(numbers), tokens, logits.transpose(0, 1).float())

    def searched(self, numbers: Sequence[int], beams: int) -> tuple[Tensor, Tensor, bool]:
        """Tokens (A, T) and logits (A, T, V) of all hypotheses, and whether a beam has changed its row."""
        with self._attached(self.acting, numbers, "paired") as inputs:
            return generate.searched(self.host.model, inputs, self.steps, beams)

    @contextlib.contextmanager
    def _attached(self, method: Intervention | None, numbers: Sequence[int], branch: Mode) -> Iterator[Any]:
        """The model's inputs, and the method on the model."""
        needed = method is not None and method.needs_other_image()
        others = questions.other_images(numbers) if needed else None
        with (
            attach(self.host, method, other_images=others, observe=False, branch=branch, check=False) as session,
            torch.inference_mode(),
        ):
            yield generation.prepared(session, questions.conversations(numbers))

    def row(self, number: int) -> Row:
        """A row with the answer that the method gave, for the author's reference."""
        tokens = self.acted.row(number).tokens[0].tolist()
        image, text = questions.ROWS[number]
        made = self.acting.overrides("other_image")
        other = self.acting.other_image(image, text).image if made else questions.other_images([number])[0]
        asked = ((image, text), (other, text))
        own, other = (processing.encode(self.host, [conversation(*pair)]) for pair in asked)
        return Row(self.host, own, tokens, number, other)


def _forced(tokens: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
    """A logits processor that leaves only these tokens (A, T) possible, one after another."""
    steps = iter(tokens.T)

    def force(_: Tensor, scores: Tensor) -> Tensor:
        return torch.full_like(scores, -torch.inf).scatter(1, next(steps)[:, None].to(scores.device), 0.0)

    return force
