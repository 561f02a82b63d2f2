"""What one forward of a model or of its decoder is given, and what it gives."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache as remembered
from inspect import Parameter, signature
from typing import Any

import torch
from torch import Tensor, nn
from transformers import DynamicCache
from transformers.cache_utils import Cache

from hallu_models.hosts.mismatch import HostMismatch

IDS, MASK, TYPES = "input_ids", "attention_mask", "token_type_ids"
EMBEDDINGS, POSITIONS, ENCODED = "inputs_embeds", "position_ids", "mm_encoder_outputs"


@dataclass(frozen=True)
class Call:
    """The arguments of one forward by name, those too that were given by position."""

    arguments: dict[str, Any]

    @classmethod
    def of(cls, module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Call:
        return cls({**dict(zip(names(type(module).forward), args)), **kwargs})

    @property
    def cache(self) -> Any:
        """The argument that is a key-value cache; None where there is none."""
        return self.arguments.get(self.cache_name or "")

    @property
    def cache_name(self) -> str | None:
        found = [name for name, value in self.arguments.items() if isinstance(value, Cache)]
        if len({id(self.arguments[name]) for name in found}) > 1:
            raise HostMismatch(f"a forward was given several caches: {', '.join(found)}")
        return found[0] if found else None

    @property
    def past(self) -> int:
        """Columns that the cache holds before this forward; 0 without one."""
        return 0 if self.cache is None else columns_in(self.cache)

    @property
    def encoded(self) -> Any:
        """Image features that ``generate`` made before its first forward; None where it leaves that to the model."""
        return self.arguments.get(ENCODED)

    def embeddings(self, embed: Callable[[Tensor], Tensor]) -> Tensor:
        """(B, L, D) the columns that are read, by ``embed`` where the forward is given ids."""
        found = self.arguments.get(EMBEDDINGS)
        if found is not None:
            return found  # type: ignore[no-any-return]
        ids = self.arguments.get(IDS)
        if ids is not None:
            return embed(ids)
        wide = [v for v in self.arguments.values() if isinstance(v, Tensor) and v.ndim == 3 and v.is_floating_point()]
        if len(wide) != 1:
            raise HostMismatch(f"the decoder's arguments ({', '.join(self.arguments)}) hold neither ids nor embeddings")
        return wide[0]

    def prompt(self, names: Iterable[str]) -> dict[str, Any]:
        """The arguments with these names that say what the prompt is: neither absent ones nor a cache."""
        return prompt(self.arguments, names)

    def replaced(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Keyword arguments with changes; nothing is added that is None."""
        own = self.arguments
        return {**own, **{name: value for name, value in changes.items() if value is not None or name in own}}

    def with_embeddings(self, embeddings: Tensor) -> Call:
        """The same call, with embeddings in the place of ids."""
        if self.arguments.get(EMBEDDINGS) is embeddings:
            return self
        return Call({**{name: value for name, value in self.arguments.items() if name != IDS}, EMBEDDINGS: embeddings})


@remembered
def names(function: Callable[..., Any]) -> tuple[str, ...]:
    """Names of the positional parameters of a method, ``self`` left out."""
    kinds = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
    return tuple(name for name, one in signature(function).parameters.items() if one.kind in kinds)[1:]


