"""What a decoding policy searches with: beams as transformers has them, looks at next tokens, and ways back.

Prompts of a batch that are at the same token are read in one forward. One that goes back is read again, alone or with
others that went back to the same token, so each gets the answer that it gets alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor

from hallu_models.hosts.decoding import Decoding, Saved

UNLIKELY = -1e9
"""Score of beams that are not to go on."""


@dataclass(frozen=True)
class Rules:
    """What generate was asked for: how many tokens end an answer, and what its scores are divided by.

    longest: tokens of an answer at most.
    """

    ends: int
    longest: int
    length_penalty: float = 1.0
    early_stopping: bool | str = False


@dataclass(frozen=True)
class Beams:
    """K beams behind T tokens. Each step makes new ones and changes nothing.

    tokens: (K, T) of the answers that go on, best first. scores: (K,) sums of their log-probabilities. parents: (K,)
    the beams before the last token. finished: at most K answers with their scores a token, best first. done: whether
    none that goes on can become better than these.
    """

    tokens: Tensor
    scores: Tensor
    parents: Tensor
    finished: tuple[tuple[float, Tensor], ...] = ()
    improvable: bool = True
    done: bool = False

    @classmethod
    def begin(cls, number: int, device: torch.device) -> Beams:
        """Before the first token: copies of one beam, of which one goes on."""
        scores = torch.full((number,), UNLIKELY, device=device)
        scores[0] = 0.0
        return cls(torch.zeros(number, 0, dtype=torch.long, device=device), scores, torch.arange(number, device=device))

    def advance(self, log_probabilities: Tensor, stopped: Callable[[Tensor], Tensor], rules: Rules) -> Beams:
        """The beams behind the next token, by its log-probabilities (K, V). ``stopped`` tells which tokens (n, T) end.

        Ends are taken from the K best continuations, beams from the best that do not end.
        """
        number, size = log_probabilities.shape
        total = (self.scores[:, None] + log_probabilities).flatten()
        kept = min(max(2, 1 + rules.ends) * number, len(total))
        scores, places = total.topk(kept)
        parents, length = places // size, self.tokens.shape[1] + 1
        tokens = torch.cat([self.tokens[parents], (places % size)[:, None]], dim=1)
        ending = stopped(tokens)
        full = len(self.finished) == number and rules.early_stopping is True
        finished = list(self.finished)
        if self.improvable and not full:
            ended = ending[:number].nonzero()[:, 0]
            values = scores[ended] / length**rules.length_penalty
            finished += zip(values.tolist(), tokens[ended])
            finished = sorted(finished, key=lambda one: one[0], reverse=True)[:number]
        running = torch.where(ending, scores + UNLIKELY, scores)
        running, going = running.topk(number)
        longest = rules.longest if rules.early_stopping == "never" and rules.length_penalty > 0 else length
        worst = finished[-1][0] if len(finished) == number else UNLIKELY
        improvable = self.improvable and float(running[0]) / longest**rules.length_penalty > worst
        full = len(finished) == number and rules.early_stopping is True
        done = not improvable or full or bool(ending.all())
        return Beams(tokens[going], running, parents[going], tuple(finished), improvable, done)

    @property
    def best(self) -> Tensor:
        """(T,) tokens of the best answer."""
        return self.finished[0][1]


class Lookahead:
    """Some next tokens (R, N) of each row, read in one forward of R x N rows.

    Behind it the generation's rows are these, those of one row one behind another, and so is what methods keep.
    """

    def __init__(self, run: Decoding, tokens: Tensor) -> None:
        self._run, self._tokens, self._before = run, tokens, run.save()
        run.reorder(torch.arange(len(tokens), device=tokens.device).repeat_interleave(tokens.shape[1]))
        self._made = run.next(tokens.flatten(), processed=False)

    def go_on(self, rows: Tensor, tokens: Tensor) -> Tensor:
        """Logits (n, V) behind ``tokens`` (n,) of ``rows`` (n,), which the generation goes on with.

        One that was not looked at is read now.
        """
        found = self._tokens[rows] == tokens[:, None]
        if bool(found.any(dim=1).all()):
            index = rows * self._tokens.shape[1] + found.int().argmax(dim=1)
            self._run.reorder(index)
            return self._made[index]
        self._run.restore(self._before)
        self._run.reorder(rows)
        return self._run.next(tokens, processed=False)


@dataclass
class Search:
    """The search for one prompt's answer, with what was before each token.

    past: the beams. kept: (K, ...) what the policy keeps of each beam. refused: pairs of a beam and a token that may
    not be chosen at a token, (n,) each. returns: how often the policy went back to a token, as it counts.
    """

    prompt: int
    past: list[Beams]
    kept: list[Tensor]
    refused: dict[int, list[tuple[Tensor, Tensor]]] = field(default_factory=dict)
    returns: Counter[int] = field(default_factory=Counter)

    @property
    def beams(self) -> Beams:
        return self.past[-1]

    @property
    def step(self) -> int:
        """Number of tokens so far."""
        return len(self.past) - 1

    @property
    def anew(self) -> bool:
        """Whether the next token was chosen before, and another one is wanted."""
        return self.step in self.refused

    def go_back(self, step: int) -> None:
        """Forget the token ``step`` and all behind it. What was chosen there, now or before, is refused next time."""
        chosen = self.past[step + 1]
        self.refused = {token: pairs for token, pairs in self.refused.items() if token <= step}
        self.refused.setdefault(step, []).append((chosen.parents, chosen.tokens[:, -1]))
        del self.past[step + 1 :], self.kept[step + 1 :]

    def without_refused(self, logits: Tensor) -> Tensor:
        """(K, V) in which what is refused is impossible."""
        allowed = logits.clone()
        for beams, tokens in self.refused[self.step]:
            allowed[beams, tokens] = -torch.inf
        return allowed


Look = Callable[[Sequence[Search], Tensor], "tuple[Tensor, Lookahead | None]"]
"""Scores (G x K, V), of which the softmax is taken, from the logits of G searches that are at the same token.

