"""From hidden states to logits, for rows that run beside the model's own forward.

Models differ in what follows their output embeddings: nothing, a soft cap, or a scale, and releases of transformers
differ in which model has which. So it is read off the model's own forward rather than its configuration.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

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
