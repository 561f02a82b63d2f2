"""Changes that a host library could make, made on purpose: each a context manager around a loaded host.

The model keeps working by itself under every one of them; what changes is what this package sees of it.
"""

from __future__ import annotations

import contextlib
import functools
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import nn
from transformers.cache_utils import Cache
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from hallu_models.hosts import attention, forward
from hallu_models.hosts.host import Host

OURS = "hallu_sdpa"
IMAGE_COLUMNS: list[torch.Tensor] = []

GROUNDS: dict[str, Callable[[Host, pytest.MonkeyPatch], Any]] = {}
"""By the name that the table in ``hallu_models/hosts/README.md`` gives them."""


OWN_ROWS = ("dleaf", "eah")
CONCERNED = {
    "scaling handed over under another name": OWN_ROWS,
    "softcap handed over under another name": OWN_ROWS,
    "window handed over under another name": OWN_ROWS,
}
"""Grounds that change what the model itself computes, so that only the arms that compute rows anew can be judged."""

REINSPECTED = ("layers run in another order",)
"""Grounds whose right answers are those of a host that was inspected on them."""


def ground(name: str) -> Callable[[Any], Any]:
    def keep(change: Any) -> Any:
        GROUNDS[name] = change
        return change

    return keep


def asked_by_us(depth: int = 2) -> bool:
    return str(sys._getframe(depth).f_globals.get("__name__", "")).startswith("hallu_models")


@contextlib.contextmanager
def as_kind(module: nn.Module, **members: Any) -> Iterator[None]:
    """The module is of a subclass with these members."""
    own = type(module)
    module.__class__ = type(own.__name__, (own,), members)
    try:
        yield
    finally:
        module.__class__ = own


def cache_name(host: Host) -> str:
    return forward.cache_parameter(type(host.decoder).forward)


def renamed(host: Host, old: str, new: str) -> Any:
    """The decoder's argument ``old`` is called ``new``, by everyone who knows."""
    kind = type(host.decoder)

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        if not asked_by_us() and old in kwargs:
            kwargs[new] = kwargs.pop(old)
        return kind.__call__(self, *args, **kwargs)

    def run(self: Any, *args: Any, **kwargs: Any) -> Any:
        if old in kwargs:
            raise TypeError(f"forward() got an unexpected keyword argument '{old}'")
        if new in kwargs:
            kwargs[old] = kwargs.pop(new)
        return kind.forward(self, *args, **kwargs)

    return as_kind(host.decoder, __call__=call, forward=run)


@ground("cache argument renamed")
def _(host: Host, patch: pytest.MonkeyPatch) -> Any:
    return renamed(host, cache_name(host), "key_value_store")


@ground("embeddings argument renamed")
def _(host: Host, patch: pytest.MonkeyPatch) -> Any:
    return renamed(host, "inputs_embeds", "embeddings")


@ground("mask argument renamed")
def _(host: Host, patch: pytest.MonkeyPatch) -> Any:
    return renamed(host, "attention_mask", "padding_mask")


@ground("arguments passed by position")
def _(host: Host, patch: pytest.MonkeyPatch) -> Any:
    kind = type(host.decoder)
    # transformers itself adds what comes behind by name.
    order = [name for name in forward.names(kind.forward) if name != "use_cache"]

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        placed = [kwargs.pop(name, None) for name in order[len(args) :]]
        return kind.__call__(self, *args, *placed, **kwargs)

    return as_kind(host.decoder, __call__=call)


@ground("decoder run past its hooks")
def _(host: Host, patch: pytest.MonkeyPatch) -> Any:
    kind = type(host.decoder)

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        return kind.forward(self, *args, **kwargs)

    return as_kind(host.decoder, __call__=call)


