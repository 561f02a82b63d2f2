"""VAF: in the rows behind the image, scores on the image and on what stands in front of it times a factor."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

from hallu_models.testing import Row


def reference(method: Any, row: Row) -> Tensor:
    layers = method.layer_list(row.host.depth)
    first = int(row.image.nonzero().min())
    factors = [
        (row.image.nonzero()[:, 0].tolist(), method.enhance),
        (list(range(first)), method.suppress),
    ]

    def scaled(score: float, factor: float) -> float:
        if score == -math.inf:
            return score
        return score * factor if method.mode == "raw" else score + (factor - 1) * abs(score)

    def attend(layer: int, scores: Tensor) -> Tensor:
        edited = scores.clone()
        if layer in layers:
            for position in row.after.nonzero()[:, 0].tolist():
                for columns, factor in factors:
                    for column in columns:
                        for head, score in enumerate(scores[:, position, column].tolist()):
                            edited[head, position, column] = scaled(score, factor)
        return edited.softmax(dim=-1)

    return row.forward(attend)
