"""One generation after another under a plan: the phases of a forward, the prompt, the edits, the contrast."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from hallu_models.engines import branches
from hallu_models.engines.hidden import HiddenPoint
from hallu_models.engines.inside import Inside
from hallu_models.engines.lens import EMBEDDINGS, Lens
from hallu_models.engines.passes import Collector, Passes
from hallu_models.engines.rows import replaced
from hallu_models.engines.step import LogitsStep, State, restored
from hallu_models.engines.tokens import Vocabulary
from hallu_models.hosts import encoder, forward, parts
from hallu_models.hosts.attention import AttentionCall
from hallu_models.hosts.host import Host
from hallu_models.hosts.inputs import DecoderInputs
from hallu_models.hosts.mismatch import HostMismatch
from hallu_models.interventions import Intervention, Prompt
from hallu_models.layout import Layout
from hallu_models.notes import noted
from hallu_models.observations import Observation
from hallu_models.session import prompts
from hallu_models.session.beside import Beside
from hallu_models.session.memory import Memory
from hallu_models.session.plan import Plan
from hallu_models.session.rows import Rows


class Answering:
    """The hooks of a session. A generation begins with a forward on an empty cache and ends where the next one begins.

    given: model inputs of the generation. rows: the batch's own; None before any. begun: since ``generate``.
    """

    def __init__(self, host: Host, plan: Plan, beside: Beside, *, observe: bool, mode: branches.Mode) -> None:
        self.host, self.plan = host, plan
        self._beside, self._observe, self._mode = beside, observe, mode
        self.given: dict[str, Any] = {}
        self.generating = self.begun = False
        self.rows_without_image = 0
        self.memory = Memory(plan, 0, observe)
        self.rows: Rows | None = None
        self.passes: Passes | None = None
        self._branch: branches.Branch | None = None
        self._negative: Rows | None = None
        """The branch's rows, where these are edited."""
        self._lens = Lens(host, plan.looked_into) if plan.early else None
        self._inside = {
            item.name: Inside(host, layers, self._lens.hidden, partial(self._lens.project, normed=False))
            for item in plan.methods
            if self._lens is not None and (layers := item.inside_layers(host.depth))
        }
        self._collect: Collector | None = None
        self._uncached: Tensor | None = None
        """Ids of the last forward where it was outside of generate() and left no cache to go on from."""
        self._encoded: Any = None
        self._length = 0
        self.places: list[tuple[int, Tensor]] = []
        """Of each forward of a decoding policy: the token it predicts, and the prompt of each row."""
        self._reached: list[int] = []
        """Attended layers whose attention was called in this forward."""

    def observations(self) -> dict[str, Observation]:
        """What the methods saw and did, by name; in negative rows by ``negative.name``."""
        found = self.memory.observations()
        if self._negative is not None and self.plan.contrasting is not None:
            owner = f"{self.plan.contrasting.name}." if len(self.plan.methods) > 1 else ""
            seen = self._negative.memory.observations()
            found.update({f"{owner}negative.{key}": value for key, value in seen.items()})
        return found

    @property
    def step(self) -> int:
        """Generated tokens so far."""
        return self.memory.step

    @property
    def looked_into(self) -> dict[int, nn.Module]:
        """Layers that early logits are made of, by number."""
        return {} if self._lens is None else self._lens.modules()

    @property
    def first_looked_into(self) -> nn.Module | None:
        """The layer whose input early logits are made of, if there is one."""
        return None if self._lens is None else self._lens.first

    @property
    def looking(self) -> bool:
        """Whether forwards are passes of their own."""
        return self._collect is not None

    # Hooks on the model and its decoder.

    def before_model(self, model: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if self.looking:
            return
        call = forward.Call.of(model, args, kwargs)
        self._encoded = call.encoded
        if not self.generating:
            self.given = call.prompt(self.host.inputs)

    def before_decoder(self, decoder: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if self.looking:
            return None
        call = forward.Call.of(decoder, args, kwargs)
        embeddings = call.embeddings(self.host.embed)
        call = call.with_embeddings(embeddings)
        self._length, self._reached = embeddings.shape[1], []
        prefill = call.past == 0
        if prefill:
            self._begin(call, embeddings)
        else:
            self._require_next(call.past).goes_on(self._length)
            if self._negative is not None:
                self._negative.goes_on(self._length)
        if self._branch is None:
            return (), call.arguments
        with self._collecting(self._negative_attention):
            return (), self._branch.before(call, embeddings, prefill)

    def _require_next(self, past: int) -> Rows:
        """A forward on a cache goes on where the last one ended, and reads one token."""
        if self.rows is None:
            raise ValueError(
                f"the cache holds {past} columns that were read before the method was put on, so it has not seen the "
                "prompt; begin with an empty cache inside attach()"
            )
        if past != self.rows.total:
            raise HostMismatch(
                f"the cache holds {past} columns, and {self.rows.total} were read in this generation: a forward was "
                "run twice, in between, or on another generation's cache"
            )
        if self._branch is not None and self._length > 1:
            raise ValueError(
                f"{self._length} tokens at once behind a prompt: a negative branch decodes token by token; "
                "take assisted decoding off"
            )
        return self.rows

    def after_decoder(self, _: Any, args: tuple[Any, ...], output: Any) -> None:
        if self.looking:
            return
        if tuple(self._reached) != self.plan.attended:
            missed = sorted(set(self.plan.attended) - set(self._reached))
            raise HostMismatch(
                f"the attention of layers {', '.join(map(str, missed))} was not called in a forward, so their edits "
                "were not made"
                if missed
                else f"attention was called in the layers {self._reached}, not in their order, once each"
            )
        left = self.generating or forward.cached_in(output)
        self._uncached = None if left else forward.ids_of(self.given)

    def after_head(self, _: Any, args: tuple[Any, ...], output: Tensor) -> None:
        if self._branch is not None and not self.looking:
            self._branch.saw(output)

    def after_layer(self, layer: int, _: Any, args: tuple[Any, ...], output: Any) -> None:
        self._look(layer, lambda: parts.hidden_in(output))

    def before_first_layer(self, _: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._look(EMBEDDINGS, lambda: parts.hidden_given(args, kwargs))

    def _look(self, layer: int, hidden: Callable[[], Tensor]) -> None:
        if self._lens is not None and self.rows is not None and not self.looking:
            self._lens.saw(layer, hidden(), self.rows.layout)

    def after_model(self, _: Any, args: tuple[Any, ...], output: Any) -> Any:
        rows = self.rows
        if rows is None or self.looking or not rows.layout.any_image:
            return None
        made = forward.logits_of(output)
        if self._branch is None:
            last = negative = rows.layout.last_row(made).float()
            active = None
        else:
            made, last, negative = self._branch.after(made, self._length)
            active = self._branch.active.to(last.device)[:, None]
        if self._lens is not None:
            self._lens.prove(last)
        layout = rows.layout.on(last.device)
        for item in self.plan.on_logits:
            at = self._logits_step(item, layout)
            edited = item.token_logits(last, at)
            if item is self.plan.contrasting and active is not None:
                edited = torch.where(active, item.contrast(edited, negative, at), edited)
            if len(self.plan.on_logits) > 1:
                # What one method has ruled out, the next one does not bring back.
                edited = edited.masked_fill(last.isneginf(), -torch.inf)
            last = restored(edited, last, layout)
        return forward.with_logits(output, replaced(made.float(), last, layout))

    def _logits_step(self, item: Intervention, layout: Layout) -> LogitsStep:
        memory, name = self.memory, item.name
        early, layers = partial(self._early, name), self.plan.early.get(name, ())
        generation, record, inside = memory.generation[name], memory.recorder(name), self._inside.get(name)
        return LogitsStep(self.step, layout, generation, record, early, layers, inside, Vocabulary(self.host))

    def _early(self, name: str, layers: int | Sequence[int], normed: bool = True) -> Tensor:
        if self._lens is None:
            raise ValueError(f"{name} looks into the layers {layers}, but its early_layers() names none")
        return self._lens.of(layers, normed)

    # The prompt.

    def _begin(self, call: forward.Call, embeddings: Tensor) -> None:
        """A new generation: find the columns, forget the last one's state, let the methods read the prompt."""
        ids, mask, token_types = prompts.read(self.host, self.given, len(embeddings))
        prompts.require_worded(ids, self._beside.asked, self.plan)
        if not self.generating:
            prompts.refuse_continued(ids, self._uncached)
        prompts.require_whole(ids, embeddings, call, self.generating)
        self.forget(len(ids))
        self.begun = True
        layout = Layout.from_ids(ids, mask, self.host.image_tokens, self._chosen(len(ids)))
        project = None if self._lens is None else self._lens.project
        self.rows = Rows(self.plan, self.memory, layout, embeddings.shape[1], project)
        self.rows_without_image += layout.rows_without_image
        if layout.any_image:
            self._read(call, DecoderInputs.of(call, embeddings, ~layout.padding, token_types), self.rows)
        elif layout.ignored is None or not bool(layout.ignored.any()):
            prompts.refuse_lost_images(self.host, ids, self.given, self._encoded)
        if call.cache is not None and not self.plan.idle:
            forward.on_reorder(call.cache, self._reorder)

    def forget(self, rows: int = 0) -> None:
        """The latest generation is over."""
        self.memory = Memory(self.plan, rows, self._observe)
        self.rows = self._negative = self.passes = self._branch = None
        if self._lens is not None:
            self._lens.begin()

    def _chosen(self, rows: int) -> Tensor | None:
        chosen = self._beside.chosen_columns
        if self._beside.images is not None and chosen is None:
            raise ValueError(
                "images=last or a number: only conversations tell which columns are whose image; use Host.generate(), "
                "or leave images=all"
            )
        return None if chosen is None else chosen.repeat_interleave(rows // len(chosen), dim=0)

    def _read(self, call: forward.Call, inputs: DecoderInputs, rows: Rows) -> None:
        beside, layout, memory = self._beside, rows.layout, self.memory
        passes = Passes(
            self.host,
            inputs,
            layout,
            self._collecting,
            self.given,
            beside.prepared_images or beside.other_images,
            beside.rewritten,
            self._encoded,
        )
        # Kept for looking back only: the prompt's embeddings need not outlive the prefill.
        self.passes = passes if self._observe else None
        if self._lens is not None and any(self.plan.projecting.values()):
            with self._collecting(lambda layer, attention: attention.outputs()):
                self._lens.learn()
        for item in self.plan.methods:
            record = memory.recorder(item.name, steps=False)
            prompt = Prompt(
                inputs.embeddings, layout, self.plan.layers[item.name], memory.generation[item.name], passes, record
            )
            item.read(prompt)
            if item is self.plan.contrasting:
                with torch.no_grad():
                    negative = item.negative(prompt)
                for name, value in (beside.made or {}).items():
                    record(name, value.repeat_interleave(layout.rows // len(value), dim=0), "image")
                self._branch = branches.Branch(negative, inputs, call, self._mode, self.host)
                rows.layout = layout.padded(self._branch.extra)
                rows.total += self._branch.extra
                self._negative = self._negative_rows(item, negative, layout)

    def _negative_rows(self, method: Intervention, negative: branches.Negative, own: Layout) -> Rows | None:
        """The rows of a negative branch that has edits of its own."""
        if self.plan.negative is None or self._branch is None:
            return None
        layout, length = negative.layout or own, negative.inputs.mask.shape[1]
        if layout.padding.shape[1] != length:
            raise ValueError(
                f"{method.name}: its negative prompt has {length} columns, and the edits of its rows need their "
                "layout: Negative(..., layout=...)"
            )
        memory = Memory(self.plan.negative, layout.rows, self._observe)
        total = self._branch.columns
        return Rows(self.plan.negative, memory, layout.padded(total - length), total)

    def _reorder(self, index: Tensor) -> Tensor:
        """Rows go on from the rows ``index``; returned is the order of all rows in the cache."""
        for rows in filter(None, (self.rows, self._negative)):
            # Beams are rows of one prompt each; a policy may take any.
            rows.reorder(index, mixed=self.plan.deciding is not None)
        return index if self._branch is None else self._branch.reorder(index)

    # What a decoding policy is given (Keeping).

    @property
    def generation(self) -> State:
        assert self.plan.deciding is not None
        return self.memory.generation[self.plan.deciding.name]

    def record(self, name: str, value: Tensor, *axes: str) -> None:
        assert self.plan.deciding is not None
        self.memory.recorder(self.plan.deciding.name, steps=False)(name, value, *axes)

    def reads(self, token: int, prompts: Tensor) -> None:
        self.places.append((token, prompts))

    def saved(self) -> Callable[[], None]:
        """What is kept now; the function puts it back."""
        kept = [part.saved() for part in (self.rows, self._negative, self._branch) if part is not None]

        def put_back() -> None:
            for one in kept:
                one()

        return put_back

    @contextlib.contextmanager
    def _collecting(self, collector: Collector) -> Iterator[None]:
        """Inside, forwards of the decoder are passes of their own: no edits, ``collector`` makes the head outputs."""
        self._collect = collector
        try:
            yield
        finally:
            self._collect = None

    # The layers.

    def attention(self, layer: int, call: AttentionCall) -> Tensor:
        """Head outputs (B, Lq, H, d) of a layer."""
        if self._collect is not None:
            return self._collect(layer, call)
        rows = self.rows
        if rows is None:
            raise HostMismatch("attention was called in a forward that went past the decoder's own hooks")
        self._reached.append(layer)
        with self._noting(layer):
            number = rows.number
            if len(call.query) == number:
                return rows.attention(layer, call)
            main, negative = call.rows(0, number), call.rows(number, len(call.query))
            return torch.cat([rows.attention(layer, main), self._negative_attention(layer, negative)])

    def _negative_attention(self, layer: int, call: AttentionCall) -> Tensor:
        return call.outputs() if self._negative is None else self._negative.attention(layer, call)

    def hidden(
        self, point: HiddenPoint, layer: int, _: Any, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any
    ) -> Any:
        """What a part of a layer gives, edited."""
        rows = self.rows
        if rows is None or (self.looking and self._collect != self._negative_attention):
            return None
        with self._noting(layer):
            hidden = parts.hidden_in(output)
            number = 0 if self.looking else rows.number
            main, negative = hidden.tensor_split([number])
            if len(main):
                main = rows.hidden(point, layer, main, lambda: parts.hidden_given(args, kwargs)[:number])
            if len(negative) and self._negative is not None:
                given = partial(parts.hidden_given, args, kwargs)
                negative = self._negative.hidden(point, layer, negative, lambda: given()[number:])
            return parts.with_hidden(output, torch.cat([main, negative]))

    def encoded(self, layer: int, methods: tuple[Intervention, ...], _: Any, args: tuple[Any, ...], output: Any) -> Any:
        """What a feed-forward block of the image encoder gives, edited; of pictures in other prompts too."""
        hidden = encoder.states_in(output, self.host)
        edited = hidden
        for item in methods:
            edited = item.encoder_feed_forward_output(edited, layer)
        return parts.with_hidden(output, edited.to(hidden.dtype))

    @contextlib.contextmanager
    def _noting(self, layer: int) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            noted(error, f"method {self.plan.editing(layer)}, layer {layer}, token {self.step + 1}")
            raise
