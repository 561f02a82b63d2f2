"""Putting interventions on a model, and taking them off again."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import partial
from typing import Any
from weakref import WeakSet

import torch
from torch import Tensor

from hallu_models import methods
from hallu_models.engines import attention
from hallu_models.host import Host, inspect
from hallu_models.interventions.base import Intervention, LayerStep
from hallu_models.layout import Layout
from hallu_models.observations import Observation

_ATTACHED: WeakSet[Any] = WeakSet()


class _PassEnds(Exception):
    """Leaves a forward pass once all it was run for has been seen."""


class Session:
    """Interventions on one model. Made by :func:`attach`.

    A generation begins with a forward on an empty cache (the prefill); its state lives here until the next one
    begins. ``observations`` reports on the latest.
    """

    def __init__(self, host: Host, interventions: tuple[Intervention, ...]) -> None:
        self.host = host
        self.interventions = interventions
        self.layers = {item.name: item.layer_list(host.depth) for item in interventions}
        self.rows_without_image = 0
        """Rows answered without image methods because they hold no image, over all generations."""
        self._states: dict[str, dict[int, dict[str, Any]]] = {
            name: {layer: {} for layer in layers} for name, layers in self.layers.items()
        }
        self._layout: Layout | None = None
        self._inputs: tuple[Tensor, Tensor | None] | None = None
        self._prefill = False
        self._text_only: dict[int, Tensor] | None = None
        self._collecting = False

    @property
    def edited_layers(self) -> tuple[int, ...]:
        return tuple(sorted({layer for layers in self.layers.values() for layer in layers}))

    @property
    def observations(self) -> dict[str, Observation]:
        """What the methods saw and did in the latest generation, by name; ``method.name`` in a composition."""
        prefix = len(self.interventions) > 1
        return {
            f"{item.name}.{key}" if prefix else key: value
            for item in self.interventions
            for key, value in item.observations(self._states[item.name]).items()
        }

    @contextlib.contextmanager
    def attached(self) -> Iterator[Session]:
        """The edits are on the model inside, and gone afterwards, however it is left."""
        host = self.host
        _refuse_nesting(host.model)
        if not self.edited_layers:
            yield self
            return
        with contextlib.ExitStack() as stack:
            _ATTACHED.add(host.model)
            stack.callback(_ATTACHED.discard, host.model)
            for layer in self.edited_layers:
                attention.set_edit(host.attention[layer], partial(self._edit, layer))
                stack.callback(attention.set_edit, host.attention[layer], None)
            for module, hook in ((host.model, self._before_model), (host.decoder, self._before_decoder)):
                stack.callback(module.register_forward_pre_hook(hook, with_kwargs=True).remove)
            stack.enter_context(_replaced(host.model, "generate", self._generate))
            own = host.decoder.config._attn_implementation
            stack.enter_context(attention.switched(host.decoder, attention.register(own)))
            yield self

    def _generate(self, generate: Any, *args: Any, **kwargs: Any) -> Any:
        if kwargs.get("use_cache") is False:
            raise ValueError(
                "use_cache=False: methods need the key-value cache to tell the prompt from decoding; leave it on"
            )
        # A compiled decode step would not see the edits of this session.
        kwargs.setdefault("disable_compile", True)
        return generate(*args, **kwargs)

    def _before_model(self, _: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        ids = kwargs.get("input_ids", args[0] if args else None)
        self._inputs = None if ids is None else (ids, kwargs.get("attention_mask"))

    def _before_decoder(self, _: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if self._collecting:
            return
        cache = kwargs.get("past_key_values")
        self._prefill = cache is None or int(cache.get_seq_length()) == 0
        if self._prefill:
            self._begin(kwargs)

    def _begin(self, kwargs: dict[str, Any]) -> None:
        """A new generation: find the columns, forget the last one's state, run the passes that methods ask for."""
        if self._inputs is None:
            raise ValueError(
                "interventions need input_ids to find the image; inputs_embeds alone do not show where it is"
            )
        ids, mask = self._inputs
        if mask is not None and mask.ndim != 2:
            raise ValueError(f"interventions need a padding mask of shape (rows, columns), not {tuple(mask.shape)}")
        self._layout = Layout.from_ids(ids, mask, self.host.image_tokens)
        self.rows_without_image += int((~self._layout.has_image).sum())
        for states in self._states.values():
            for state in states.values():
                state.clear()
        self._text_only = None
        if self._layout.any_image and any(item.text_only_pass for item in self.interventions):
            self._text_only = self._run_text_only(kwargs)

    def _run_text_only(self, kwargs: dict[str, Any]) -> dict[int, Tensor]:
        """Head outputs (B, H, d) by layer at the last prompt position, in a plain pass without the image columns."""
        assert self._layout is not None
        columns, text = self._layout.text_columns()
        embeddings = kwargs["inputs_embeds"]
        embeddings = embeddings.gather(1, columns[:, :, None].expand(-1, -1, embeddings.shape[-1]))
        inputs: dict[str, Any] = {"inputs_embeds": embeddings, "attention_mask": text.long(), "use_cache": False}
        positions = kwargs.get("position_ids")
        if positions is not None:
            # Text moves left; multimodal rotary positions are the same on every axis where there is only text.
            shifted = (text.cumsum(dim=1) - 1).clamp(min=0)
            inputs["position_ids"] = shifted.expand(*positions.shape[:-2], -1, -1) if positions.ndim > 2 else shifted
        collected: dict[int, Tensor] = {}
        self._text_only, self._collecting = collected, True
        try:
            with torch.no_grad(), contextlib.suppress(_PassEnds):
                self.host.decoder(**inputs)
        finally:
            self._collecting = False
        return collected

    def _edit(self, layer: int, outputs: Tensor) -> Tensor:
        if self._collecting:
            assert self._text_only is not None
            self._text_only[layer] = outputs[:, -1]
            if layer == self.edited_layers[-1]:
                raise _PassEnds
            return outputs
        assert self._layout is not None
        for item in self.interventions:
            state = self._states[item.name].get(layer)
            if state is not None:
                textual = self._text_only.get(layer) if self._prefill and self._text_only else None
                outputs = item.head_outputs(outputs, LayerStep(layer, self._prefill, self._layout, state, textual))
        return outputs


def _refuse_nesting(model: Any) -> None:
    if model in _ATTACHED:
        raise RuntimeError(
            'this model has a session already; write a composition such as method="eah+vhr" instead of nesting'
        )


@contextlib.contextmanager
def _replaced(owner: Any, name: str, function: Any) -> Iterator[None]:
    """``owner.name`` calls ``function(original, ...)`` inside; a plain class attribute again afterwards."""
    own = vars(owner).get(name)
    setattr(owner, name, partial(function, getattr(owner, name)))
    try:
        yield
    finally:
        if own is None:
            delattr(owner, name)
        else:
            setattr(owner, name, own)


@contextlib.contextmanager
def attach(model: Any, method: methods.Method, *, processor: Any = None, **parameters: Any) -> Iterator[Session]:
    """Put a method on a transformers image-text-to-text model; plain ``model.generate`` and forwards use it.

    model: the model, or a :class:`Host`. method: a name, a composition ("eah+vhr"), an Intervention, or None.
    processor: only needed where the configuration does not name the image token. parameters: the method's.
    On exit, also by an exception, the model is what it was.
    """
    _refuse_nesting(model.model if isinstance(model, Host) else model)
    host = model if isinstance(model, Host) else inspect(model, processor)
    interventions = methods.build(method, host.family, host.depth, parameters)
    with Session(host, interventions).attached() as session:
        yield session
