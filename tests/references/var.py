"""VAR: sinks by the hidden states that enter a layer, and their attention to the rest of the image."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from hallu_models.testing import Row


def reference(method: Any, row: Row) -> Tensor:
    edited_layers = method.hook_layers("text_attention", row.host.depth)
    image = set(row.image.nonzero()[:, 0].tolist())
    sinks: dict[int, list[int]] = {}

    def handed_on(layer: int, hidden: Tensor) -> Tensor:
        found = []
        states = [state / (state.square().mean() + 1e-6).sqrt() for state in hidden[: row.prompt]]
        if method.dimensions == "search":
            dimensions = sorted(range(len(states[0])), key=lambda one: -abs(float(states[0][one])))[:2]
        else:
            dimensions = [int(one) for one in method.dimensions.split("+")]
        for column, state in enumerate(states):
            if max(abs(float(state[one])) for one in dimensions) > method.tau:
                found.append(column)
        sinks[layer + 1] = found
        return hidden

    def attend(layer: int, scores: Tensor) -> Tensor:
        attention = scores.softmax(dim=-1)
        if layer not in edited_layers:
            return attention
        visual = [column for column in sinks[layer] if column in image]
        for position in row.after.nonzero()[:, 0].tolist() if visual else []:
            for head in attention:
                weights = head[position].tolist()
                on_image = sum(weights[column] for column in image)
                if on_image < method.mass or sum(weights[column] for column in visual) > method.rho * on_image:
                    continue
                others = [column for column in image if column not in visual]
                total = sum(weights[column] for column in others)
                freed = sum(weights[column] for column in sinks[layer]) * (1 - method.p)
                for column in sinks[layer]:
                    head[position, column] = method.p * weights[column]
                for column in others:
                    head[position, column] = weights[column] + freed * weights[column] / total
        return attention

    return row.forward(attend, hidden={"layer_output": handed_on})
