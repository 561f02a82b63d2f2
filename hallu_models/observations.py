"""What an intervention saw and did, as arrays with named axes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch


@dataclass(frozen=True)
class Observation:
    """An array, the name of each of its axes, and where an axis counts layers, which layers those are."""

    values: np.ndarray
    axes: tuple[str, ...]
    layers: tuple[int, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {"axes": list(self.axes), "layers": list(self.layers), "values": self.values.tolist()}


def per_layer(states: Mapping[int, Mapping[str, Any]], key: str, axes: tuple[str, ...]) -> Observation:
    """Stack what each layer's state holds under ``key`` (B, ...) to (B, layer, ...); empty where no layer has it."""
    found = {layer: state[key] for layer, state in sorted(states.items()) if key in state}
    if not found:
        return Observation(np.zeros((0,) * len(axes)), axes)
    stacked = torch.stack([value.detach().cpu() for value in found.values()], dim=1)
    return Observation(stacked.float().numpy() if stacked.is_floating_point() else stacked.numpy(), axes, tuple(found))


@dataclass(frozen=True)
class Record:
    """A value (B, ...) that a hook recorded; ``step`` and ``layer`` are None outside of any, ``axes`` follow B."""

    step: int | None
    layer: int | None
    value: torch.Tensor
    axes: tuple[str, ...] = ()


def recorded(records: list[Record]) -> Observation:
    """All values of one name: (B, step, layer, ...), without the axes that the records have no place on."""
    first = records[0]
    if first.step is None:
        return Observation(records[-1].value.numpy(), ("row", *first.axes))
    if first.layer is None:
        stacked = torch.stack([record.value for record in records], dim=1)
        return Observation(stacked.numpy(), ("row", "step", *first.axes))
    layers = sorted({record.layer for record in records if record.layer is not None})
    steps = sorted({record.step for record in records if record.step is not None})
    by_place = {(record.step, record.layer): record.value for record in records}
    rows = [torch.stack([by_place[step, layer] for layer in layers], dim=1) for step in steps]
    return Observation(torch.stack(rows, dim=1).numpy(), ("row", "step", "layer", *first.axes), tuple(layers))
