"""Extra forwards over the prompt before it is answered: plain, without a cache, no longer than needed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

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
        arguments: Mapping[str, Any],
        collecting: Callable[[Collector], AbstractContextManager[None]],
        other_images: Any = None,
        rewritten: Mapping[str, tuple[Tensor, Tensor]] | None = None,
    ) -> None:
        """``arguments`` are the decoder's; ``rewritten`` holds prompt ids and masks by method name."""
        self._host, self._arguments, self._collecting = host, arguments, collecting
        self._other_images, self._rewritten = other_images, rewritten or {}

    def embeddings_without_image(self, layout: Layout) -> tuple[Tensor, Tensor]:
        """The prompt's text alone, moved left: embeddings (B, Lt, D), right-aligned, and the mask of real columns."""
        columns, text = layout.text_columns()
        embeddings: Tensor = self._arguments["inputs_embeds"]
        return embeddings.gather(1, columns[:, :, None].expand(-1, -1, embeddings.shape[-1])), text

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

    def last_row_attention(self, embeddings: Tensor, layout: Layout, layers: Sequence[int]) -> Tensor:
        """Head-mean attention (B, layers, L) of the last prompt position over the columns of ``layout``."""
        found: dict[int, Tensor] = {}

        def collect(layer: int, call: AttentionCall) -> Tensor:
            if layer in layers:
                found[layer] = rows.scores(call, layout).softmax(dim=-1).mean(dim=1)
            return call.outputs()

        self._run(embeddings, ~layout.padding, collect, layers)
        return torch.stack([found[layer] for layer in sorted(found)], dim=1)

    def _run(self, embeddings: Tensor, mask: Tensor, collect: Collector, layers: Sequence[int]) -> None:
        if not layers:
            raise ValueError("a pass over the prompt needs a layer to look into; give layers=all or some of them")
        last = max(layers)

        def collect_and_end(layer: int, call: AttentionCall) -> Tensor:
            outputs = collect(layer, call)
            if layer == last:
                raise PassEnds
            return outputs

        inputs = {"inputs_embeds": embeddings, "attention_mask": mask.long(), "use_cache": False}
        given = self._arguments.get("position_ids")
        if given is not None:
            # Text that moved left has new positions, the same ones on every axis of multimodal rotary embeddings.
            positions = (mask.long().cumsum(dim=1) - 1).clamp(min=0)
            same = embeddings.shape == self._arguments["inputs_embeds"].shape and given.ndim > 2
            inputs["position_ids"] = given if same else positions.expand(*given.shape[:-2], -1, -1)
        with torch.no_grad(), self._collecting(collect_and_end), suppress(PassEnds):
            self._host.decoder(**inputs)

    def image_features(self, images: Any) -> Tensor:
        """Features (image tokens of all images, D) of PIL images or of pixel values (images, 3, height, width)."""
        model, processor = self._host.model, self._host.processor
        pixels = (
            images
            if isinstance(images, Tensor)
            else processor.image_processor(images, return_tensors="pt")["pixel_values"]
        )
        features = model.get_image_features(pixels.to(self._host.device, model.dtype)).pooler_output
        return torch.cat(list(features)).flatten(0, -2)

    def other_images(self, method: str, layout: Layout) -> Tensor:
        """Embeddings (B, L, D) of the prompt with the caller's other images in the place of its own."""
        if self._other_images is None:
            raise ValueError(
                f"{method} contrasts with another image: give one for each image of the batch, "
                "other_images=[...], to attach() or Host.generate()"
            )
        features = self.image_features(self._other_images)
        embeddings: Tensor = self._arguments["inputs_embeds"]
        columns = int(layout.image.sum())
        if columns % len(features):
            raise ValueError(
                f"{method}: {len(features)} features of other images for {columns} image tokens; give one image each"
            )
        # Beams and returned sequences repeat their row, one after the other.
        return _scattered(embeddings, layout, features, columns // len(features))

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
        embeddings = self._host.model.get_input_embeddings()(ids.clamp(max=self._vocabulary - 1))
        features = self._arguments["inputs_embeds"][layout.image]
        return _scattered(embeddings, other, features, 1), other

    @property
    def _vocabulary(self) -> int:
        return self._host.model.get_input_embeddings().weight.shape[0]


def _scattered(embeddings: Tensor, layout: Layout, features: Tensor, repeats: int) -> Tensor:
    """Embeddings with ``features`` (n, D) at the image columns, each image's rows repeated ``repeats`` times."""
    if repeats > 1:
        per_row = layout.image.sum(dim=1)[::repeats].tolist()
        features = torch.cat([part.repeat(repeats, 1) for part in features.split(per_row)])
    return embeddings.masked_scatter(layout.image[:, :, None], features.to(embeddings.dtype))
