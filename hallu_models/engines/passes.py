"""Extra forwards over the prompt before it is answered: plain, without a cache, no longer than needed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from hallu_models.engines import rows
from hallu_models.engines.attention import AttentionCall
from hallu_models.engines.inputs import DecoderInputs
from hallu_models.layout import Layout

if TYPE_CHECKING:
    from hallu_models.host import Host

Collector = Callable[[int, AttentionCall], Tensor]
"""Sees layer number and attention call during a pass; makes the head outputs, usually ``call.outputs()``."""

PIXELS = (
    *("pixel_values", "pixel_attention_mask", "image_sizes", "image_grid_thw", "batch_num_images"),
    *("aspect_ratio_ids", "aspect_ratio_mask"),
)
"""What processors give a model for the images, rather than for the text."""

MADE_TOGETHER = ("cross_attention_mask",)
"""What processors make of text and images together."""


class PassEnds(Exception):
    """Leaves a pass once all it was run for has been seen."""


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

    def _run(self, inputs: DecoderInputs, collect: Collector, layers: Sequence[int]) -> None:
        if not layers:
            raise ValueError("a pass over the prompt needs a layer to look into; give layers=all or some of them")
        last = max(layers)

        def collect_and_end(layer: int, call: AttentionCall) -> Tensor:
            outputs = collect(layer, call)
            if layer == last:
                raise PassEnds
            return outputs

        with torch.no_grad(), self._collecting(collect_and_end), suppress(PassEnds):
            self._host.decoder(**inputs.arguments(self._host.model), use_cache=False)

    def with_masked_pixels(self, method: str, kept: Tensor) -> DecoderInputs:
        """The prompt whose images show only the patches of ``kept`` image tokens (B, N).

        The other pixels are zero, the mean colour of training images. ``kept`` is left-aligned as the layout's
        :meth:`Layout.image_columns`. Raises ValueError where image tokens are no square grid over one picture.
        """
        pixels, layout = self._given.get("pixel_values"), self.layout
        if not isinstance(pixels, Tensor) or pixels.ndim != 4:
            raise ValueError(
                f"{method}: mask=pixels needs pixel_values (images, 3, height, width); use mask=embeddings"
            )
        if layout.ignored is not None:
            raise ValueError(f"{method}: mask=pixels masks all images; leave images=all or use mask=embeddings")
        repeats = layout.rows // len(self._given["input_ids"])
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
        return self._read({**self._given, "pixel_values": pixels * shown[:, None].to(pixels)})

    def other_images(self, method: str) -> DecoderInputs:
        """The prompt with the caller's other images in the place of its own."""
        other = self._other_images
        if other is None:
            raise ValueError(
                f"{method} contrasts with another image: give one for each image of the batch, "
                "other_images=[...], to attach() or Host.generate()"
            )
        if not isinstance(other, Mapping):
            if made := [name for name in MADE_TOGETHER if name in self._given]:
                raise ValueError(
                    f"{method}: the other images do not fit the prompt, because its {made[0]} was made for its own; "
                    "use Host.generate() or the processor's output for the same prompts with the other images: "
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
        if other.get("input_ids") is not self._given["input_ids"]:
            return
        for name in PIXELS:
            own, new = self._given.get(name), other.get(name)
            if isinstance(own, Tensor) and isinstance(new, Tensor) and own.shape != new.shape:
                raise ValueError(f"{name} of shape {tuple(new.shape)} in the place of {tuple(own.shape)}")

    def rewritten(self, method: str) -> tuple[DecoderInputs, Layout]:
        """The conversation as ``method`` rewrote it, with the prompt's images, and its layout."""
        if method not in self._rewritten:
            raise ValueError(
                f"{method} reads the conversation under another wording, so it needs conversations: "
                "use Host.generate() instead of attach() and a plain generate()"
            )
        wanted = {**{name: self._given[name] for name in PIXELS if name in self._given}, **self._rewritten[method]}
        encoded: dict[str, Any] = {}
        if self._encoded is not None and len(wanted["input_ids"]) == self.layout.rows:
            # The same images: their features are known.
            wanted = {name: value for name, value in wanted.items() if name != "pixel_values"}
            encoded = {"mm_encoder_outputs": dict(self._encoded)}
        layout = Layout.from_ids(wanted["input_ids"], wanted.get("attention_mask"), self._host.image_tokens)
        layout, own = layout.repeated(self.layout.rows), self.layout
        if own.ignored is not None:
            # The same images, in the same order, are left alone.
            acted_on = own.image[own.image | own.ignored]
            chosen = torch.zeros_like(layout.image).masked_scatter(layout.image, acted_on)
            layout = Layout(chosen, layout.padding, layout.image & ~chosen)
        return self._read(wanted, **encoded), layout

    def _read(self, given: Mapping[str, Any], **encoded: Any) -> DecoderInputs:
        """What the decoder is given for these model inputs, for every row of the batch."""
        with self._collecting(_unused):
            found = decoder_inputs(self._host, given, **encoded)
        return found.repeated(self.layout.rows).with_axes_of(self.prompt)


def _unused(layer: int, call: AttentionCall) -> Tensor:
    raise AssertionError("reading ends before the first layer")


def decoder_inputs(host: Host, given: Mapping[str, Any], **encoded: Any) -> DecoderInputs:
    """What the model gives its decoder for processor outputs ``given``; nothing of the decoder runs.

    ``encoded`` may hold ``mm_encoder_outputs``, image features in the place of pixels.
    """
    caught: dict[str, Any] = {}

    def catch(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        caught.update(kwargs)
        raise PassEnds

    hook = host.decoder.register_forward_pre_hook(catch, with_kwargs=True, prepend=True)
    try:
        with torch.no_grad(), suppress(PassEnds), _rope_kept(host.model):
            inputs = {name: value for name, value in given.items() if name in host.inputs}
            host.model(**inputs, **encoded, use_cache=False)
    finally:
        hook.remove()
    ids, mask = given["input_ids"], given.get("attention_mask")
    real = torch.ones_like(ids, dtype=torch.bool) if mask is None else mask.bool()
    if caught.get("inputs_embeds") is None:
        # Nothing of an image is in the columns.
        caught["inputs_embeds"] = host.embed(ids)
    return DecoderInputs.of(caught, real, given.get("token_type_ids"))


@contextmanager
def _rope_kept(model: Any) -> Iterator[None]:
    """Multimodal rotary models remember how far the last prompt's positions are ahead of its columns."""
    owner = getattr(model, "model", None)
    before = getattr(owner, "rope_deltas", None)
    try:
        yield
    finally:
        if owner is not None and hasattr(owner, "rope_deltas"):
            owner.rope_deltas = before


def image_features(host: Host, images: Sequence[Any]) -> Tensor:
    """Features (image tokens of all images, D) of PIL images as the decoder reads them, each in a prompt of its own."""
    from hallu_models import generation

    given = generation.encode(host, [generation.conversation(image, "") for image in images])
    layout = Layout.from_ids(given["input_ids"], given["attention_mask"], host.image_tokens)
    return decoder_inputs(host, given).image_features(layout)
