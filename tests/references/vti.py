"""VTI's textual half by its equations."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor

from hallu_models.hosts import encoder
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

    with encoder_steered(method, row):
        return row.forward(hidden={"feed_forward_output": steer} if method.alpha_text else None)


def encoder_steered(method: Any, row: Row) -> ExitStack:
    """Inside, the image encoder's feed-forward blocks are turned position by position."""
    stack, source = ExitStack(), Directions.of(method.directions, "vti")
    for number, layer in enumerate(encoder.layers(row.host) if method.alpha_image else ()):

        def steer(_: Any, args: Any, made: Tensor, number: int = number) -> Tensor:
            made = made.clone()
            directions = source.in_encoder(number, made).expand(made.shape[1], -1)
            for picture in made:
                for position, d in enumerate(directions):
                    x = picture[position]
                    u = x / x.norm() + 0.1 * method.alpha_image * d / d.norm()
                    picture[position] = x.norm() * u / u.norm()
            return made

        stack.callback(encoder.feed_forward(layer).register_forward_hook(steer).remove)
    return stack
