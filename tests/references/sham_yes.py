"""sham_yes: the tokens that spell yes gain where the answer begins; or the released rule, at every token."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from hallu_models.testing import Row


def reference(method: Any, row: Row) -> Tensor:
    own = row.answers(row.forward()).clone()
    yes, no = (spellings(row.host.tokens, word) for word in ("yes", "no"))
    if method.variant == "shift":
        own[0, yes] += method.shift
        return own
    for logits in own:
        p, q = (float(logits.softmax(-1)[tokens].sum()) for tokens in (yes, no))
        if p + q > 0.2 and abs(p - q) < 0.5:
            said = max(yes, key=logits.tolist().__getitem__)
            logits[torch.arange(len(logits)) != said] = -torch.inf
    return own


def spellings(tokenizer: Any, word: str) -> list[int]:
    return [number for number in range(len(tokenizer)) if tokenizer.decode([number]).strip().lower() == word]