def told(length: Callable[[int], Any]) -> Any:
    """What the cache says of its length to this package."""

    def change(host: Host, patch: pytest.MonkeyPatch) -> Any:
        own = Cache.get_seq_length

        def changed(self: Any, *args: Any, **kwargs: Any) -> Any:
            found = own(self, *args, **kwargs)
            return length(int(found)) if asked_by_us() else found

        patch.setattr(Cache, "get_seq_length", changed)
        return contextlib.nullcontext()

    return change


GROUNDS["cache length always 0"] = told(lambda length: 0)
GROUNDS["cache length a tensor"] = told(torch.tensor)
GROUNDS["cache length one more"] = told(lambda length: length + 1)
GROUNDS["cache length one less"] = told(lambda length: max(length - 1, 0))


@ground("cache length gone")
def _(host: Host, patch: pytest.MonkeyPatch) -> Any:
    def gone(self: Any, *args: Any, **kwargs: Any) -> Any:
        if asked_by_us():
            raise AttributeError("'DynamicCache' object has no attribute 'get_seq_length'")
        return own(self, *args, **kwargs)

    own = Cache.get_seq_length
    patch.setattr(Cache, "get_seq_length", gone)
    return contextlib.nullcontext()


@ground("prefill in two chunks")
def _(host: Host, patch: pytest.MonkeyPatch) -> Any:
    kind, name = type(host.decoder), cache_name(host)

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        embeddings = kwargs.get("inputs_embeds")
        if asked_by_us() or embeddings is None or embeddings.shape[1] == 1 or kwargs.get(name) is None:
            return kind.__call__(self, *args, **kwargs)
        half = embeddings.shape[1] // 2
        kept = []
        for part in (slice(0, half), slice(half, None)):
            chunk = {**kwargs, "inputs_embeds": embeddings[:, part]}
            chunk["attention_mask"] = kwargs["attention_mask"][:, : part.stop]
            if kwargs.get("position_ids") is not None:
                chunk["position_ids"] = kwargs["position_ids"][:, part]
            kept.append(kind.__call__(self, *args, **chunk))
        kept[1].last_hidden_state = torch.cat([output.last_hidden_state for output in kept], dim=1)
        return kept[1]

    return as_kind(host.decoder, __call__=call)


@ground("a decode step run twice")
def _(host: Host, patch: pytest.MonkeyPatch) -> Any:
    kind, name = type(host.decoder), cache_name(host)

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        embeddings = kwargs.get("inputs_embeds")
        if not asked_by_us() and embeddings is not None and embeddings.shape[1] == 1 and kwargs.get(name) is not None:
            kind.__call__(self, *args, **kwargs)
            kwargs[name].crop(-1)
        return kind.__call__(self, *args, **kwargs)

    return as_kind(host.decoder, __call__=call)


@ground("mask functions no longer found by name")
def _(host: Host, patch: pytest.MonkeyPatch) -> Any:
    attention.register("sdpa")
    patch.setitem(ALL_MASK_ATTENTION_FUNCTIONS._global_mapping, OURS, lambda *_, **__: None)
    return contextlib.nullcontext()


def masks(change: Callable[[Any], Any]) -> Any:
    """What mask attention functions are given under the name of this package."""

    def changed(host: Host, patch: pytest.MonkeyPatch) -> Any:
        attention.register("sdpa")
        own = ALL_MASK_ATTENTION_FUNCTIONS[OURS]
        patch.setitem(
            ALL_MASK_ATTENTION_FUNCTIONS._global_mapping, OURS, lambda *args, **kwargs: change(own(*args, **kwargs))
        )
        return contextlib.nullcontext()

    return changed


def added(mask: Any) -> Any:
    return None if mask is None else torch.zeros(mask.shape).masked_fill(~mask, torch.finfo(torch.float32).min)


GROUNDS["masks added, not boolean"] = masks(added)
GROUNDS["masks of whole numbers"] = masks(lambda mask: None if mask is None else mask.int())
GROUNDS["masks transposed"] = masks(lambda mask: None if mask is None else mask.transpose(-1, -2))
GROUNDS["masks that hide what they showed"] = masks(lambda mask: None if mask is None else ~mask)


