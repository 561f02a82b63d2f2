"""SID on one row, as one text: each row of the negative branch sees what the last row of its forward chose."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from hallu_models.testing import Row


def reference(method: Any, row: Row) -> Tensor:
    columns = row.image.nonzero()[:, 0].tolist()
    number = max(1, round(method.k * len(columns))) if method.k < 1 else int(method.k)
    hidden = torch.zeros(len(row.image), len(row.image), dtype=torch.bool)

    def attend(layer: int, scores: Tensor) -> Tensor:
        if layer == method.start - 1:
            given = scores.softmax(dim=-1).mean(dim=0)
            for place in range(len(row.image)):
                # The rows of the prompt are read in one forward.
                last = max(place, row.prompt - 1)
                least = sorted(columns, key=lambda column: float(given[last, column]))[:number]
                hidden[place, [column for column in columns if column not in least]] = True
        if layer >= method.start:
            left = scores.masked_fill(hidden, -torch.inf)
            for place in range(len(row.image)):
                if not bool(left[0, place].isfinite().any()):
                    left[:, place, place] = scores[:, place, place]
            scores = left
        return scores.softmax(dim=-1)

    main, other = row.answers(row.forward()), row.answers(row.forward(attend))
    combined = (1 + method.alpha) * main - method.alpha * other
    likely = main.softmax(dim=-1)
    return combined.masked_fill(likely < method.beta * likely.amax(dim=-1, keepdim=True), -torch.inf)
