"""Putting interventions on a model, and taking them off again."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any
from weakref import WeakSet

import torch
from torch import Tensor

from hallu_models import methods
from hallu_models.engines import attention, branches, rows
from hallu_models.engines.attention import AttentionCall
from hallu_models.engines.maps import Maps
from hallu_models.engines.passes import Collector, Passes
from hallu_models.generation import ends_of
from hallu_models.host import Host, inspect
from hallu_models.interventions.base import Answer, ContrastStep, Intervention, LayerStep, Prompt, Recorder
from hallu_models.layout import Layout
from hallu_models.observations import Observation, Record, recorded

_ATTACHED: WeakSet[Any] = WeakSet()


class Session:
    """Interventions on one model. Made by :func:`attach`.

    A generation begins with a forward on an empty cache (the prefill); its state lives here until the next one
    begins. ``observations`` reports on the latest.
    """

    def __init__(
        self,
        host: Host,
        interventions: tuple[Intervention, ...],
        *,
        observe: bool = False,
        branch: branches.Mode = "paired",
        other_images: Any = None,
        rewritten: Mapping[str, tuple[Tensor, Tensor]] | None = None,
    ) -> None:
        if branch not in branches.MODES:
            raise ValueError(f"branch={branch}: allowed are {', '.join(branches.MODES)}")
        self.host = host
        self.interventions = interventions
        self.layers = {item.name: item.layer_list(host.depth) for item in interventions}
        self.other_images, self.rewritten = other_images, rewritten
        """The inputs that methods need besides the prompt: change them before each generation."""
        self.rows_without_image = 0
        """Rows answered without image methods because they hold no image, over all generations."""
        self._refuse_conflicts()
        self._observe, self._mode = observe, branch
        self._replacing: dict[int, Intervention | None] = {}
        self._scaling: dict[int, tuple[Intervention, ...]] = {}
        for layer in self.edited_layers:
            acting = [item for item in interventions if layer in self.layers[item.name]]
            self._replacing[layer] = next((item for item in acting if item.replaces_last_row()), None)
            self._scaling[layer] = tuple(item for item in acting if item.overrides("head_outputs"))
        self._contrasting = next((item for item in interventions if item.contrasts()), None)
        self._collect: Collector | None = None
        self._inputs: tuple[Tensor, Tensor | None] | None = None
        self._pixel_values: Tensor | None = None
        self._forget()

    def _forget(self) -> None:
        self._states: dict[str, dict[int, dict[str, Any]]] = {
            name: {layer: {} for layer in layers} for name, layers in self.layers.items()
        }
        self._generation: dict[str, dict[str, Any]] = {name: {} for name in self.layers}
        self._shared: dict[str, dict[str, Any]] = {name: {} for name in self.layers}
        self._records: dict[str, dict[str, list[Record]]] = {name: {} for name in self.layers}
        self._layout: Layout | None = None
        self._branch: branches.Branch | None = None
        self._passes: Passes | None = None
        self._prefill, self._step = False, 0

    def _refuse_conflicts(self) -> None:
        contrasting = [item.name for item in self.interventions if item.contrasts()]
        if len(contrasting) > 1:
            raise ValueError(
                f"{'+'.join(contrasting)}: both run a negative branch, and only one can be contrasted with"
            )
        taken: dict[int, str] = {}
        for item in self.interventions:
            for layer in self.layers[item.name] if item.replaces_last_row() else ():
                if (other := taken.setdefault(layer, item.name)) != item.name:
                    raise ValueError(
                        f"{other}+{item.name}: both replace the last row of layer {layer}, so one would undo the "
                        "other; give them layers of their own"
                    )

    @property
    def edited_layers(self) -> tuple[int, ...]:
        return tuple(sorted({layer for layers in self.layers.values() for layer in layers}))

    @property
    def idle(self) -> bool:
        """Nothing to edit and nothing to contrast."""
        return not self.edited_layers and self._contrasting is None

    @property
    def observations(self) -> dict[str, Observation]:
        """What the methods saw and did in the latest generation, by name; ``method.name`` in a composition.

        Empty in a session that does not observe: an evaluation asks for none, and gathering them costs transfers.
        """
        if not self._observe:
            return {}
        prefix = len(self.interventions) > 1
        found = {}
        for item in self.interventions:
            seen = {key: recorded(entries) for key, entries in self._records[item.name].items()}
            for key, value in {**seen, **item.observations(self._states[item.name])}.items():
                found[f"{item.name}.{key}" if prefix else key] = value
        return found

    @contextlib.contextmanager
    def attached(self) -> Iterator[Session]:
        """The edits are on the model inside, and gone afterwards, however it is left."""
        host = self.host
        _refuse_nesting(host.model)
        if self.idle:
            yield self
            return
        with contextlib.ExitStack() as stack:
            _ATTACHED.add(host.model)
            stack.callback(_ATTACHED.discard, host.model)
            stack.enter_context(_replaced(host.model, "generate", self._generate))
            for module, hook in ((host.model, self._before_model), (host.decoder, self._before_decoder)):
                stack.callback(module.register_forward_pre_hook(hook, with_kwargs=True).remove)
            if self._contrasting is not None:
                stack.callback(host.model.register_forward_hook(self._after_model).remove)
            edits = {host.attention[layer]: partial(self._edit, layer) for layer in self.edited_layers}
            stack.enter_context(attention.edited(host.decoder, edits))
            yield self

    def _generate(self, generate: Any, *args: Any, **kwargs: Any) -> Any:
        if kwargs.get("use_cache") is False:
            raise ValueError(
                "use_cache=False: methods need the key-value cache to tell the prompt from decoding; leave it on"
            )
        # A compiled decode step would not see the edits of this session.
        kwargs.setdefault("disable_compile", True)
        # transformers encodes images before the first forward, which then gets none.
        self._pixel_values = kwargs.get("pixel_values")
        output = generate(*args, **kwargs)
        if self._passes is not None:
            settings = kwargs.get("generation_config") or self.host.model.generation_config
            end = kwargs.get("eos_token_id", settings.eos_token_id)
            self._review(output if isinstance(output, Tensor) else output.sequences, end)
        return output

    def _review(self, sequences: Tensor, end: int | list[int] | None) -> None:
        """Let the methods look back at the answers, for the observations."""
        assert self._passes is not None
        tokens = sequences[:, self._passes.layout.padding.shape[1] :]
        for item in self.interventions:
            if tokens.shape[1] and item.overrides("review"):
                ends = ends_of(tokens, end)
                # All prefilled rows of a prompt are the same, whatever came of its beams.
                rows = torch.arange(len(tokens), device=tokens.device) * self._passes.layout.rows // len(tokens)
                item.review(
                    Answer(
                        tokens,
                        ends,
                        rows,
                        self._states[item.name],
                        self._passes,
                        self._recorder(item.name, steps=False),
                    )
                )

    # Hooks on the model and its decoder.

    def _before_model(self, _: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        ids = kwargs.get("input_ids", args[0] if args else None)
        self._inputs = None if ids is None else (ids, kwargs.get("attention_mask"))
        if kwargs.get("pixel_values") is not None:
            self._pixel_values = kwargs["pixel_values"]

    def _before_decoder(self, _: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if self._collect is not None:
            return None
        cache = kwargs.get("past_key_values")
        self._prefill = cache is None or int(cache.get_seq_length()) == 0
        if self._prefill:
            self._begin(kwargs)
        else:
            self._step += 1
            self._shared = {name: {} for name in self.layers}
        if self._branch is None:
            return None
        with self._collecting(_plain):
            return args, self._branch.before(kwargs, self._prefill)

    def _after_model(self, _: Any, args: tuple[Any, ...], output: Any) -> Any:
        if self._branch is None or self._contrasting is None:
            return None
        assert self._inputs is not None
        assert self._layout is not None
        name = self._contrasting.name
        main, last, negative = self._branch.after(
            output.logits, self.host.model.get_output_embeddings(), self._inputs[0].shape[1]
        )
        at = ContrastStep(self._step, self._layout, self._generation[name], self._recorder(name))
        output.logits = self._branch.joined(main, self._contrasting.contrast(last, negative, at), last)
        return output

    def _begin(self, kwargs: dict[str, Any]) -> None:
        """A new generation: find the columns, forget the last one's state, let the methods read the prompt."""
        if self._inputs is None:
            raise ValueError(
                "interventions need input_ids to find the image; inputs_embeds alone do not show where it is"
            )
        ids, mask = self._inputs
        if mask is not None and mask.ndim != 2:
            raise ValueError(f"interventions need a padding mask of shape (rows, columns), not {tuple(mask.shape)}")
        self._forget()
        self._prefill = True
        self._layout = layout = Layout.from_ids(ids, mask, self.host.image_tokens)
        self.rows_without_image += layout.rows_without_image
        if not layout.any_image:
            return
        embeddings, positions = kwargs["inputs_embeds"], kwargs.get("position_ids")
        passes = Passes(
            self.host,
            embeddings,
            positions,
            layout,
            self._collecting,
            self.other_images,
            self.rewritten,
            self._pixel_values,
        )
        # Kept for looking back only: the prompt's embeddings need not outlive the prefill.
        self._passes = passes if self._observe else None
        for item in self.interventions:
            prompt = Prompt(
                embeddings,
                layout,
                self.layers[item.name],
                self._generation[item.name],
                passes,
                self._recorder(item.name, steps=False),
            )
            item.read(prompt)
            if item is self._contrasting:
                with torch.no_grad():
                    negative = item.negative(prompt)
                self._branch = branches.Branch(negative, kwargs, ~layout.padding, self._mode, self.host.decoder)
                self._layout = layout.padded(self._branch.extra)

    @contextlib.contextmanager
    def _collecting(self, collector: Collector) -> Iterator[None]:
        """Inside, forwards of the decoder are passes of their own: no edits, ``collector`` makes the head outputs."""
        self._collect = collector
        try:
            yield
        finally:
            self._collect = None

    # The layers.

    def _edit(self, layer: int, call: AttentionCall) -> Tensor:
        if self._collect is not None:
            return self._collect(layer, call)
        assert self._layout is not None
        batch = call.query.shape[0]
        if self._replacing[layer] is None and not self._scaling[layer]:
            # A layer that is only looked into.
            return call.outputs()
        if batch == self._layout.rows:
            return self._edited(layer, call)
        # Paired rows: the negative half stays the plain model's.
        main, negative = call.rows(0, batch // 2), call.rows(batch // 2, batch)
        return torch.cat([self._edited(layer, main), negative.outputs()])

    def _edited(self, layer: int, call: AttentionCall) -> Tensor:
        layout, item = self._layout, self._replacing[layer]
        assert layout is not None
        if item is None or not layout.any_image:
            outputs = call.outputs()
        elif item.overrides("maps"):
            outputs = call.outputs()
            if self._prefill:
                outputs = item.maps(Maps(call, layout), outputs, self._at(item.name, layer, call))
        else:
            at = self._at(item.name, layer, call)
            attended = item.row_attention(item.row_scores(rows.scores(call, layout), at).softmax(dim=-1), at)
            new = rows.output(call, attended)
            outputs = new[:, None] if call.query.shape[2] == 1 else rows.replaced(call.outputs(), new, layout)
        for item in self._scaling[layer]:
            outputs = item.head_outputs(outputs, self._at(item.name, layer, call))
        return outputs

    def _at(self, name: str, layer: int, call: AttentionCall) -> LayerStep:
        assert self._layout is not None
        return LayerStep(
            layer,
            self._prefill,
            self._layout,
            self._layout.columns(call.key.shape[2]),
            self._states[name][layer],
            self._generation[name],
            self._shared[name],
            self._recorder(name, layer),
        )

    def _recorder(self, name: str, layer: int | None = None, *, steps: bool = True) -> Recorder | None:
        """Keeps values of this step, or of the whole generation (``steps=False``); None when nobody asked for them."""
        if not self._observe:
            return None

        def record(key: str, value: Tensor, *axes: str) -> None:
            place = self._step if steps else None
            self._records[name].setdefault(key, []).append(Record(place, layer, value.detach().cpu(), axes))

        return record


def _plain(layer: int, call: AttentionCall) -> Tensor:
    return call.outputs()


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
def attach(
    model: Any,
    method: methods.Method,
    *,
    processor: Any = None,
    observe: bool = True,
    branch: branches.Mode = "paired",
    other_images: Any = None,
    **parameters: Any,
) -> Iterator[Session]:
    """Put a method on a transformers image-text-to-text model; plain ``model.generate`` and forwards use it.

    model: the model, or a :class:`Host`. method: a name, a composition ("eah+vhr"), an Intervention, or None.
    processor: only needed where the configuration does not name the image token, and for ``other_images``. observe:
    whether ``session.observations`` has what changes from step to step. branch: how a negative branch is run, "paired"
    or "sequential". other_images: for methods that contrast with another image, one for each image of a batch (PIL
    images or pixel values). parameters: the method's. On exit, also by an exception, the model is what it was.
    """
    _refuse_nesting(model.model if isinstance(model, Host) else model)
    host = model if isinstance(model, Host) else inspect(model, processor)
    interventions = methods.build(method, host.family, host.depth, parameters)
    session = Session(host, interventions, observe=observe, branch=branch, other_images=other_images)
    with session.attached():
        yield session
