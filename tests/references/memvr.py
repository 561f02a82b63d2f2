"""MemVR by its equations. A column of the answer is a forward of its own, the prompt's columns are one."""

from __future__ import annotations

import math
from contextlib import ExitStack
from typing import Any

from torch import Tensor

from hallu_models.engines.hidden import FEED_FORWARD_OUTPUT
from hallu_models.testing import Row


def reference(method: Any, row: Row) -> Tensor:
    forwards = [range(row.prompt), *(range(column, column + 1) for column in range(row.prompt, len(row.image)))]
    retraced_in: dict[int, int] = {}
    z = row.embedded()[: row.prompt][row.columns]
    edits = {"feed_forward_output": retracing(row, z, forwards, retraced_in, method.rho)}
    for layer in method.early_layers(row.host.depth):
        with inputs_seen(row):
            likely = row.logits_of(row.handed_on(edits)[layer])
        for number, columns in enumerate(forwards):
            q = likely[columns[-1]].topk(10).values.softmax(-1)
            if number not in retraced_in and float(-(q * q.log()).sum() / math.log(10)) > method.tau:
                retraced_in[number] = layer + 1
    with inputs_seen(row):
        return row.forward(hidden=edits)


SEEN: dict[int, Tensor] = {}


def inputs_seen(row: Row) -> ExitStack:
    """Inside, what each feed-forward block reads (L, D) is in SEEN."""
    stack = ExitStack()
    for layer in range(row.host.depth):
        part = FEED_FORWARD_OUTPUT.part(row.host, layer)
        hook = part.register_forward_pre_hook(lambda _, args, layer=layer: SEEN.update({layer: args[0][0]}))
        stack.callback(hook.remove)
    return stack


def retracing(row: Row, z: Tensor, forwards: list[range], retraced_in: dict[int, int], rho: float) -> Any:
    def edit(layer: int, made: Tensor) -> Tensor:
        made = made.clone()
        for number, columns in enumerate(forwards):
            if retraced_in.get(number) == layer:
                own = made[list(columns)]
                r = SEEN[layer][list(columns)] @ z.T @ z
                made[list(columns)] = (1 - rho) * own + rho * r * own.abs().mean() / r.abs().mean()
        return made

    return edit
