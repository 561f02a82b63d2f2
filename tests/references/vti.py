"""VTI's textual half by its equations."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from hallu_models.interventions import Directions
from hallu_models.testing import Row


def reference(method: Any, row: Row) -> Tensor:
    chosen = method.layer_list(row.host.depth)

    def steer(layer: int, states: Tensor) -> Tensor:
        if layer not in chosen:
            return states
        d = Directions.of(method.directions, "vti").at(layer, states)[0]
        made = []
        for x in states:
            u = x / x.norm() + 0.1 * method.alpha_text * d / d.norm()
            made.append(x.norm() * u / u.norm())
        return torch.stack(made)

    return row.forward(hidden={"feed_forward_output": steer})
