"""Attention functions that stand in front of a model's own backend and let interventions edit chosen layers.

For a base backend such as ``sdpa`` a function ``hallu_sdpa`` is registered once per process, together with the mask
function of the base: without one of the same name transformers drops the mask. A session switches the language
model to it by name. Layers without an edit go straight to the base.
"""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, AttentionMaskInterface
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS, AttentionInterface, PreTrainedModel

from hallu_models.hosts.mismatch import HostMismatch

PREFIX = "hallu_"

AttentionResult = tuple[Tensor, "Tensor | None"]


@dataclass(frozen=True)
class AttentionCall:
    """One layer's attention in one forward pass, not computed yet.

    query (B, H, Lq, d); key and value (B, Hkv, Lk, d), not repeated for grouped heads; mask as the backend takes it.
    takes_masks: whether it takes any mask (B, H or 1, Lq, Lk).
    """

    function: Callable[..., AttentionResult]
    module: Any
    query: Tensor
    key: Tensor
    value: Tensor
    mask: Any
    options: dict[str, Any]
    takes_masks: bool = True

    def outputs(self) -> Tensor:
        """Head outputs (B, Lq, H, d) by the model's own backend. Raises HostMismatch for another shape."""
        made = self.function(self.module, self.query, self.key, self.value, self.mask, **self.options)[0]
        batch, heads, length, _ = self.query.shape
        if made.shape != (batch, length, heads, self.value.shape[-1]):
            raise HostMismatch(
                f"the attention backend gave head outputs of shape {tuple(made.shape)}, not (rows {batch}, positions "
                f"{length}, heads {heads}, size {self.value.shape[-1]})"
            )
        return made

    def rows(self, start: int, stop: int) -> AttentionCall:
        """The same call for some rows of the batch."""
        mask = self.mask
        if isinstance(mask, Tensor) and mask.shape[0] == self.query.shape[0]:
            mask = mask[start:stop]
        query, key, value = (states[start:stop] for states in (self.query, self.key, self.value))
        return dataclasses.replace(self, query=query, key=key, value=value, mask=mask)

    def filled(self, length: int) -> AttentionCall:
        """The call without the columns of a static cache that nothing has been written to yet."""
        if self.key.shape[2] <= length:
            return self
        mask = self.mask[..., :length] if isinstance(self.mask, Tensor) else self.mask
        return dataclasses.replace(self, key=self.key[:, :, :length], value=self.value[:, :, :length], mask=mask)

    @property
    def group(self) -> int:
        """Query heads that share one key and value head."""
        return self.query.shape[1] // self.key.shape[1]

    @property
    def scaling(self) -> float:
        scaling = self.options.get("scaling")
        return self.query.shape[-1] ** -0.5 if scaling is None else scaling

    def capped(self, scores: Tensor) -> Tensor:
        """Scores under the soft cap that the layer has, if it has one."""
        cap = self.options.get("softcap")
        return scores if cap is None else cap * torch.tanh(scores / cap)

    @property
    def window(self) -> int | None:
        """Columns that a position sees, itself included, where the mask does not say so; None for all."""
        return self.options.get("sliding_window")

    @property
    def declared_window(self) -> int | None:
        """The window that the module names for itself."""
        return getattr(self.module, "sliding_window", None)

    @cached_property
    def shown(self) -> Tensor | None:
        """(B or 1, H or 1, Lq, Lk) which columns each position sees, by the backend's mask; None where it has none."""
        mask = self.mask
        if not isinstance(mask, Tensor) or mask.ndim != 4:
            return None
        if mask.shape[2] != self.query.shape[2] or mask.shape[3] < self.key.shape[2]:
            raise HostMismatch(
                f"an attention mask of shape {tuple(mask.shape)} for {self.query.shape[2]} positions and "
                f"{self.key.shape[2]} columns"
            )
        mask = mask[..., : self.key.shape[2]]
        if mask.dtype == torch.bool:
            return mask
        if not mask.is_floating_point():
            raise HostMismatch(f"an attention mask of type {mask.dtype}, neither boolean nor added to the scores")
        # What hides a column is the lowest value of the mask's own type, or less.
        return mask > torch.finfo(mask.dtype).min / 2


