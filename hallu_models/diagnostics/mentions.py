"""The tokens of an answer as text, and which of them name objects, rightly or wrongly."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Literal

from hallu_tasks.scoring import chair

Mark = Literal["", "correct", "hallucinated"]


def texts(tokenizer: Any, tokens: Sequence[int]) -> list[str]:
    """Each token's text as it stands in the answer."""
    return [tokenizer.decode([token]).strip() or repr(tokenizer.decode([token])) for token in tokens]


def marks(tokenizer: Any, tokens: Sequence[int], objects: Collection[str] | None) -> list[Mark]:
    """For each token, whether it completes the mention of an object that is in ``objects``, or is not; else "".

    CHAIR reads ever longer beginnings of the answer; a mention belongs to the token with which it came up. "carrot",
    spelled "car" and "rot", is read as a car first, and belongs to "rot".
    """
    found: list[Mark] = [""] * len(tokens)
    if objects is None:
        return found
    owners: list[int] = []
    before: list[str] = []
    for index in range(len(tokens)):
        named = chair.objects(tokenizer.decode(tokens[: index + 1], skip_special_tokens=True))
        same = next((n for n, (a, b) in enumerate(zip(before, named)) if a != b), min(len(before), len(named)))
        owners = owners[:same] + [index] * (len(named) - same)
        before = named
    for owner, name in zip(owners, before):
        found[owner] = "correct" if name in objects else "hallucinated"
    return found
