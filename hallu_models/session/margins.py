"""The margin between yes and no at the first token of an answer: how far the answer is from the other one."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from hallu_models.engines.predictions import keeping_uncut
from hallu_models.hosts import generate, processors
from hallu_models.hosts.host import Host
from hallu_models.session.session import Session
from registry.runner.answers import Margin

DIGITS = 7
"""Those of float32."""

SAMPLED = "the answer was not decoded greedily"
IMPOSSIBLE = "neither yes nor no can be the first token"


@dataclass(frozen=True)
class YesNo:
    """The tokens that say yes and those that say no (``Yes``, ``yes``, ``▁Yes``, ``YES``), by id."""

    yes: Mapping[int, str]
    no: Mapping[int, str]

    @classmethod
    def of(cls, host: Host) -> YesNo:
        """Those of the model's tokenizer."""
        return cls(*(processors.tokens_of(host.processor, word) for word in ("yes", "no")))

    @property
    def missing(self) -> str:
        """Why no answer has a margin; empty where answers have one."""
        lacking = [word for word, tokens in (("yes", self.yes), ("no", self.no)) if not tokens]
        return f"the tokenizer has no token that says {' and none that says '.join(lacking)}" if lacking else ""

    def to_json(self) -> dict[str, Any]:
        """What a run's record says of them."""
        found = {"yes": list(self.yes.values()), "no": list(self.no.values())}
        return {**found, **({"missing": self.missing} if self.missing else {})}

    def refused(self, session: Session, options: Mapping[str, Any]) -> str:
        """Why answers under these options of ``generate`` have no margin; empty where they have one."""
        model = session.host.model
        greedy = not generate.effective(model, options, "do_sample") and generate.one_answer(model, options)
        return self.missing or ("" if greedy and session.plan.deciding is None else SAMPLED)


class FirstToken:
    """A logits processor that changes nothing and keeps log p(yes) and log p(no) of the first token on the device.

    As the last processor it is given the scores (B, V) that the token is chosen by, and they are no less than float32.
    """

    def __init__(self, words: YesNo, uncut: list[Tensor]) -> None:
        self._words, self._uncut = words, uncut
        self._found: Tensor | None = None

    def __call__(self, _: Tensor, scores: Tensor) -> Tensor:
        if self._found is None:
            before = self._uncut[0] if self._uncut and self._uncut[0].shape == scores.shape else None
            every = [scores] if before is None else [scores, before.to(scores.device)]
            self._found = torch.stack(
                [self._said(one, ids) for one in every for ids in (self._words.yes, self._words.no)]
            )
        return scores

    def margins(self) -> list[Margin]:
        """One for each row, once there was a token. Waits for the device."""
        if self._found is None:
            return []
        return [_margin(*row) for row in self._found.T.tolist()]

    def _said(self, scores: Tensor, ids: Mapping[int, str]) -> Tensor:
        """Logarithm (B,) of the summed probabilities of tokens, but for what all tokens share."""
        columns = torch.tensor([id for id in ids if id < scores.shape[-1]], device=scores.device)
        return scores[:, columns].float().logsumexp(dim=-1)


def _margin(yes: float, no: float, uncut_yes: float = -math.inf, uncut_no: float = -math.inf) -> Margin:
    if yes == no == -math.inf:
        return Margin(reason=IMPOSSIBLE)
    margin, uncut = _rounded(yes - no), _rounded(uncut_yes - uncut_no)
    return Margin(margin, uncut if math.isinf(margin) and math.isfinite(uncut) else None)


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


@contextlib.contextmanager
def read(words: YesNo) -> Iterator[FirstToken]:
    """Inside, the logits processor for one call of ``generate``."""
    with keeping_uncut() as uncut:
        yield FirstToken(words, uncut)
