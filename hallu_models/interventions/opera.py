"""OPERA: Over-trust Penalty and Retrospection-Allocation (arXiv 2311.17911, CVPR 2024).

A column of the answer that all later tokens attend to sums up what stands before it, and what is said next is trusted
to it instead of the image. Beam search penalizes such columns, and goes back behind one that keeps coming up.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Literal

import torch
from torch import Tensor

from hallu_models.interventions import Decoding, Intervention, LayerStep, Lookahead, Search, search

UNIT = math.log(1e-7)
"""Logarithm of what products of scaled attention are multiplied by."""
APART, MOST = 999.0, 500.0
"""What the logits of tokens lose that are no candidates, and what a candidate loses at most."""


@dataclass(frozen=True)
class OPERA(Intervention):
    """Beam search with a penalty for over-trusted columns, which goes back where one persists.

    layers: whose attention is looked at, the last of them. alpha: weight of the penalty; 0 with an infinite threshold
    and candidates "all" is plain beam search, with beams=1 the plain model's greedy answer. scale: what attention is
    multiplied by before products are taken. threshold: for how many steps all beams have to name a column before the
    search goes back behind it. candidates: how many tokens may follow a beam; also how often the search goes back to a
    token. beams: their number. window: how many tokens it goes back at most. first: for so many tokens of an answer
    there is a bonus for attention to the image in the place of the penalty, and the search does not go back to them.
    """

    name: ClassVar[str] = "opera"

    alpha: float = 1.0
    scale: float = 50.0
    threshold: float = 15.0
    candidates: int | Literal["all"] = 5
    beams: int = 5
    window: int = 512
    first: int = 10

    def row_attention(self, attention: Tensor, at: LayerStep) -> Tensor:
        seen, image = attention.amax(dim=1), at.columns.image.int()
        shares = seen / seen.sum(dim=-1, keepdim=True)
        span = image.cummax(dim=1).values * image.flip(1).cummax(dim=1).values.flip(1)
        tokens = at.columns.length - at.layout.padding.shape[1]
        # A sliding window shows the last columns of a long answer alone.
        answer = shares[:, max(shares.shape[1] - tokens, 0) :]
        at.generation["answer"] = torch.nn.functional.pad(answer, (tokens - answer.shape[1], 0))
        at.generation["image"] = (shares * span).sum(dim=-1)
        at.generation["has_image"] = at.layout.has_image
        return attention

    def decode(self, run: Decoding) -> Tensor:
        if run.beams > 1 or run.answers > 1 or run.samples:
            raise ValueError(
                f"opera searches with beams of its own, beams={self.beams}, and gives one answer a prompt: instead of "
                f"num_beams={run.beams}, num_return_sequences={run.answers}, do_sample={run.samples} set beams, and "
                "leave these at 1, 1 and False"
            )
        prompts, named = run.ids, dict[int, list[Tensor]]()
        found = search(run, self.beams, torch.zeros(0), partial(self._look, run, named), partial(self._trust, run))
        run.record("returns", torch.tensor([[one.returns[n] for n in range(run.limit)] for one in found]), "token")
        run.record("score", torch.tensor([one.beams.finished[0][0] for one in found]))
        answers = [one.beams.best for one in found]
        filled = torch.nn.utils.rnn.pad_sequence(answers, batch_first=True, padding_value=run.padding)
        return torch.cat([prompts, filled.to(prompts)], dim=1)

    def _trust(self, run: Decoding, trust: Tensor) -> Tensor:
        """Logarithms (R, T) of the product over each column of the answer, from those (R, T - 1) a token before."""
        longer = torch.nn.functional.pad(trust, (0, 1))
        return longer + (self.scale * run.generation["answer"]).log() if _with_image(run) is not None else longer

    def _look(
        self, run: Decoding, named: dict[int, list[Tensor]], group: Sequence[Search], logits: Tensor
    ) -> tuple[Tensor, Lookahead | None]:
        """Logits under the penalty, of candidates alone; a search goes back where its beams have named a column enough.

        named: by prompt, the column (K,) that each beam named at each token.
        """
        number = logits.shape[1] if self.candidates == "all" else min(self.candidates, logits.shape[1])
        likely, tokens = logits.topk(number)
        apart = logits - APART
        if self.alpha == 0 and math.isinf(self.threshold):
            return apart.scatter(1, tokens, likely), None
        ahead = Lookahead(run, tokens)
        has_image = _with_image(run)
        if has_image is not None:
            trust = torch.cat([one.kept[-1] for one in group]).repeat_interleave(number, dim=0)
            largest, columns = self._trust(run, trust).max(dim=-1)
            image = run.generation["image"]
            penalty = -image if group[0].step < self.first else (largest + UNIT).clamp(max=60).exp()
            likely = likely - (self.alpha * penalty).clamp(max=MOST).where(has_image, 0.0).view_as(likely)
            for one, own, seen in zip(
                group, columns.view(len(group), self.beams, -1), has_image[:: self.beams * number]
            ):
                if bool(seen):
                    self._go_back(one, own, named.setdefault(one.prompt, []))
        return apart.scatter(1, tokens, likely), ahead

    def _go_back(self, one: Search, columns: Tensor, named: list[Tensor]) -> None:
        """Go back behind the column that most candidates (K, N) of most beams name, if all named it often enough."""
        tokens, most = one.step + 1, columns.shape[1]
        del named[one.step :]
        named.append(_most_frequent(columns, tokens))
        column = int(_most_frequent(named[-1], tokens))
        times = (torch.stack(named) == column).sum(dim=0)
        if column < self.first or not bool((times > self.threshold).all()):
            return
        # The token behind the column, if it was chosen already, is chosen anew.
        back = min(column + 1, one.step - 1)
        back -= one.returns[back] >= most
        if back < 0 or one.returns[back] >= most:
            return
        one.returns[back] += 1
        one.go_back(max(back, tokens - self.window - 1))


def _most_frequent(values: Tensor, number: int) -> Tensor:
    """The most frequent of values (..., n) below ``number``, the smallest of several."""
    return torch.nn.functional.one_hot(values, number).sum(dim=-2).argmax(dim=-1)


def _with_image(run: Decoding) -> Tensor | None:
    """(R,) which rows have an image; None where none has, and nothing was looked at."""
    found: Tensor | None = run.generation.get("has_image")
    return found if found is not None and bool(found.any()) else None