def called(change: Callable[..., Any]) -> Any:
    """How a layer calls this package's attention function: ``change(function, module, q, k, v, mask, **options)``."""

    def changed(host: Host, patch: pytest.MonkeyPatch) -> Any:
        attention.register("sdpa")
        own = ALL_ATTENTION_FUNCTIONS[OURS]
        patch.setitem(
            ALL_ATTENTION_FUNCTIONS._global_mapping, OURS, lambda *args, **options: change(own, *args, **options)
        )
        return contextlib.nullcontext()

    return changed


@ground("keys repeated for grouped heads")
def _(host: Host, patch: pytest.MonkeyPatch) -> Any:
    def repeat(function: Any, module: Any, query: Any, key: Any, value: Any, mask: Any, **options: Any) -> Any:
        times = query.shape[1] // key.shape[1]
        key, value = (states.repeat_interleave(times, dim=1) for states in (key, value))
        groups, module.num_key_value_groups = module.num_key_value_groups, 1
        try:
            return function(module, query, key, value, mask, **options)
        finally:
            module.num_key_value_groups = groups

    return called(repeat)(host, patch)


def backend(function: Any) -> Any:
    """Another function under the name of the model's own backend."""

    def changed(host: Host, patch: pytest.MonkeyPatch) -> Any:
        patch.setitem(ALL_ATTENTION_FUNCTIONS._global_mapping, "sdpa", function)
        return contextlib.nullcontext()

    return changed


@ground("scaling handed over under another name")
def _(host: Host, patch: pytest.MonkeyPatch) -> Any:
    """For a model whose scaling is not that of its head size."""
    for module in host.attention:
        patch.setattr(module, "scaling", 0.7)

    def known(module: Any, *args: Any, temper: Any = None, **options: Any) -> Any:
        options.setdefault("scaling", temper)
        return sdpa_attention_forward(module, *args, **options)

    backend(known)(host, patch)

    def rename(function: Any, *args: Any, scaling: Any = None, **options: Any) -> Any:
        return function(*args, temper=scaling, **options)

    return called(rename)(host, patch)


