"""Extra forwards over the prompt before it is answered: plain, without a cache, no longer than needed."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from hallu_models.engines import rows
from hallu_models.engines.attention import AttentionCall
from hallu_models.layout import Layout

if TYPE_CHECKING:
    from hallu_models.host import Host

Collector = Callable[[int, AttentionCall], Tensor]
"""Sees layer number and attention call during a pass; makes the head outputs, usually ``call.outputs()``."""


class PassEnds(Exception):
    """Leaves a pass once all it was run for has been seen."""


class Passes:
    """What a method may run on the prompt that is about to be read. One object a generation."""

    def __init__(
        self,
        host: Host,
        embeddings: Tensor,
        positions: Tensor | None,
        layout: Layout,
        collecting: Callable[[Collector], AbstractContextManager[None]],
        other_images: Any = None,
        rewritten: Mapping[str, tuple[Tensor, Tensor]] | None = None,
        pixel_values: Tensor | None = None,
    ) -> None:
        """``embeddings`` (B, L, D) and ``positions`` are the prompt's; ``rewritten`` holds prompts by method name.

        ``pixel_values`` are the images as the caller gave them, before beams repeat the rows.
        """
        self.layout = layout
        self._host, self._embeddings, self._positions = host, embeddings, positions
        self._collecting, self._other_images, self._rewritten = collecting, other_images, rewritten or {}
        self._pixel_values = pixel_values

    def embeddings_without_image(self, layout: Layout) -> tuple[Tensor, Tensor]:
        """The prompt's text alone, moved left: embeddings (B, Lt, D), right-aligned, and the mask of real columns."""
        columns, text = layout.text_columns()
        return self._embeddings.gather(1, columns[:, :, None].expand(-1, -1, self._embeddings.shape[-1])), text

    def head_outputs_without_image(self, layout: Layout, layers: Sequence[int]) -> dict[int, Tensor]:
        """Head outputs (B, H, d) by layer at the last prompt position when the image columns are deleted."""
        embeddings, mask = self.embeddings_without_image(layout)
        found: dict[int, Tensor] = {}

        def collect(layer: int, call: AttentionCall) -> Tensor:
            outputs = call.outputs()
            if layer in layers:
                found[layer] = outputs[:, -1]
            return outputs

        self._run(embeddings, mask, collect, layers)
        return found

    def head_outputs_along(
        self, tokens: Tensor, rows: Tensor, layers: Sequence[int], *, image: bool, scales: Mapping[int, Tensor]
    ) -> dict[int, Tensor]:
        """Head outputs (A, T, H, d) by layer where each of the answers' ``tokens`` (A, T) is predicted.

        rows: (A,) prompt row of each answer. image: whether the prompt has its image. scales: factors on the head
        outputs, broadcast to (B, Lq, H, d), of layers that are reinforced; the outputs returned are those before.
        """
        embeddings, mask = (
            (self._embeddings, ~self.layout.padding) if image else self.embeddings_without_image(self.layout)
        )
        said = self._embedded(tokens[:, :-1])
        first, number = embeddings.shape[1] - 1, tokens.shape[1] - 1
        positions = None
        if image and self._positions is not None:
            own = self._positions.expand(*self._positions.shape[:-2], len(embeddings), -1)[..., rows, :]
            further = torch.arange(1, number + 1, device=own.device)
            positions = torch.cat([own, own[..., -1:] + further], dim=-1)
        found: dict[int, Tensor] = {}

        def collect(layer: int, call: AttentionCall) -> Tensor:
            outputs = call.outputs()
            if layer in layers:
                found[layer] = outputs[:, first:]
            return outputs * scales[layer][rows] if layer in scales else outputs

        embeddings = torch.cat([embeddings[rows], said.to(embeddings.dtype)], dim=1)
        mask = nn.functional.pad(mask[rows], (0, number), value=True)
        self._run(embeddings, mask, collect, layers, positions)
        return found

    def last_row_attention(self, embeddings: Tensor, layout: Layout, layers: Sequence[int]) -> Tensor:
        """Head-mean attention (B, layers, L) of the last prompt position over the columns of ``layout``."""
        found: dict[int, Tensor] = {}

        def collect(layer: int, call: AttentionCall) -> Tensor:
            if layer in layers:
                found[layer] = rows.scores(call, layout).softmax(dim=-1).mean(dim=1)
            return call.outputs()

        self._run(embeddings, ~layout.padding, collect, layers)
        return torch.stack([found[layer] for layer in sorted(found)], dim=1)

    def _run(
        self,
        embeddings: Tensor,
        mask: Tensor,
        collect: Collector,
        layers: Sequence[int],
        positions: Tensor | None = None,
    ) -> None:
        if not layers:
            raise ValueError("a pass over the prompt needs a layer to look into; give layers=all or some of them")
        last = max(layers)

        def collect_and_end(layer: int, call: AttentionCall) -> Tensor:
            outputs = collect(layer, call)
            if layer == last:
                raise PassEnds
            return outputs

        inputs = {"inputs_embeds": embeddings, "attention_mask": mask.long(), "use_cache": False}
        if positions is None and self._positions is not None:
            # Text that moved left has new positions, the same ones on every axis of multimodal rotary embeddings.
            same = embeddings.shape == self._embeddings.shape and self._positions.ndim > 2
            counted = (mask.long().cumsum(dim=1) - 1).clamp(min=0)
            positions = self._positions if same else counted.expand(*self._positions.shape[:-2], -1, -1)
        if positions is not None:
            inputs["position_ids"] = positions
        with torch.no_grad(), self._collecting(collect_and_end), suppress(PassEnds):
            self._host.decoder(**inputs)

    def with_masked_pixels(self, method: str, kept: Tensor) -> Tensor:
        """Embeddings (B, L, D) of the prompt whose images show only the patches of ``kept`` image tokens (B, N).

        The other pixels are zero, the mean colour of training images. ``kept`` is left-aligned as the layout's
        :meth:`Layout.image_columns`. Raises ValueError where image tokens are no square grid over one picture.
        """
        pixels, layout = self._pixel_values, self.layout
        if pixels is None or pixels.ndim != 4:
            raise ValueError(
                f"{method}: mask=pixels needs pixel_values (images, 3, height, width); use mask=embeddings"
            )
        tokens = len(image_features(self._host, pixels[:1]))
        side, (height, width) = math.isqrt(tokens), pixels.shape[2:]
        if side**2 != tokens or height % side or width % side:
            raise ValueError(
                f"{method}: mask=pixels needs image tokens that are patches of the picture; {tokens} tokens are no "
                f"square grid over {height} x {width} pixels. Use mask=embeddings"
            )
        images = (layout.image.sum(dim=1) // tokens).tolist()
        repeats = sum(images) // len(pixels)
        firsts = [sum(images[: row - row % repeats : repeats]) for row in range(layout.rows)]
        index = [first + number for first, count in zip(firsts, images) for number in range(count)]
        _, real = layout.image_columns()
        shown = kept[real].view(-1, side, side)
        shown = shown.repeat_interleave(height // side, dim=1).repeat_interleave(width // side, dim=2)
        features = image_features(self._host, pixels[index] * shown[:, None].to(pixels))
        return _scattered(self._embeddings, layout, features, 1)

    def other_images(self, method: str, layout: Layout) -> Tensor:
        """Embeddings (B, L, D) of the prompt with the caller's other images in the place of its own."""
        if self._other_images is None:
            raise ValueError(
                f"{method} contrasts with another image: give one for each image of the batch, "
                "other_images=[...], to attach() or Host.generate()"
            )
        features = image_features(self._host, self._other_images)
        columns = int(layout.image.sum())
        if columns % len(features):
            raise ValueError(
                f"{method}: {len(features)} features of other images for {columns} image tokens; give one image each"
            )
        # Beams and returned sequences repeat their row, one after the other.
        return _scattered(self._embeddings, layout, features, columns // len(features))

    def rewritten(self, method: str, layout: Layout) -> tuple[Tensor, Layout]:
        """Embeddings (B, L', D) and layout of the conversation as ``method`` rewrote it, with the prompt's images."""
        if method not in self._rewritten:
            raise ValueError(
                f"{method} reads the conversation under another wording, so it needs conversations: "
                "use Host.generate() instead of attach() and a plain generate()"
            )
        ids, mask = self._rewritten[method]
        repeats = layout.rows // len(ids)
        ids, mask = ids.repeat_interleave(repeats, dim=0), mask.repeat_interleave(repeats, dim=0)
        other = Layout.from_ids(ids, mask, self._host.image_tokens)
        embeddings = self._embedded(ids)
        features = self._embeddings[layout.image]
        return _scattered(embeddings, other, features, 1), other

    def _embedded(self, ids: Tensor) -> Tensor:
        """Word embeddings; the placeholder of an image may lie outside of the vocabulary."""
        words = self._host.model.get_input_embeddings()
        return words(ids.clamp(max=words.weight.shape[0] - 1))  # type: ignore[no-any-return]


def image_features(host: Host, images: Any) -> Tensor:
    """Features (image tokens of all images, D) of PIL images or of pixel values (images, 3, height, width)."""
    model, processor = host.model, host.processor
    if not isinstance(images, Tensor):
        images = processor.image_processor(images, return_tensors="pt")["pixel_values"]
    features = model.get_image_features(images.to(host.device, model.dtype)).pooler_output
    return torch.cat(list(features)).flatten(0, -2)


def _scattered(embeddings: Tensor, layout: Layout, features: Tensor, repeats: int) -> Tensor:
    """Embeddings with ``features`` (n, D) at the image columns, each image's rows repeated ``repeats`` times."""
    if repeats > 1:
        per_row = layout.image.sum(dim=1)[::repeats].tolist()
        features = torch.cat([part.repeat(repeats, 1) for part in features.split(per_row)])
    return embeddings.masked_scatter(layout.image[:, :, None], features.to(embeddings.dtype))