Edit = Callable[[AttentionCall], Tensor]
"""Makes the head outputs (B, Lq, H, d) of one layer in place of the backend."""

_EDITS: WeakKeyDictionary[nn.Module, Edit] = WeakKeyDictionary()


def register(base: str) -> str:
    """Register the function in front of backend ``base`` if need be; return its name."""
    # transformers takes any name with "flash" in it for a kernel to be imported.
    name = PREFIX + base.replace("flash", "fast")
    if name not in ALL_ATTENTION_FUNCTIONS:
        AttentionInterface.register(name, _in_front_of(base))
        if base in ALL_MASK_ATTENTION_FUNCTIONS:
            AttentionMaskInterface.register(name, ALL_MASK_ATTENTION_FUNCTIONS[base])
    return name


def _in_front_of(base: str) -> Callable[..., AttentionResult]:
    flash, takes_masks = "flash" in base, base in ("sdpa", "eager")

    def attention(
        module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Any, **options: Any
    ) -> AttentionResult:
        function = _eager(module) if base == "eager" else ALL_ATTENTION_FUNCTIONS[base]
        # Flash attention finds its kernels by the name in the module's configuration.
        target = _as_configured(module, base) if flash else module
        edit = _EDITS.get(module)
        if edit is None:
            return function(target, query, key, value, mask, **options)
        return edit(AttentionCall(function, target, query, key, value, mask, options, takes_masks)), None

    return attention


def _eager(module: nn.Module) -> Callable[..., AttentionResult]:
    """The eager function of the module's own modeling file: the only place where transformers keeps it."""
    function = getattr(sys.modules[type(module).__module__], "eager_attention_forward", None)
    if function is None:
        raise ValueError(
            f"{type(module).__name__} has no eager attention of its own to put an intervention in front of; "
            "load the model with attn_implementation=sdpa"
        )
    return function  # type: ignore[no-any-return]


class _Renamed:
    """Another object's attributes, one of them replaced."""

    def __init__(self, target: Any, **replaced: Any) -> None:
        self.__dict__.update(replaced, _target=target)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._target, name)


def _as_configured(module: nn.Module, base: str) -> Any:
    return _Renamed(module, config=_Renamed(module.config, _attn_implementation=base))


def backend(decoder: Any) -> str:
    """Name of the attention backend that a decoder uses."""
    return decoder.config._attn_implementation  # type: ignore[no-any-return]


def rerouted(decoder: Any) -> bool:
    """Whether transformers can send a decoder's attention elsewhere."""
    return bool(decoder._can_set_attn_implementation())


def observe_calls(decoder: nn.Module, run: Callable[[], object]) -> list[tuple[nn.Module, int, int]]:
    """Run a forward with a recording attention function: each attention module called, its query and key heads.

    This is the proof that the decoder's attention can be re-routed: a model that ignores the name records nothing.
    """
    calls: list[tuple[nn.Module, int, int]] = []

    def record(
        module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, **_: Any
    ) -> AttentionResult:
        calls.append((module, query.shape[1], key.shape[1]))
        return query.new_zeros(query.shape[0], query.shape[2], query.shape[1], value.shape[-1]), None

    name = PREFIX + "observe"
    AttentionInterface.register(name, record)
    with switched(decoder, name):
        run()
    return calls


@contextlib.contextmanager
def edited(decoder: Any, edits: Mapping[nn.Module, Edit]) -> Iterator[None]:
    """Inside, the decoder's attention goes through this module, and these attention modules have edits."""
    with switched(decoder, register(backend(decoder))):
        _EDITS.update(edits)
        try:
            yield
        finally:
            for module in edits:
                _EDITS.pop(module, None)


class switched:
    """Context manager: the decoder's attention goes by another name, and by its own again on exit."""

    def __init__(self, decoder: Any, name: str) -> None:
        self.decoder, self.name = decoder, name

    def __enter__(self) -> None:
        configs = [module.config for module in self.decoder.modules() if isinstance(module, PreTrainedModel)]
        self.own = [(config, config._attn_implementation) for config in configs]
        self.decoder.set_attn_implementation(self.name)

    def __exit__(self, *_: object) -> None:
        for config, name in self.own:
            config._attn_implementation = name
