"""What methods keep and record during one generation; it follows the beams."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from hallu_models.engines.step import Recorder, State
from hallu_models.observations import Observation, Record, recorded
from hallu_models.session.plan import Plan


class Memory:
    """States and records of the methods of a plan, for ``rows`` rows. ``step`` counts generated tokens."""

    def __init__(self, plan: Plan, rows: int, observe: bool) -> None:
        self._plan, self._observe, self.step, self._rows = plan, observe, 0, rows
        self._same_rows = True
        self.states: Mapping[str, Mapping[int, State]] = {
            name: {layer: State(name, rows) for layer in layers} for name, layers in plan.layers.items()
        }
        self.generation = {name: State(name, rows) for name in plan.layers}
        self.shared: dict[str, dict[str, Any]] = {}
        self._records: dict[str, dict[str, list[Record]]] = {name: {} for name in plan.layers}
        self.forget_forward()

    def forget_forward(self) -> None:
        """Another forward begins."""
        self.shared = {name: {} for name in self._plan.layers}

    def reorder(self, index: Tensor) -> None:
        """Rows go on from the rows ``index``, any number of them; what changes from step to step is recorded no more.

        An observation has the rows of the batch.
        """
        self._same_rows = self._same_rows and len(index) == self._rows
        for name, kept in self.generation.items():
            kept.reorder(index)
            for state in self.states[name].values():
                state.reorder(index)

    def saved(self) -> Callable[[], None]:
        """What is kept now; the function puts it back."""
        step = self.step
        generation = {name: kept.copied() for name, kept in self.generation.items()}
        states = {name: {layer: one.copied() for layer, one in kept.items()} for name, kept in self.states.items()}

        def put_back() -> None:
            self.step = step
            self.generation = {name: kept.copied() for name, kept in generation.items()}
            self.states = {name: {layer: one.copied() for layer, one in kept.items()} for name, kept in states.items()}
            self.forget_forward()
            for records in self._records.values():
                for key, entries in records.items():
                    records[key] = [entry for entry in entries if entry.step is None or entry.step <= step]

        return put_back

    def recorder(self, name: str, layer: int | None = None, *, steps: bool = True) -> Recorder:
        """Keeps values of this step, or of the whole generation (``steps=False``)."""
        if not self._observe or (steps and not self._same_rows):
            return Recorder()

        def record(key: str, value: Tensor, *axes: str) -> None:
            place = self.step if steps else None
            self._records[name].setdefault(key, []).append(Record(place, layer, value.detach().cpu(), axes))

        return Recorder(record)

    def observations(self) -> dict[str, Observation]:
        """What the methods saw and did, by name; ``method.name`` in a composition. Empty where nobody observes."""
        if not self._observe:
            return {}
        prefix = len(self._plan.methods) > 1
        found = {}
        for item in self._plan.methods:
            seen = {key: recorded(entries) for key, entries in self._records[item.name].items()}
            for key, value in {**seen, **item.observations(self.states[item.name])}.items():
                found[f"{item.name}.{key}" if prefix else key] = value
        return found
