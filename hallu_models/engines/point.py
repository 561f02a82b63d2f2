"""Edit points in a layer's attention: each takes the layer as the point before has left it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from torch import Tensor

from hallu_models.engines.step import LayerStep, restored
from hallu_models.hosts.attention import AttentionCall
from hallu_models.layout import Layout


class Attending:
    """One layer's attention in one forward, while edit points act on it one after another.

    call: what the backend is to be given. outputs: head outputs (B, Lq, H, d), by the backend where no point has made
    them; a point that makes them spares the backend its work. at: the method's place here.
    """

    def __init__(self, call: AttentionCall, layout: Layout, step: int, total: int, at: Callable[[Any], LayerStep]):
        self._given, self._total = call, total
        self.layout, self.step, self.at = layout, step, at
        self._outputs: Tensor | None = None

    @property
    def prefill(self) -> bool:
        return self.step == 0

    @cached_property
    def call(self) -> AttentionCall:
        """The call without columns that nothing has been written to."""
        return self._given.filled(self._total)

    def with_values(self, values: Tensor) -> None:
        """Attend to other values (B, Hkv, Lk, d)."""
        self._given = self.call = dataclasses.replace(self.call, value=values)

    def with_mask(self, mask: Tensor) -> None:
        """Attend under another mask (B, H or 1, Lq, Lk)."""
        self._given = self.call = dataclasses.replace(self.call, mask=mask)

    @property
    def outputs(self) -> Tensor:
        if self._outputs is None:
            self._outputs = self._given.outputs()
        return self._outputs

    @outputs.setter
    def outputs(self, made: Tensor) -> None:
        self._outputs = made

    def edit(self, made: Tensor) -> None:
        """Head outputs of the rows with an image."""
        self.outputs = restored(made, self.outputs, self.layout) if self.layout.rows_without_image else made


@dataclass(frozen=True)
class AttentionPoint:
    """An edit point in a layer's attention.

    hooks: the methods of an intervention that switch it on. edit: lets the methods that override them act, in the order
    written. undoes: names of points whose edits this one would overwrite in the same layer.
    """

    name: str
    hooks: tuple[str, ...]
    edit: Callable[[Attending, Sequence[Any]], None]
    undoes: tuple[str, ...] = ()
