"""Rows of a batch that the same methods act on, in one generation: the batch's own, or those of a negative branch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from torch import Tensor

from hallu_models.engines.hidden import LAYER_OUTPUT, HiddenPoint
from hallu_models.engines.point import Attending
from hallu_models.engines.step import LayerStep
from hallu_models.hosts.attention import AttentionCall
from hallu_models.layout import Layout
from hallu_models.session.memory import Memory
from hallu_models.session.plan import Plan


class Rows:
    """``layout`` is that of the prompts, ``total`` counts the columns so far."""

    def __init__(
        self, plan: Plan, memory: Memory, layout: Layout, total: int, project: Callable[[Tensor], Tensor] | None = None
    ) -> None:
        self.plan, self.memory, self.layout, self.total, self._project = plan, memory, layout, total, project

    @property
    def number(self) -> int:
        return self.layout.rows

    def goes_on(self, columns: int) -> None:
        """A forward behind the prompt reads so many columns more."""
        self.total += columns
        self.memory.step += 1
        self.memory.forget_forward()

    def reorder(self, index: Tensor, *, mixed: bool) -> None:
        """Rows go on from the rows ``index``; mixed: these may be other prompts' and any number."""
        self.memory.reorder(index)
        if mixed:
            self.layout = self.layout.taken(index)

    def saved(self) -> Callable[[], None]:
        """What is kept now; the function puts it back."""
        layout, total, kept = self.layout, self.total, self.memory.saved()

        def put_back() -> None:
            self.layout, self.total = layout, total
            kept()

        return put_back

    def attention(self, layer: int, call: AttentionCall) -> Tensor:
        """Head outputs (B, Lq, H, d) of a layer, as its edit points make them."""
        points = self.plan.attention.get(layer)
        if not points or not self.layout.any_image:
            return call.outputs()
        seen = min(call.key.shape[2], self.total)
        layout = self.layout.on(call.query.device)
        here = Attending(call, layout, self.memory.step, self.total, partial(self._at, layer, layout, seen))
        for point, methods in points:
            point.edit(here, methods)
        return here.outputs

    def hidden(self, point: HiddenPoint, layer: int, hidden: Tensor, given: Callable[[], Tensor]) -> Tensor:
        """Hidden states (B, L, D) as the methods at a point make them; ``given`` (B, L, D) is what the part read."""
        methods = self.plan.hidden.get((point, layer), ())
        if not methods or not self.layout.any_image:
            return hidden
        layout = self.layout.on(hidden.device)

        def at(item: Any) -> LayerStep:
            early = point is LAYER_OUTPUT and layer in self.plan.projecting.get(item.name, ())
            step = self._at(layer, layout, self.total, item)
            return replace(step, given=given, project=self._project if early else None)

        return point.edit(hidden, layout, methods, at)

    def _at(self, layer: int, layout: Layout, seen: int, item: Any) -> LayerStep:
        memory, name = self.memory, item.name
        return LayerStep(
            layer,
            memory.step,
            layout,
            layout.columns(self.total, seen),
            memory.states[name][layer],
            memory.generation[name],
            memory.shared[name],
            memory.recorder(name, layer),
        )