def shaped(change: Callable[[torch.Tensor, torch.Tensor | None], torch.Tensor]) -> Any:
    """A backend that changes scores (B, H, Lq, Lk) in a way that it is told of under a name nobody knows."""

    def attend(module: Any, query: Any, key: Any, value: Any, mask: Any, scaling: Any = None, **_: Any) -> Any:
        key, value = (states.repeat_interleave(query.shape[1] // key.shape[1], dim=1) for states in (key, value))
        scores = change(query @ key.transpose(2, 3) * (scaling or query.shape[-1] ** -0.5), mask)
        columns = torch.arange(key.shape[2])
        if mask is None:
            mask = columns[None, :] <= columns[-query.shape[2] :, None]
        scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
        return (scores.softmax(dim=-1) @ value).transpose(1, 2).contiguous(), None

    return backend(attend)


GROUNDS["softcap handed over under another name"] = shaped(lambda scores, _: 0.5 * torch.tanh(scores / 0.5))


def windowed(scores: torch.Tensor, _: Any) -> torch.Tensor:
    columns = torch.arange(scores.shape[-1])
    near = columns[-scores.shape[-2] :, None] - columns[None, :] < 5
    return scores.masked_fill(~near, -30.0)


GROUNDS["window handed over under another name"] = shaped(windowed)


@ground("head outputs in another axis order")
def _(host: Host, patch: pytest.MonkeyPatch) -> Any:
    def transposed(*args: Any, **options: Any) -> Any:
        outputs, weights = sdpa_attention_forward(*args, **options)
        return (outputs.transpose(1, 2) if asked_by_us() else outputs), weights

    backend(transposed)(host, patch)

    def back(function: Any, *args: Any, **options: Any) -> Any:
        outputs, weights = function(*args, **options)
        length = args[1].shape[2]
        return (outputs if outputs.shape[1] == length else outputs.transpose(1, 2)), weights

    return called(back)(host, patch)


@ground("attention that ignores its name")
def _(host: Host, patch: pytest.MonkeyPatch) -> Any:
    patch.setattr(
        type(ALL_ATTENTION_FUNCTIONS), "get_interface", lambda self, name, default: self._global_mapping["sdpa"]
    )
    return contextlib.nullcontext()


@ground("layers run in another order")
def _(host: Host, patch: pytest.MonkeyPatch) -> Any:
    return reversed_layers(host.decoder)


@contextlib.contextmanager
def reversed_layers(decoder: Any) -> Iterator[None]:
    own = decoder.layers
    decoder.layers = nn.ModuleList(reversed(own))
    try:
        for number, layer in enumerate(decoder.layers):
            layer.self_attn.layer_idx = number
        yield
    finally:
        decoder.layers = own
        for number, layer in enumerate(own):
            layer.self_attn.layer_idx = number


@ground("images encoded inside the decoder")
def _(host: Host, patch: pytest.MonkeyPatch) -> Any:
    kind, held = type(host.decoder), []
    kind_of_model = type(host.model)

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        embeddings = kwargs.get("inputs_embeds")
        if not asked_by_us() and embeddings is not None and embeddings.shape[1] > 1:
            held.append(embeddings)
            kwargs["inputs_embeds"] = embeddings.masked_fill(IMAGE_COLUMNS[-1][:, :, None], 0.5)
        return kind.__call__(self, *args, **kwargs)

    def run(self: Any, *args: Any, **kwargs: Any) -> Any:
        if held:
            kwargs["inputs_embeds"] = held.pop()
        return kind.forward(self, *args, **kwargs)

    @functools.wraps(kind_of_model.forward)
    def noting(self: Any, *args: Any, **kwargs: Any) -> Any:
        ids = kwargs.get("input_ids")
        tokens = torch.tensor(sorted(host.image_tokens))
        IMAGE_COLUMNS.append(torch.isin(ids, tokens))
        # The first column of each image stays where it was.
        first = IMAGE_COLUMNS[-1].int().argmax(dim=1)
        IMAGE_COLUMNS[-1][torch.arange(len(ids)), first] = False
        return kind_of_model.forward(self, *args, **kwargs)

    stack = contextlib.ExitStack()
    stack.enter_context(as_kind(host.model, forward=noting))
    stack.enter_context(as_kind(host.decoder, __call__=call, forward=run))
    return stack


@ground("logits of the last position alone")
def _(host: Host, patch: pytest.MonkeyPatch) -> Any:
    kind = type(host.model)

    @functools.wraps(kind.forward)
    def last(self: Any, *args: Any, **kwargs: Any) -> Any:
        output = kind.forward(self, *args, **kwargs)
        output.logits = output.logits[:, -1:]
        return output

    return as_kind(host.model, forward=last)


@ground("logits under another name")
def _(host: Host, patch: pytest.MonkeyPatch) -> Any:
    def gone(output: Any) -> Any:
        raise AttributeError(f"'{type(output).__name__}' object has no attribute 'logits'")

    patch.setattr(forward, "logits_of", gone)
    return contextlib.nullcontext()


@ground("cache reordered by other means")
def _(host: Host, patch: pytest.MonkeyPatch) -> Any:
    own = Cache.reorder_cache
    patch.setattr(Cache, "reorder_cache", property(lambda self: own.__get__(self), lambda self, _: None), raising=True)
    return contextlib.nullcontext()


@ground("a forward hook's changes dropped")
def _(host: Host, patch: pytest.MonkeyPatch) -> Any:
    kind = type(host.causal)

    def register(self: Any, hook: Any, **options: Any) -> Any:
        return kind.register_forward_hook(self, lambda *given: (hook(*given), None)[1], **options)

    return as_kind(host.causal, register_forward_hook=register)