It may look ahead, and let searches go back; these are continued from there, whatever their scores.
"""
Keep = Callable[[Tensor], Tensor]
"""What is kept (R, ...) of beams behind a new token, from what was kept of each before it."""


def search(run: Decoding, beams: int, kept: Tensor, look: Look, keep: Keep) -> list[Search]:
    """Search for the answers of all prompts. ``kept`` (...) is what is kept of a beam before the first token.

    Where a token is chosen anew, all that is not refused may be chosen, by the model's own logits.
    """
    first = run.next(processed=False)
    start, device = run.save(), first.device
    searches = [
        Search(prompt, [Beams.begin(beams, device)], [kept.to(device).expand(beams, *kept.shape)])
        for prompt in range(run.rows)
    ]
    waiting = {0: searches}
    while waiting:
        group = waiting.pop(min(waiting))
        for one in _together(run, start, first, list(group), look, keep):
            waiting.setdefault(one.step, []).append(one)
    # What methods have kept is asked for by prompt.
    run.restore(start)
    return searches


def _together(run: Decoding, start: Saved, first: Tensor, group: list[Search], look: Look, keep: Keep) -> list[Search]:
    """Continue searches from the same token on; returned are those that went back.

    first: (B, V) logits of all prompts at ``start``.
    """
    rules = Rules(len(run.ends), run.limit, run.length_penalty, run.early_stopping)
    run.restore(start)
    prompts, size = run.ids, len(group[0].beams.scores)
    rows = torch.tensor([one.prompt for one in group], device=first.device).repeat_interleave(size)
    run.reorder(rows)
    logits, left = first[rows], []
    for step in range(group[0].step):
        logits = run.next(torch.cat([one.beams.tokens[:, step] for one in group]), processed=False)
    while group:
        step, process, ahead = group[0].step, run.processing(), None
        kept = torch.cat([one.kept[-1] for one in group])
        if group[0].anew:
            scores = torch.cat([one.without_refused(part) for one, part in zip(group, logits.split(size))])
        else:
            scores, ahead = look(group, logits)
        scores = process(scores.log_softmax(dim=-1))
        left += [one for one in group if one.step < step]
        going = []
        for place, (one, own) in enumerate(zip(group, scores.split(size))):
            if one.step == step:
                one.past.append(one.beams.advance(own, partial(_stopped, run, prompts[one.prompt]), rules))
                going += [] if one.beams.done else [place]
        if not going:
            break
        rows = torch.cat([place * size + group[place].beams.parents for place in going])
        group = [group[place] for place in going]
        tokens = torch.cat([one.beams.tokens[:, -1] for one in group])
        if ahead is None:
            run.reorder(rows)
            logits = run.next(tokens, processed=False)
        else:
            logits = ahead.go_on(rows, tokens)
        for one, own in zip(group, keep(kept[rows]).split(size)):
            one.kept.append(own)
    return left


def _stopped(run: Decoding, prompt: Tensor, tokens: Tensor) -> Tensor:
    """(n,) whether answers (n, T) to a prompt (L,) are finished."""
    return run.stopped(torch.cat([prompt.expand(len(tokens), -1), tokens.to(prompt)], dim=1)).to(tokens.device)
