"""Putting interventions on a model, and taking them off again."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from hallu_models import finite
from hallu_models.engines import branches, rows
from hallu_models.engines.maps import Maps
from hallu_models.engines.passes import Collector, Passes
from hallu_models.engines.tokens import ends_of
from hallu_models.hosts import attention, forward, generate, processors
from hallu_models.hosts.attention import AttentionCall
from hallu_models.hosts.host import Host, UnsupportedModel
from hallu_models.hosts.inputs import DecoderInputs
from hallu_models.hosts.mismatch import HostMismatch
from hallu_models.interventions.base import Answer, ContrastStep, Intervention, LayerStep, Prompt, Recorder
from hallu_models.layout import Layout
from hallu_models.notes import noted, notes
from hallu_models.observations import Observation, Record, recorded

Images = str | int
"""Which images of a prompt methods act on: "all", "last", or a number from 1."""

_OWNERS: WeakKeyDictionary[Any, threading.Thread] = WeakKeyDictionary()
"""The thread that holds a model: nobody else may attach to it."""
_TAKING, INSPECTING = threading.Lock(), threading.Lock()


class Session:
    """Interventions on one model. Made by :func:`attach`.

    A generation begins with a forward on an empty cache (the prefill); its state lives here until the next one
    begins. ``observations`` reports on the latest. The thread that attached it generates; any other is refused,
    unless it calls :meth:`generate`.
    """

    def __init__(
        self,
        host: Host,
        interventions: tuple[Intervention, ...],
        *,
        observe: bool = False,
        branch: branches.Mode = "paired",
        other_images: Any = None,
        rewritten: Mapping[str, Mapping[str, Tensor]] | None = None,
        images: Images = "all",
        prove: Callable[[Mapping[str, Any]], object] | None = None,
    ) -> None:
        """``prove`` is called with the first generation's model inputs, while the model is what it was."""
        self.images = chosen_images(images)
        if branch not in branches.MODES:
            raise ValueError(f"branch={branch}: allowed are {', '.join(branches.MODES)}")
        self.host = host
        self.interventions = interventions
        self.layers = {item.name: item.layer_list(host.depth) for item in interventions}
        self.other_images, self.rewritten = other_images, rewritten
        """The inputs that methods need besides the prompt: change them before each generation."""
        self.prepared_images: Mapping[str, Any] | None = None
        """Model inputs with the other images in place, made from ``other_images`` where conversations are given."""
        self.chosen_columns: Tensor | None = None
        """(B, L): columns of the images that methods act on; None for all images."""
        self.rows_without_image = 0
        """Rows answered without image methods because they hold no image, over all generations."""
        self._refuse_conflicts()
        self._observe, self._mode, self._prove = observe, branch, prove
        self._edits = contextlib.ExitStack()
        self._replacing: dict[int, Intervention | None] = {}
        self._scaling: dict[int, tuple[Intervention, ...]] = {}
        for layer in self.edited_layers:
            acting = [item for item in interventions if layer in self.layers[item.name]]
            self._replacing[layer] = next((item for item in acting if item.replaces_last_row()), None)
            self._scaling[layer] = tuple(item for item in acting if item.overrides("head_outputs"))
        self._contrasting = next((item for item in interventions if item.contrasts()), None)
        self._collect: Collector | None = None
        self._given: dict[str, Any] = {}
        self._generating = self._begun = self._explaining = False
        self._uncached: Tensor | None = None
        """Ids of the last forward where it was outside of generate() and left no cache to go on from."""
        self._encoded: Any = None
        self._thread = threading.current_thread()
        self._running = threading.RLock()
        self._left = True
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
        self._length = self._total = 0
        self._reached: list[int] = []
        """Edited layers whose attention was called in this forward."""

    def _refuse_conflicts(self) -> None:
        acting = [name for name, layers in self.layers.items() if layers]
        if self.host.closed and acting:
            raise UnsupportedModel(
                f"{acting[0]} acts on attention heads, but in {type(self.host.model).__name__} {self.host.closed}; "
                "methods that only contrast predictions work, such as cicd"
            )
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
        refuse_nesting(self.host.model)
        self._thread, self._left = threading.current_thread(), False
        with self._edits:
            if not self.idle:
                self._put_on(self._edits)
            with self._until_generated():
                yield self

    def _put_on(self, stack: contextlib.ExitStack) -> None:
        host = self.host
        stack.enter_context(held(host.model))
        stack.enter_context(_replaced(host.model, "generate", self._generate))
        for module, before in ((host.model, self._before_model), (host.decoder, self._before_decoder)):
            stack.callback(module.register_forward_pre_hook(before, with_kwargs=True).remove)
        stack.callback(host.decoder.register_forward_hook(self._after_decoder).remove)
        if self._contrasting is not None:
            stack.callback(host.causal.register_forward_hook(self._after_model).remove)
            if self._mode == "sequential":
                head = host.causal.get_output_embeddings()
                stack.callback(head.register_forward_hook(self._after_head).remove)
        edits = {host.attention[layer]: partial(self._edit, layer) for layer in self.edited_layers}
        stack.enter_context(attention.edited(host.decoder, edits))

    @contextlib.contextmanager
    def _until_generated(self) -> Iterator[None]:
        """On exit, wait for a generation in another thread; after an error it ends at its next token instead."""
        try:
            yield
            with self._running:
                self._left = True
        finally:
            self._left = True
            with self._running:
                pass

    def generate(self, *args: Any, **kwargs: Any) -> Any:
        """The model's ``generate`` in the calling thread, whichever it is: what to give to a streamer's thread.

        One thread generates at a time, and others wait here. Leaving the block waits for the generation; where it is
        left by an error, the generation ends with a RuntimeError at its next token, as does one that begins later.
        """
        with self._running:
            self._refuse_other_threads(threading.current_thread())
            before, self._thread = self._thread, threading.current_thread()
            try:
                return self.host.model.generate(*args, **kwargs)
            finally:
                self._thread = before

    def _refuse_other_threads(self, owner: threading.Thread | None = None) -> None:
        """Raises RuntimeError in a thread that is not the session's, and after its block was left."""
        owner, here = owner or self._thread, threading.current_thread()
        if here is not owner:
            raise RuntimeError(
                f"thread {here.name!r} uses a model on which thread {owner.name!r} has a session of "
                f"{self._name!r}; hand session.generate to that thread instead of model.generate, or wait until the "
                "block is left"
            )
        if self._left:
            raise RuntimeError(
                f"the session of {self._name!r} is over, for its block was left; generate inside it, or attach again"
            )

    @property
    def _name(self) -> str:
        return "+".join(self.layers) or "none"

    def _generate(self, original: Any, *args: Any, **options: Any) -> Any:
        self._refuse_other_threads()
        asked = generate.named(self.host.model, args, options)
        generate.refuse(self.host.model, asked)
        self._refuse_read(generate.cached(asked))
        self._given = generate.prompt(asked, self.host.inputs)
        if self._prove is not None:
            given, prove = self._given, self._prove
            # The proof compares with the plain model.
            self._edits.close()
            prove(given)
            self._prove, self._given = None, given
            self._put_on(self._edits)
        self._generating, self._begun = True, False
        try:
            output = self.checked(original, generate.uncompiled(asked))
        except Exception as error:
            if not notes(error):
                noted(error, f"method {self._name}" + (f", token {self._step + 1}" if self._begun else ""))
            raise
        finally:
            self._generating = False
        if self._passes is not None:
            self._review(generate.sequences(output), generate.ends(self.host.model, asked))
        return output

    def checked(self, original: Callable[..., Any], asked: Mapping[str, Any]) -> Any:
        """What ``original`` generates for arguments by name. Raises NotFinite where logits were no numbers."""
        if self._explaining:
            return original(**asked)
        try:
            with generate.looked_at(self.host.causal) as numbers:
                output = original(**asked)
        except RuntimeError as error:
            # Sampling from what is no distribution ends the generation; on CUDA nothing can be read afterwards.
            missing = None
            with contextlib.suppress(RuntimeError):
                missing = numbers.first_missing()
            if missing is None:
                raise
            raise self._not_finite(asked, None, *missing) from error
        if (missing := numbers.first_missing()) is not None:
            raise self._not_finite(asked, generate.sequences(output), *missing)
        return output

    def _not_finite(
        self, asked: Mapping[str, Any], sequences: Tensor | None, step: int, row: int, rows: int
    ) -> finite.NotFinite:
        given = generate.prompt(asked, self.host.inputs)
        ids, where = forward.ids_of(given), ""
        prompts = rows if ids is None else len(ids)
        if sequences is not None and generate.one_answer(self.host.model, asked):
            self._explaining = True
            try:
                made = sequences.shape[1] - (0 if ids is None else ids.shape[1])
                tokens = sequences[:, : sequences.shape[1] - made + step + 1]
                where = finite.explained(self.host, given, tokens, step, self._editing)
            finally:
                self._explaining = False
        elif (name := finite.weight(self.host.model)) is not None:
            where = f"in the weight {name}"
        return finite.NotFinite(self._name, step + 1, row // max(1, rows // prompts), where)

    def _editing(self, layer: int) -> str:
        """The methods that edit a layer."""
        return "+".join(item.name for item in self.interventions if layer in self.layers[item.name])

    def _refuse_read(self, columns: int) -> None:
        """Raises ValueError for a cache that holds what the methods have not seen."""
        if columns and self._contrasting is not None:
            raise ValueError(
                f"the cache given holds {columns} columns already, and {self._contrasting.name} reads the prompt a "
                "second time for its negative branch, which no cache holds; give the whole prompt and no cache"
            )
        if columns and (self._layout is None or columns != self._total):
            raise ValueError(
                f"the cache given holds {columns} columns that were not read in this session's latest generation, so "
                f"{self._name} has not seen them; give the whole prompt and no cache"
            )

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

    def _before_model(self, model: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._refuse_other_threads()
        if self._collect is not None:
            return
        call = forward.Call.of(model, args, kwargs)
        self._encoded = call.encoded
        if not self._generating:
            self._given = call.prompt(self.host.inputs)

    def _before_decoder(self, decoder: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        self._refuse_other_threads()
        if self._collect is not None:
            return None
        call = forward.Call.of(decoder, args, kwargs)
        embeddings = call.embeddings(self.host.embed)
        call = call.with_embeddings(embeddings)
        past, self._length = call.past, embeddings.shape[1]
        self._prefill, self._reached = past == 0, []
        if self._prefill:
            self._total = self._length
            self._begin(call, embeddings)
        else:
            self._require_next(past)
            self._total = past + self._length
            self._step += 1
            self._shared = {name: {} for name in self.layers}
        if self._branch is None:
            return (), call.arguments
        with self._collecting(_plain):
            return (), self._branch.before(call, embeddings, self._prefill)

    def _require_next(self, past: int) -> None:
        """A forward on a cache goes on where the last one ended, and reads one token."""
        if self._layout is None:
            raise ValueError(
                f"the cache holds {past} columns that were read before the method was put on, so it has not seen the "
                "prompt; begin with an empty cache inside attach()"
            )
        if past != self._total:
            raise HostMismatch(
                f"the cache holds {past} columns, and {self._total} were read in this generation: a forward was run "
                "twice, in between, or on another generation's cache"
            )
        if self._branch is not None and self._length > 1:
            raise ValueError(
                f"{self._length} tokens at once behind a prompt: a negative branch decodes token by token; "
                "take assisted decoding off"
            )

    def _after_decoder(self, _: Any, args: tuple[Any, ...], output: Any) -> None:
        if threading.current_thread() is not self._thread:
            # A forward that was under way when this session was attached.
            return
        if self._collect is None and tuple(self._reached) != self.edited_layers:
            missed = sorted(set(self.edited_layers) - set(self._reached))
            raise HostMismatch(
                f"the attention of layers {', '.join(map(str, missed))} was not called in a forward, so their edits "
                "were not made"
                if missed
                else f"attention was called in the layers {self._reached}, not in their order, once each"
            )
        if self._collect is None:
            left = self._generating or forward.cached_in(output)
            self._uncached = None if left else forward.ids_of(self._given)

    def _after_head(self, _: Any, args: tuple[Any, ...], output: Tensor) -> None:
        if self._branch is not None and self._collect is None:
            self._branch.saw(output)

    def _after_model(self, _: Any, args: tuple[Any, ...], output: Any) -> Any:
        if self._branch is None or self._contrasting is None or self._collect is not None:
            return None
        assert self._layout is not None
        name = self._contrasting.name
        main, last, negative = self._branch.after(forward.logits_of(output), self._length)
        at = ContrastStep(self._step, self._layout.on(last.device), self._generation[name], self._recorder(name))
        return forward.with_logits(
            output, self._branch.joined(main, self._contrasting.contrast(last, negative, at), last)
        )

    def _begin(self, call: forward.Call, embeddings: Tensor) -> None:
        """A new generation: find the columns, forget the last one's state, let the methods read the prompt."""
        total = self._total
        ids, mask, token_types = self._prompt(len(embeddings))
        self._refuse_continued(ids)
        self._require_whole(ids, embeddings, call)
        self._forget()
        self._begun, self._prefill, self._length, self._total = True, True, total, total
        chosen = self.chosen_columns
        if self.images is not None and chosen is None:
            raise ValueError(
                "images=last or a number: only conversations tell which columns are whose image; use Host.generate(), "
                "or leave images=all"
            )
        if chosen is not None:
            chosen = chosen.repeat_interleave(len(ids) // len(chosen), dim=0)
        self._layout = layout = Layout.from_ids(ids, mask, self.host.image_tokens, chosen)
        self.rows_without_image += layout.rows_without_image
        if not layout.any_image:
            if layout.ignored is None or not bool(layout.ignored.any()):
                self._refuse_lost_images(ids)
            return
        inputs = DecoderInputs.of(call, embeddings, ~layout.padding, token_types)
        passes = Passes(
            self.host,
            inputs,
            layout,
            self._collecting,
            self._given,
            self.prepared_images or self.other_images,
            self.rewritten,
            self._encoded,
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
                self._branch = branches.Branch(negative, inputs, call, self._mode, self.host)
                self._layout = layout.padded(self._branch.extra)
                self._total = total + self._branch.extra

    def _prompt(self, rows: int) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Ids, padding mask and token types of the prompt, repeated as beams repeat it."""
        ids, mask = forward.ids_of(self._given), forward.mask_of(self._given)
        if ids is None:
            raise ValueError(
                "interventions need input_ids to find the image; inputs_embeds alone do not show where it is"
            )
        if isinstance(mask, Tensor) and mask.ndim != 2:
            raise ValueError(f"interventions need a padding mask of shape (rows, columns), not {tuple(mask.shape)}")
        if ids.device != self.host.device:
            raise ValueError(
                f"input_ids are on {ids.device}, the model's word embeddings on {self.host.device}; move the inputs: "
                "inputs.to(model.device)"
            )
        found = (ids, mask, forward.types_of(self._given))
        return tuple(  # type: ignore[return-value]
            value if value is None or len(value) == rows else value.repeat_interleave(rows // len(value), dim=0)
            for value in found
        )

    def _refuse_continued(self, ids: Tensor) -> None:
        """Raises ValueError for a forward that goes on where the last one ended, without a cache from it."""
        before = self._uncached
        if before is None or self._generating or ids.shape[1] == before.shape[1] or len(ids) != len(before):
            return
        if ids.shape[1] == 1 or torch.equal(ids[:, : before.shape[1]], before):
            raise ValueError(
                "this forward goes on from the last one, which left no key-value cache, and methods would take it for "
                "a new prompt: call the model with use_cache=True and the cache of its last output; where nobody "
                "switched it off, the model's configuration has use_cache=False"
            )

    def _require_whole(self, ids: Tensor, embeddings: Tensor, call: forward.Call) -> None:
        """An empty cache means a prompt's beginning, and the decoder reads all of it at once."""
        if self._generating and call.cache is None:
            raise ValueError(
                "generate() gave the decoder no key-value cache, and methods need it to tell the prompt from decoding; "
                "set use_cache=True in the model's configuration"
            )
        if ids.shape != embeddings.shape[:2]:
            raise HostMismatch(
                f"a generation began, by its empty cache, with {embeddings.shape[0]} rows of {embeddings.shape[1]} "
                f"columns, and the prompt's ids have {ids.shape[0]} of {ids.shape[1]}"
            )

    def _refuse_lost_images(self, ids: Tensor) -> None:
        if self._encoded or processors.has_images(self._given):
            tokens = ", ".join(map(str, sorted(self.host.image_tokens)))
            raise ValueError(
                f"the prompt has images, but the model's image token ({tokens}) is nowhere in its {ids.shape[1]} "
                "columns: the processor is another model's, or the prompt lacks the image placeholder"
            )

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
        if threading.current_thread() is not self._thread:
            # A forward that was under way when this session was attached ends as it began; its next one is refused.
            return call.outputs()
        if self._collect is not None:
            return self._collect(layer, call)
        if self._layout is None:
            raise HostMismatch("attention was called in a forward that went past the decoder's own hooks")
        self._reached.append(layer)
        batch = call.query.shape[0]
        if self._replacing[layer] is None and not self._scaling[layer]:
            # A layer that is only looked into.
            return call.outputs()
        try:
            if batch == self._layout.rows:
                return self._edited(layer, call)
            # Paired rows: the negative half stays the plain model's.
            main, negative = call.rows(0, batch // 2), call.rows(batch // 2, batch)
            return torch.cat([self._edited(layer, main), negative.outputs()])
        except Exception as error:
            noted(error, f"method {self._editing(layer)}, layer {layer}, token {self._step + 1}")
            raise

    def _edited(self, layer: int, call: AttentionCall) -> Tensor:
        layout, item = self._layout, self._replacing[layer]
        assert layout is not None
        layout = layout.on(call.query.device)
        if item is None or not layout.any_image:
            outputs = call.outputs()
        elif item.overrides("maps"):
            outputs = call.outputs()
            if self._prefill:
                call = call.filled(self._total)
                outputs = item.maps(Maps(call, layout), outputs, self._at(item.name, layer, call))
        else:
            plain, call = call, call.filled(self._total)
            at = self._at(item.name, layer, call)
            scores = rows.scores(call, layout, at.columns)
            attended = item.row_attention(item.row_scores(scores, at).softmax(dim=-1), at)
            new = rows.output(call, attended)
            outputs = new[:, None] if call.query.shape[2] == 1 else rows.replaced(plain.outputs(), new, layout)
        for item in self._scaling[layer]:
            outputs = item.head_outputs(outputs, self._at(item.name, layer, call))
        return outputs

    def _at(self, name: str, layer: int, call: AttentionCall) -> LayerStep:
        assert self._layout is not None
        layout = self._layout.on(call.query.device)
        return LayerStep(
            layer,
            self._prefill,
            layout,
            layout.columns(self._total, min(call.key.shape[2], self._total)),
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


def chosen_images(images: Images) -> int | None:
    """``images`` as an index into each prompt's images: None for all, -1 for the last, 0 for the first.

    Raises ValueError for anything but "all", "last" and a number from 1.
    """
    if images == "all":
        return None
    if images == "last":
        return -1
    number = int(images) if str(images).isdecimal() else 0
    if number < 1:
        raise ValueError(f"images={images}: allowed are all, last, and the number of an image, counted from 1")
    return number - 1


def _plain(layer: int, call: AttentionCall) -> Tensor:
    return call.outputs()


@contextlib.contextmanager
def held(model: Any) -> Iterator[None]:
    """Inside, the model is this thread's; RuntimeError where it is one's already."""
    with _TAKING:
        refuse_nesting(model)
        _OWNERS[model] = threading.current_thread()
    try:
        yield
    finally:
        del _OWNERS[model]


def refuse_nesting(model: Any) -> None:
    """Raises RuntimeError where the model has a session, of this thread or of another one, which is named."""
    owner, here = _OWNERS.get(model), threading.current_thread()
    if owner is here:
        raise RuntimeError(
            'this model has a session already; write a composition such as method="eah+vhr" instead of nesting'
        )
    if owner is not None:
        raise RuntimeError(
            f"thread {owner.name!r} has a session on this model, so thread {here.name!r} cannot attach another; wait "
            "until its block is left, hand its session.generate to this thread, or load a model for each thread"
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
