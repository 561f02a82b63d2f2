"""Generated tokens, and what single tokens say."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hallu_models.hosts import processors
from hallu_models.hosts.host import Host


def ends_of(tokens: torch.Tensor, end: int | list[int] | None) -> torch.Tensor:
    """Number of generated tokens (B,) of each answer (B, T), the first end-of-text token included."""
    found = torch.isin(tokens, torch.tensor(end if isinstance(end, list) else [-1 if end is None else end]).to(tokens))
    return torch.where(found.any(dim=1), found.int().argmax(dim=1) + 1, tokens.shape[1])


@dataclass(frozen=True)
class Vocabulary:
    """What single tokens of a model say."""

    host: Host

    @property
    def ends(self) -> Tensor:
        """Ids (N,) of the tokens that end an answer: the model configuration's, else the tokenizer's.

        Raises ValueError where neither names one.
        """
        ends = self.host.ends
        if ends is None and self.host.processor is not None:
            ends = processors.end_of(self.host.processor)
        if ends is None:
            raise ValueError(
                "no token ends an answer of this model: set model.generation_config.eos_token_id, or give attach() the "
                "processor, attach(model, ..., processor=processor)"
            )
        return torch.tensor(ends if isinstance(ends, list) else [ends])

    def spellings(self, word: str) -> Tensor:
        """Ids (N,) of the tokens that are this word and no more, in small or large letters, behind a blank or not.

        Raises ValueError without a tokenizer, and where no single token is the word.
        """
        if self.host.processor is None:
            raise ValueError(
                f"which tokens are {word!r} is known by the tokenizer alone: give attach() the processor, "
                "attach(model, ..., processor=processor), or use hallu_models.load(...)"
            )
        found = list(processors.tokens_of(self.host.processor, word))
        if not found:
            raise ValueError(f"no single token of this model is {word!r}; what acts on that word cannot work here")
        return torch.tensor(found)