def prompt(arguments: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Arguments with these names that say what the prompt is: neither absent ones nor a cache."""
    chosen = {name: arguments.get(name) for name in names}
    return {name: value for name, value in chosen.items() if value is not None and not isinstance(value, Cache)}


def inputs_of(model: Any) -> frozenset[str]:
    """Names of what a model's forward takes as a prompt."""
    return frozenset(signature(model.forward).parameters) - _NOT_INPUTS


_NOT_INPUTS = frozenset(
    {"past_key_values", "cache", "use_cache", "labels", "logits_to_keep", "kwargs", ENCODED, EMBEDDINGS, POSITIONS}
    | {"output_attentions", "output_hidden_states", "return_dict"}
)


def cache_parameter(function: Callable[..., Any]) -> str:
    """Name of the parameter that takes a cache, by its annotation."""
    found = [name for name, one in signature(function).parameters.items() if "Cache" in str(one.annotation)]
    if len(found) != 1:
        raise HostMismatch(f"{function.__qualname__} has {len(found) or 'no'} parameters that take a cache")
    return found[0]


# Prompts.


def ids_of(inputs: Mapping[str, Any]) -> Tensor | None:
    """Ids (B, L) of model inputs."""
    return inputs.get(IDS)


def of_text(ids: Tensor) -> dict[str, Tensor]:
    """Model inputs of a text's ids (B, L) without padding."""
    return {IDS: ids, MASK: torch.ones_like(ids)}


def mask_of(inputs: Mapping[str, Any]) -> Tensor | None:
    """Padding mask (B, L) of model inputs, nonzero at real columns."""
    return inputs.get(MASK)


def types_of(inputs: Mapping[str, Any]) -> Tensor | None:
    """Token types (B, L) of model inputs."""
    return inputs.get(TYPES)


# Caches.


def is_cache(value: Any) -> bool:
    """Whether a value is a key-value cache."""
    return isinstance(value, Cache)


def cached_in(output: Any) -> bool:
    """Whether a decoder gave back a cache, so that the next forward can go on from this one."""
    return any(map(is_cache, output if isinstance(output, tuple) else output.values()))


def columns_in(cache: Any) -> int:
    """Number of columns that a cache has been given."""
    return int(cache.get_seq_length())


def fixed_rows(cache: Any) -> bool:
    """Whether a cache has room for the rows of the batch alone."""
    return bool(getattr(cache, "is_compileable", False))


def new_cache(decoder: Any) -> Any:
    """An empty cache for a decoder."""
    return DynamicCache(config=decoder.config)


def reorder(cache: Any, index: Tensor) -> None:
    """Rows of a cache go on from its rows ``index``."""
    cache.reorder_cache(index)


def layers_of(cache: Any) -> list[Any]:
    """What a cache holds now, for :func:`put_back`: its layers make new tensors of old ones and change none.

    Raises ValueError for a cache that is written in place.
    """
    if fixed_rows(cache):
        raise ValueError(
            "a static cache has room for the rows of the batch alone and is written in place, so that nothing can go "
            "back in it: use the default cache"
        )
    return [copy.copy(layer) for layer in cache.layers]


def put_back(cache: Any, layers: Iterable[Any]) -> None:
    """The cache holds what :func:`layers_of` has found in it."""
    cache.layers = [copy.copy(layer) for layer in layers]


def on_reorder(cache: Any, order: Callable[[Tensor], Tensor]) -> None:
    """Where the rows of a cache are reordered by an index (R,), as by beam search, they are by ``order(index)``."""
    own = cache.reorder_cache
    cache.reorder_cache = _Reordering(own.own if isinstance(own, _Reordering) else own, order)


@dataclass(frozen=True)
class _Reordering:
    own: Callable[[Tensor], None]
    order: Callable[[Tensor], Tensor]

    def __call__(self, index: Tensor) -> None:
        self.own(self.order(index))


# Outputs.


def logits_of(output: Any) -> Tensor:
    """(B, L or 1, V) of a model's output."""
    return output.logits  # type: ignore[no-any-return]


def made_in(output: Any) -> Tensor | None:
    """(B, L or 1, V) of a model's output, by its kind where it has no such name; None where there is none."""
    found = getattr(output, "logits", None)
    values = output if isinstance(output, tuple) else output.values()
    wide = (one for one in values if isinstance(one, Tensor) and one.ndim == 3 and one.is_floating_point())
    return next(wide, None) if found is None else found


def plain_logits(model: Any, inputs: Mapping[str, Any]) -> Tensor:
    """(B, L, V) of one forward over model inputs, without a cache."""
    return logits_of(model(**inputs, use_cache=False))


def with_logits(output: Any, logits: Tensor) -> Any:
    """The output with other logits."""
    output.logits = logits
    return output


def hidden_of(output: Any) -> Tensor:
    """(B, L, D) of a decoder's output, after its last norm."""
    return output.last_hidden_state  # type: ignore[no-any-return]
