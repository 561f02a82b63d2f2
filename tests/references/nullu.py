"""Nullu by its equations."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from hallu_models.interventions import Directions
from hallu_models.testing import Row


def reference(method: Any, row: Row) -> Tensor:
    chosen = method.layer_list(row.host.depth)

    def project(layer: int, states: Tensor) -> Tensor:
        if layer not in chosen:
            return states
        v = Directions.of(method.directions, "nullu").at(layer, states, method.rank).T
        return states @ (torch.eye(len(v)) - v @ v.T)

    return row.forward(hidden={"feed_forward_output": project})
