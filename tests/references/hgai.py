"""HGAI: every head's score on an image column, plus the heads' mean absolute score there."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from hallu_models.testing import Row


def reference(method: Any, row: Row) -> Tensor:
    layers = method.layer_list(row.host.depth)

    def attend(layer: int, scores: Tensor) -> Tensor:
        if layer not in layers:
            return scores.softmax(dim=-1)
        edited = scores.clone()
        for position in row.last.nonzero()[:, 0].tolist():
            for column in row.image.nonzero()[:, 0].tolist():
                given = [float(head[position, column]) for head in scores]
                if float("-inf") in given:
                    continue
                mean = sum(map(abs, given)) / len(given)
                for head, score in enumerate(given):
                    edited[head, position, column] = score + method.alpha * mean
        return edited.softmax(dim=-1)

    return row.forward(attend)
