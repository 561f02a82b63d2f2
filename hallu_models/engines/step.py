"""Where a hook is called: what every edit point tells a method, and what the method may keep."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from hallu_models.engines.inside import Inside
from hallu_models.engines.tokens import Vocabulary
from hallu_models.layout import Columns, Layout


class Recorder:
    """``record(name, value, *axes)`` keeps a value (B, ...) for the observations; ``axes`` name those after the rows.

    False where nobody asked for observations; then what is recorded is dropped.
    """

    def __init__(self, keep: Callable[..., None] | None = None) -> None:
        self._keep = keep

    def __bool__(self) -> bool:
        return self._keep is not None

    def __call__(self, name: str, value: Tensor, *axes: str) -> None:
        if self._keep is not None:
            self._keep(name, value, *axes)


class State(dict[str, Any]):
    """What a method keeps from step to step, by names of its own.

    Tensors have the rows of the batch first (B, ...), also those in dictionaries, lists and tuples: when beams are
    reordered, so are they. Raises ValueError for other ones, which beams would leave behind.
    """

    def __init__(self, owner: str, rows: int) -> None:
        super().__init__()
        self._owner, self._rows = owner, rows

    def __setitem__(self, key: str, value: Any) -> None:
        self._moved(key, value, None)
        super().__setitem__(key, value)

    def update(self, *given: Mapping[str, Any], **named: Any) -> None:  # type: ignore[override]
        for key, value in dict(*given, **named).items():
            self[key] = value

    def setdefault(self, key: str, default: Any = None) -> Any:
        if key not in self:
            self[key] = default
        return self[key]

    def reorder(self, index: Tensor) -> None:
        """Rows take what the rows ``index`` kept, any number of them."""
        for key, value in list(self.items()):
            super().__setitem__(key, self._moved(key, value, index))
        self._rows = len(index)

    def copied(self) -> State:
        """What is kept now, in tensors of its own."""
        found = State(self._owner, self._rows)
        found.update(self)
        found.reorder(torch.arange(self._rows))
        return found

    def _moved(self, key: str, value: Any, index: Tensor | None) -> Any:
        if isinstance(value, Tensor) and value.ndim:
            if len(value) != self._rows:
                raise ValueError(
                    f"{self._owner} keeps {key} of shape {tuple(value.shape)} for a batch of {self._rows} rows: what "
                    "is kept from step to step has a row of the batch each (B, ...), because beams reorder it; compute "
                    "what belongs to no row anew, or keep it as a plain number or tuple"
                )
            return value if index is None else value[index.to(value.device)]
        if isinstance(value, dict):
            return {name: self._moved(f"{key}[{name!r}]", one, index) for name, one in value.items()}
        if isinstance(value, list | tuple):
            return type(value)(self._moved(f"{key}[{place}]", one, index) for place, one in enumerate(value))
        return value


@dataclass
class LayerStep:
    """One layer in one forward of one generation.

    ``step`` counts generated tokens, 0 is the prefill. ``columns`` has the masks over the Lk key columns. ``state``
    belongs to this method, layer and generation: what the prefill stores, decode steps find. ``generation`` belongs to
    this method and generation, and holds what its ``read`` stored. ``shared`` belongs to this method and forward: what
    one layer stores, later layers find. ``record`` keeps a value for the observations. ``rows`` (B, R) marks the rows
    of a block that are edited, where a hook is given blocks of rows. ``project`` is there in ``layer_output`` of the
    method's ``early_layers``: logits (B, V) in float32 that the output embeddings make of hidden states (B, D), behind
    the decoder's last norm. ``attended`` is there in ``row_scores`` and ``row_attention``: head outputs (B, H, d) that
    another attention (B, H, Lk) of the last row would give; nothing is edited by it.
    """

    layer: int
    step: int
    layout: Layout
    columns: Columns
    state: State
    generation: State
    shared: dict[str, Any]
    record: Recorder = field(default_factory=Recorder)
    rows: Tensor | None = None
    project: Callable[[Tensor], Tensor] | None = None
    given: Callable[[], Tensor] | None = None
    attended: Callable[[Tensor], Tensor] | None = None

    @property
    def block_input(self) -> Tensor:
        """What the part whose output is edited was given (B, Lq, D), such as a feed-forward block; in its hook."""
        if self.given is None:
            raise ValueError(
                f"layer {self.layer}: only hooks that edit what a part of a layer gives have a block_input"
            )
        return self.given()

    @property
    def prefill(self) -> bool:
        """Whether the prompt is being read."""
        return self.step == 0


@dataclass
class LogitsStep:
    """One position whose next token is predicted. ``step`` counts generated tokens, from 0.

    ``generation`` and ``record`` are those of :class:`LayerStep`. ``early`` gives logits of earlier layers, and
    ``layers`` are those of the method's ``early_layers``. ``inside`` holds what the model is made of. ``vocabulary``
    tells what single tokens say.
    """

    step: int
    layout: Layout
    generation: State
    record: Recorder
    early: Callable[..., Tensor]
    """``early(layer, normed=True)``: logits (B, V) in float32 that the output embeddings make of what ``layer`` hands
    on, behind the decoder's last norm or without it; ``early(layers)`` those of several, (B, n, V), for the price of
    little more than one; of the layers in the method's ``early_layers``."""
    layers: tuple[int, ...] = ()
    inside: Inside | None = None
    vocabulary: Vocabulary | None = None


def restored(edited: Tensor, plain: Tensor, layout: Layout) -> Tensor:
    """``edited`` (B, ...) where a row has an image, else what it was."""
    if not layout.rows_without_image or edited is plain:
        return edited
    return torch.where(layout.has_image.view(-1, *[1] * (edited.ndim - 1)), edited, plain)


def overriding(methods: Iterable[Any], hooks: Iterable[str]) -> tuple[Any, ...]:
    """The methods that override one of these hooks, in the order given."""
    return tuple(item for item in methods if any(map(item.overrides, hooks)))
