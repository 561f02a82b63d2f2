"""Putting interventions on a model, and taking them off again."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor

from hallu_models.conversations import chosen_images
from hallu_models.engines import branches
from hallu_models.engines.passes import Passes
from hallu_models.engines.tokens import ends_of
from hallu_models.hosts import attention, decoding, encoder, forward, generate
from hallu_models.hosts.attention import AttentionCall
from hallu_models.hosts.host import Host
from hallu_models.interventions import Answer, Intervention
from hallu_models.notes import noted, notes
from hallu_models.observations import Observation
from hallu_models.session import finite, prompts
from hallu_models.session.answering import Answering
from hallu_models.session.beside import Beside
from hallu_models.session.owners import held, refuse_nesting
from hallu_models.session.plan import Plan

Images = str | int
"""Which images of a prompt methods act on: "all", "last", or a number from 1."""


class Session(Beside):
    """Interventions on one model. Made by :func:`hallu_models.attach`.

    A generation begins with a forward on an empty cache (the prefill); ``observations`` reports on the latest. The
    thread that attached it generates; any other is refused, unless it calls :meth:`generate`.
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
        super().__init__(other_images, rewritten, images=chosen_images(images))
        if branch not in branches.MODES:
            raise ValueError(f"branch={branch}: allowed are {', '.join(branches.MODES)}")
        self.host, self.interventions = host, interventions
        self.plan = Plan.of(host, interventions)
        if self.plan.encoding and self.images is not None:
            raise ValueError(f"{self.plan.name}: the image encoder is edited for all images; leave images=all")
        self._answering = Answering(host, self.plan, self, observe=observe, mode=branch)
        self._mode, self._prove = branch, prove
        self._edits = contextlib.ExitStack()
        self._explaining = False
        self._thread = threading.current_thread()
        self._running = threading.RLock()
        self._left = True

    @property
    def idle(self) -> bool:
        """Nothing to edit and nothing to contrast."""
        return self.plan.idle

    @property
    def rows_without_image(self) -> int:
        """Rows answered without methods because they hold no image, over all generations."""
        return self._answering.rows_without_image

    @property
    def observations(self) -> dict[str, Observation]:
        """What the methods saw and did in the latest generation, by name; ``method.name`` in a composition.

        Empty in a session that does not observe: an evaluation asks for none, and gathering them costs transfers.
        """
        return self._answering.observations()

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
        host, plan, own = self.host, self.plan, self._answering

        def before(module: Any, hook: Callable[..., Any]) -> None:
            stack.callback(module.register_forward_pre_hook(self._by_owner(hook), with_kwargs=True).remove)

        def after(module: Any, hook: Callable[..., Any], with_kwargs: bool = False) -> None:
            stack.callback(module.register_forward_hook(self._of_owner(hook), with_kwargs=with_kwargs).remove)

        stack.enter_context(held(host.model))
        for layer, methods in plan.encoding.items():
            part = encoder.feed_forward(encoder.layers(host)[layer])
            after(part, partial(own.encoded, layer, methods))
        stack.enter_context(_replaced(host.model, "generate", self._generate))
        before(host.model, own.before_model)
        before(host.decoder, own.before_decoder)
        after(host.decoder, own.after_decoder)
        for point, layer in plan.hidden_edits:
            after(point.part(host, layer), partial(own.hidden, point, layer), with_kwargs=True)
        for layer, module in own.looked_into.items():
            after(module, partial(own.after_layer, layer))
        if own.first_looked_into is not None:
            before(own.first_looked_into, own.before_first_layer)
        if plan.on_logits or plan.early:
            after(host.causal, own.after_model)
        if plan.contrasting is not None and self._mode == "sequential":
            after(host.causal.get_output_embeddings(), own.after_head)
        edits = {host.attention[layer]: partial(self._attention, layer) for layer in plan.attended}
        stack.enter_context(attention.edited(host.decoder, edits))

    # Threads. A forward that was under way when this session was attached ends as it began; its next one is refused.

    def _by_owner(self, hook: Callable[..., Any]) -> Callable[..., Any]:
        def called(*args: Any) -> Any:
            self._refuse_other_threads()
            return hook(*args)

        return called

    def _of_owner(self, hook: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *args: hook(*args) if threading.current_thread() is self._thread else None

    def _attention(self, layer: int, call: AttentionCall) -> Tensor:
        if threading.current_thread() is not self._thread:
            return call.outputs()
        return self._answering.attention(layer, call)

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
                f"thread {here.name!r} uses a model on which thread {owner.name!r} has a session "
                f"of {self.plan.name!r}; hand session.generate to that thread instead of model.generate, or wait "
                "until the block is left"
            )
        if self._left:
            raise RuntimeError(
                f"the session of {self.plan.name!r} is over, for its block was left; generate inside it, or attach "
                "again"
            )

    def _generate(self, original: Any, *args: Any, **options: Any) -> Any:
        self._refuse_other_threads()
        asked = generate.named(self.host.model, args, options)
        generate.refuse(self.host.model, asked)
        own = self._answering
        seen = None if own.rows is None else own.rows.total
        prompts.refuse_read(generate.cached(asked), seen, self.plan)
        own.given = generate.prompt(asked, self.host.inputs)
        if self._prove is not None:
            given, prove = own.given, self._prove
            # The proof compares with the plain model.
            self._edits.close()
            prove(given)
            self._prove, own.given = None, given
            self._put_on(self._edits)
        if self.plan.deciding is not None:
            asked = {**asked, **decoding.by(self.plan.deciding.decode, own, asked.get("streamer"))}
        own.generating, own.begun, own.places = True, False, []
        try:
            output = self.checked(original, generate.uncompiled(asked))
        except Exception as error:
            if not notes(error):
                noted(error, f"method {self.plan.name}" + (f", token {own.step + 1}" if own.begun else ""))
            raise
        finally:
            own.generating = False
        if own.passes is not None:
            self._review(own.passes, generate.sequences(output), generate.ends(self.host.model, asked))
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
        if own := self._answering.places:
            token, rows_of = own[step]
            return finite.NotFinite(self.plan.name, token + 1, int(rows_of[row]), where)
        prompts = rows if ids is None else len(ids)
        if sequences is not None and generate.one_answer(self.host.model, asked):
            self._explaining = True
            try:
                made = sequences.shape[1] - (0 if ids is None else ids.shape[1])
                tokens = sequences[:, : sequences.shape[1] - made + step + 1]
                where = finite.explained(self.host, given, tokens, step, self.plan.editing)
            finally:
                self._explaining = False
        elif (name := finite.weight(self.host.model)) is not None:
            where = f"in the weight {name}"
        return finite.NotFinite(self.plan.name, step + 1, row // max(1, rows // prompts), where)

    def _review(self, passes: Passes, sequences: Tensor, end: int | list[int] | None) -> None:
        """Let the methods look back at the answers, for the observations."""
        tokens = sequences[:, passes.layout.padding.shape[1] :]
        memory = self._answering.memory
        for item in self.interventions:
            if tokens.shape[1] and item.overrides("review"):
                # All prefilled rows of a prompt are the same, whatever came of its beams.
                rows = torch.arange(len(tokens), device=tokens.device) * passes.layout.rows // len(tokens)
                record = memory.recorder(item.name, steps=False)
                item.review(Answer(tokens, ends_of(tokens, end), rows, memory.states[item.name], passes, record))


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
