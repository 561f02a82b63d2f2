"""Extra forwards over the prompt before it is answered: plain, without a cache, no longer than needed."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from functools import partial
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

from hallu_models.engines import rows
from hallu_models.engines.hidden import LAYER_OUTPUT
from hallu_models.engines.noise import fingerprint, number_of
from hallu_models.hosts import forward, parts, processors
from hallu_models.hosts import inputs as reading
from hallu_models.hosts.attention import AttentionCall
from hallu_models.hosts.host import Host
from hallu_models.hosts.inputs import DecoderInputs, ReadingEnds, layout_of
from hallu_models.hosts.mismatch import HostMismatch
from hallu_models.layout import Layout

Collector = Callable[[int, AttentionCall], Tensor]
"""Sees layer number and attention call during a pass; makes the head outputs, usually ``call.outputs()``."""


class Passes:
    """What a method may run on the prompt that is about to be read. One object a generation."""

    def __init__(
        self,
        host: Host,
        prompt: DecoderInputs,
        layout: Layout,
        collecting: Callable[[Collector], AbstractContextManager[None]],
        given: Mapping[str, Any],
        other_images: Any = None,
        rewritten: Mapping[str, Mapping[str, Tensor]] | None = None,
        encoded: Any = None,
    ) -> None:
        """``prompt`` is what the decoder reads, ``given`` what the caller gave the model, before beams repeat the rows.

        ``other_images`` are inputs of the same prompts with other images, or these images alone; ``rewritten`` holds
        inputs by method name. ``encoded`` are the images' features where ``generate`` has made them already.
        """
        self.layout, self.prompt = layout, prompt
        self._host, self._collecting, self._given, self._encoded = host, collecting, given, encoded
        self._other_images, self._rewritten = other_images, rewritten or {}

    def head_outputs_without_image(self, layout: Layout, layers: Sequence[int]) -> dict[int, Tensor]:
        """Head outputs (B, H, d) by layer at the last prompt position when the image columns are deleted."""
        found: dict[int, Tensor] = {}

        def collect(layer: int, call: AttentionCall) -> Tensor:
            outputs = call.outputs()
            if layer in layers:
                found[layer] = outputs[:, -1]
            return outputs

        self._run(self.prompt.without_image(layout), collect, layers)
        return found

    def head_outputs_along(
        self, tokens: Tensor, rows: Tensor, layers: Sequence[int], *, image: bool, scales: Mapping[int, Tensor]
    ) -> dict[int, Tensor]:
        """Head outputs (A, T, H, d) by layer where each of the answers' ``tokens`` (A, T) is predicted.

        rows: (A,) prompt row of each answer. image: whether the prompt has its image. scales: factors on the head
        outputs, broadcast to (B, Lq, H, d), of layers that are reinforced; the outputs returned are those before.
        """
        prompt = self.prompt if image else self.prompt.without_image(self.layout)
        first = prompt.embeddings.shape[1] - 1
        found: dict[int, Tensor] = {}

        def collect(layer: int, call: AttentionCall) -> Tensor:
            outputs = call.outputs()
            if layer in layers:
                found[layer] = outputs[:, first:]
            return outputs * scales[layer][rows.to(outputs.device)] if layer in scales else outputs

        self._run(prompt.rows(rows).extended(self._host.embed(tokens[:, :-1])), collect, layers)
        return found

    def last_row_attention(self, inputs: DecoderInputs, layout: Layout, layers: Sequence[int]) -> Tensor:
        """Head-mean attention (B, layers, L) of the last prompt position over the columns of ``layout``."""
        found: dict[int, Tensor] = {}

        def collect(layer: int, call: AttentionCall) -> Tensor:
            if layer in layers:
                here = layout.on(call.query.device)
                scores = rows.scores(call, here, here.columns(call.key.shape[2]))
                found[layer] = scores.softmax(dim=-1).mean(dim=1).to(inputs.embeddings.device)
            return call.outputs()

        self._run(inputs, collect, layers)
        return torch.stack([found[layer] for layer in sorted(found)], dim=1)

    def hidden_states(self, layers: Sequence[int], *, image: bool) -> dict[int, Tensor]:
        """Hidden states (B, D) that layers hand on at the last prompt position, with the image or with it deleted."""
        inputs = self.prompt if image else self.prompt.without_image(self.layout)
        found: dict[int, Tensor] = {}

        def take(layer: int, _: Any, args: Any, output: Any) -> None:
            hidden = parts.hidden_in(output)
            # Text alone is right-aligned.
            found[layer] = self.layout.on(hidden.device).last_row(hidden) if image else hidden[:, -1]
            if layer == max(layers):
                raise ReadingEnds

        with torch.no_grad(), self._collecting(_plain), ExitStack() as hooks, suppress(ReadingEnds):
            for layer in layers:
                part = LAYER_OUTPUT.part(self._host, layer)
                hooks.callback(part.register_forward_hook(partial(take, layer)).remove)
            inputs.run(self._host.model, self._host.decoder)
        if missed := sorted(set(layers) - found.keys()):
            raise HostMismatch(f"a pass over the prompt did not call the layers {', '.join(map(str, missed))}")
        return found

    def _run(self, inputs: DecoderInputs, collect: Collector, layers: Sequence[int]) -> None:
        if not layers:
            raise ValueError("a pass over the prompt needs a layer to look into; give layers=all or some of them")
        last = max(layers)

        seen = []

        def collect_and_end(layer: int, call: AttentionCall) -> Tensor:
            outputs = collect(layer, call)
            seen.append(layer)
            if layer == last:
                raise ReadingEnds
            return outputs

        with torch.no_grad(), self._collecting(collect_and_end), suppress(ReadingEnds):
            inputs.run(self._host.model, self._host.decoder)
        if [layer for layer in seen if layer in layers] != sorted(layers):
            raise HostMismatch(f"a pass over the prompt called attention in the layers {seen}, not in all of {layers}")

    def with_masked_pixels(self, method: str, kept: Tensor) -> DecoderInputs:
        """The prompt whose images show only the patches of ``kept`` image tokens (B, N).

        The other pixels are zero, the mean colour of training images. ``kept`` is left-aligned as the layout's
        :meth:`Layout.image_columns`. Raises ValueError where image tokens are no square grid over one picture.
        """
        pixels, layout = processors.pixels_of(self._given), self.layout
        if pixels is None:
            raise ValueError(
                f"{method}: mask=pixels needs pixel_values (images, 3, height, width); use mask=embeddings"
            )
        if layout.ignored is not None:
            raise ValueError(f"{method}: mask=pixels masks all images; leave images=all or use mask=embeddings")
        repeats = layout.rows // len(self._ids)
        _, real = layout.image_columns()
        shown = kept[::repeats][real[::repeats]]
        tokens, (height, width) = len(shown) // len(pixels), pixels.shape[2:]
        side = math.isqrt(tokens)
        if side**2 * len(pixels) != len(shown) or not self._host.patches or height % side or width % side:
            raise ValueError(
                f"{method}: mask=pixels needs image tokens that are patches of the picture; {tokens} tokens are no "
                f"square grid over {height} x {width} pixels. Use mask=embeddings"
            )
        shown = shown.view(-1, side, side)
        shown = shown.repeat_interleave(height // side, dim=1).repeat_interleave(width // side, dim=2)
        return self._read(processors.with_pixels(self._given, pixels * shown[:, None].to(pixels)))

    def with_pixels(self, method: str, edit: Callable[[Tensor], Tensor]) -> DecoderInputs:
        """The prompt read once more with edited pixels.

        ``edit`` is called with those of each picture, or of each tile of one, as the model is given them: normalised,
        (3, height, width), or (patches, values) where the processor cuts pictures into patches; without what pads them
        in a batch. It returns as many.
        """
        self._require_pixels(method)
        try:
            changed = self._read(processors.edited_pixels(self._given, edit))
        except ValueError as error:
            raise ValueError(f"{method}: {error}") from error
        if self.layout.ignored is None or not bool(self.layout.ignored.any()):
            return changed
        if changed.crossing is not None:
            raise ValueError(f"{method}: images that are read by cross-attention are edited together; leave images=all")
        return self.prompt.with_image_of(changed, self.layout.image)

    def fingerprints(self, method: str) -> list[bytes]:
        """What tells each row's pictures from others, by their pixels; the same for rows with the same pictures.

        Raises ValueError where prompts have several pictures and nothing tells which are whose.
        """
        self._require_pixels(method)
        layout, pictures = self.layout, processors.pictures(self._given)
        image = layout.image if layout.ignored is None else layout.image | layout.ignored
        repeats = layout.rows // len(self._ids)
        tokens = image[::repeats].sum(dim=1).tolist()
        found = [b""] * len(tokens)
        for row, picture in zip(_owners(method, tokens, [sum(map(Tensor.numel, one)) for one in pictures]), pictures):
            found[row] += b"".join(map(fingerprint, picture))
        return [one for one in found for _ in range(repeats)]

    def keys(self, method: str, seed: int) -> Tensor:
        """(B,) a number for each row, by its pictures, its text and a seed: the same in any batch and among any beams.

        Raises what :meth:`fingerprints` raises.
        """
        repeats = self.layout.rows // len(self._ids)
        real = ~self.layout.padding[::repeats]
        texts = [fingerprint(ids[own]) for ids, own in zip(self._ids, real) for _ in range(repeats)]
        pairs = zip(self.fingerprints(method), texts)
        return torch.tensor([number_of(picture + text, seed) for picture, text in pairs], device=self._ids.device)

    def _require_pixels(self, method: str) -> None:
        if not processors.has_images(self._given):
            raise ValueError(f"{method} needs the images' pixels: give generate() the processor's output as it is")

    def other_images(self, method: str, *, made: bool = False) -> DecoderInputs:
        """The prompt with other images in the place of its own: the caller's, or ``made`` ones of the method."""
        other = self._other_images
        if other is None:
            raise ValueError(
                f"{method} makes another image of each image of a conversation, and was given model inputs alone: use "
                "Host.generate(), or give attach() what it makes: other_images=[method.other_image(image, text).image]"
                if made
                else f"{method} contrasts with another image: give one for each image of the batch, "
                "other_images=[...], to attach() or Host.generate()"
            )
        if not isinstance(other, Mapping):
            if together := [name for name in processors.MADE_TOGETHER if name in self._given]:
                raise ValueError(
                    f"{method}: the other images do not fit the prompt, because its {together[0]} was made for its "
                    "own; use Host.generate() or the processor's output for the same prompts with the other images: "
                    "other_images=processor(...)"
                )
            other = {**self._given, **self._host.pixels(other)}
        try:
            self._require_same_shapes(other)
            return self._read(other)
        except (ValueError, RuntimeError) as error:
            raise ValueError(
                f"{method}: the other images do not fit the prompt's image tokens ({str(error).splitlines()[0]}); give "
                "one image each, and where its size decides the number of tokens, use Host.generate() or the "
                "processor's output for the same prompts with the other images: other_images=processor(...)"
            ) from error

    def _require_same_shapes(self, other: Mapping[str, Any]) -> None:
        """Of pictures beside the prompt's own ids: some models put as many features as fit into its image columns."""
        if forward.ids_of(other) is not self._ids:
            return
        for name in processors.PIXELS:
            own, new = self._given.get(name), other.get(name)
            if isinstance(own, Tensor) and isinstance(new, Tensor) and own.shape != new.shape:
                raise ValueError(f"{name} of shape {tuple(new.shape)} in the place of {tuple(own.shape)}")

    def rewritten(self, method: str) -> tuple[DecoderInputs, Layout]:
        """The conversation as ``method`` rewrote it, with the prompt's images, and its layout."""
        wanted = {**processors.about_images(self._given), **self._inputs_of(method)}
        layout, own, encoded = layout_of(wanted, self._host.image_tokens), self.layout, None
        if self._encoded is not None and layout.rows == own.rows:
            # The same images: their features are known.
            wanted, encoded = processors.without_pixels(wanted), dict(self._encoded)
        layout = layout.repeated(own.rows)
        if own.ignored is not None:
            # The same images, in the same order, are left alone.
            acted_on = own.image[own.image | own.ignored]
            chosen = torch.zeros_like(layout.image).masked_scatter(layout.image, acted_on)
            layout = Layout(chosen, layout.padding, layout.image & ~chosen)
        return self._read(wanted, encoded), layout

    def rewritten_for_qformer(self, method: str) -> DecoderInputs:
        """The prompt whose images a Q-Former reads under the conversation as ``method`` rewrote it; the text stays.

        Raises ValueError where no Q-Former reads text.
        """
        question = processors.asked_of_images(self._inputs_of(method))
        if not question:
            raise ValueError(f"{method}: rewriting what a Q-Former reads needs one that reads text, as InstructBLIP's")
        return self._read({**self._given, **question})

    def _inputs_of(self, method: str) -> Mapping[str, Tensor]:
        """Model inputs of the conversations as a method rewrote them."""
        if method not in self._rewritten:
            raise ValueError(
                f"{method} reads the conversation under another wording, so it needs conversations: "
                "use Host.generate() instead of attach() and a plain generate()"
            )
        return self._rewritten[method]

    def again(self) -> DecoderInputs:
        """The prompt as the model reads it once more, from the same inputs."""
        return self._read(self._given)

    def words(self) -> Tensor:
        """(B, L, D) what the prompt would be if it had no image: the embeddings of its ids."""
        repeats = self.layout.rows // len(self._ids)
        return self._host.embed(self._ids).repeat_interleave(repeats, dim=0)

    @property
    def _ids(self) -> Tensor:
        ids = forward.ids_of(self._given)
        assert ids is not None
        return ids

    def _read(self, given: Mapping[str, Any], encoded: Any = None) -> DecoderInputs:
        """What the decoder is given for these model inputs, for every row of the batch."""
        with self._collecting(_unused):
            found = reading.read(self._host, given, encoded)
        return found.repeated(self.layout.rows).with_axes_of(self.prompt)


def _plain(layer: int, call: AttentionCall) -> Tensor:
    return call.outputs()


def _owners(method: str, tokens: Sequence[int], sizes: Sequence[int]) -> list[int]:
    """The row of each picture, from the number of image tokens of each row and the size of each picture."""
    rows = [row for row, number in enumerate(tokens) if number]
    if len(rows) == len(sizes):
        return rows
    # Of several pictures a row: their tokens are in proportion to their sizes.
    ends, starts = ([total * sum(per) for total in accumulate(own)] for own, per in ((tokens, sizes), (sizes, tokens)))
    owners = [bisect_left(ends, end) for end in starts]
    if not set(ends) <= {0, *starts}:
        raise ValueError(f"{method}: nothing tells which of {len(sizes)} pictures are whose; give one a prompt")
    return owners


def _unused(layer: int, call: AttentionCall) -> Tensor:
    raise AssertionError("reading ends before the first layer")
