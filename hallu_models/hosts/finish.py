"""From hidden states to logits, for rows that run beside the model's own forward.

Models differ in what follows their output embeddings: nothing, a soft cap, or a scale, and releases of transformers
differ in which model has which. So it is read off the model's own forward rather than its configuration.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from hallu_models.hosts import forward
from hallu_models.hosts.inputs import rope_kept

Finish = Callable[[Tensor], Tensor]

_TOLERANCE = 0.02
"""Of the largest logit: half precision rounds."""


def finish(raw: Tensor, made: Tensor, cap: float | None) -> Finish:
    """What turned ``raw`` outputs of the embeddings into the ``made`` logits, both (B, V), of a forward.

    ``cap`` is the height of the decoder's soft cap, if its configuration names one. Raises ValueError where it is none
    of the known ways.
    """
    raw, made = raw.float(), made.float()
    if torch.equal(raw, made):
        return lambda logits: logits
    scale = (raw * made).sum() / (raw * raw).sum().clamp(min=torch.finfo(raw.dtype).tiny)
    ways: list[Finish] = [lambda logits: scale.to(logits.device) * logits]
    if cap is not None:
        ways.append(lambda logits: cap * torch.tanh(logits / cap))
    # The best of them: where all logits are small, a cap hardly shows, and later ones may be larger.
    errors = [float((way(raw) - made).abs().amax()) for way in ways]
    if min(errors) <= _TOLERANCE * float(made.abs().amax()):
        return ways[errors.index(min(errors))]
    raise ValueError(
        "what this model makes of the logits of its output embeddings is neither a soft cap nor a scale; use "
        'branch="paired", which takes them from its own forward'
    )


def of_words(causal: Any, device: torch.device) -> tuple[Tensor, Tensor]:
    """Raw outputs of the embeddings and the logits (B, V) that a language model makes of them, over two words.

    The model's own hooks are passed by, for it is none of a generation's forwards.
    """
    raw: list[Tensor] = []
    hook = causal.get_output_embeddings().register_forward_hook(lambda _, args, output: raw.append(output))
    ids = torch.tensor([[0, 1]], device=device)
    try:
        with torch.no_grad(), rope_kept(causal):
            made = forward.logits_of(causal.forward(**forward.of_text(ids), use_cache=False))
    finally:
        hook.remove()
    return raw[-1][:, -1], made[:, -1]
