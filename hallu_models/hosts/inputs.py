"""What a language model is given for a batch of prompts, and prompts made from others."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers.masking_utils import create_masks_for_generate

from hallu_models.hosts import forward
from hallu_models.hosts.crossing import Crossing
from hallu_models.hosts.forward import EMBEDDINGS, MASK, POSITIONS
from hallu_models.layout import Layout

DEEPSTACK, DEEPSTACK_WHERE = "deepstack_visual_embeds", "visual_pos_masks"


@dataclass(frozen=True)
class Deepstack:
    """Visual features that early layers add to their outputs at the image columns ``where`` (B, L).

    ``features`` holds one tensor (image columns of all rows, D) a layer, row by row (Qwen3-VL).
    """

    where: Tensor
    features: tuple[Tensor, ...]

    def rows(self, index: Tensor) -> Deepstack:
        parts = [feature.split(self.where.sum(dim=1).tolist()) for feature in self.features]
        chosen = tuple(torch.cat([part[row] for row in index.tolist()]) for part in parts)
        return Deepstack(self.where[index], chosen)

    def padded(self, left: int, right: int = 0) -> Deepstack:
        return Deepstack(nn.functional.pad(self.where, (left, right)), self.features)

    def below(self, other: Deepstack | None, rows: int) -> Deepstack:
        """These rows, then those of ``other``; None for as many ``rows`` to which nothing is added."""
        if other is None:
            return Deepstack(nn.functional.pad(self.where, (0, 0, 0, rows)), self.features)
        features = tuple(torch.cat(pair) for pair in zip(self.features, other.features))
        return Deepstack(torch.cat([self.where, other.where]), features)

    def where_not(self, image: Tensor, other: Deepstack) -> Deepstack:
        """Those of ``other``, of the same columns, at the columns ``image`` (B, L)."""
        theirs = image[self.where][:, None]
        return Deepstack(self.where, tuple(torch.where(theirs, b, a) for a, b in zip(self.features, other.features)))

    def without(self, removed: Tensor) -> Deepstack:
        """Nothing is added at the columns ``removed`` (B, L)."""
        hidden = removed[self.where]
        return Deepstack(self.where, tuple(feature.masked_fill(hidden[:, None], 0.0) for feature in self.features))


@dataclass(frozen=True)
class DecoderInputs:
    """Prompts as the decoder reads them.

    embeddings: (B, L, D) with image features in place. mask: (B, L) real columns. positions: (B, L), or (axes, B, L)
    for multimodal rotary embeddings; None where the decoder counts columns. token_types: (B, L) where they decide which
    columns see each other in both directions (Gemma 3, PaliGemma). made_mask: the model makes its own attention masks
    and hands these to the decoder. crossing: images that are read beside the columns.
    """

    embeddings: Tensor
    mask: Tensor
    positions: Tensor | None = None
    token_types: Tensor | None = None
    deepstack: Deepstack | None = None
    made_mask: bool = False
    crossing: Crossing | None = None

    @classmethod
    def of(cls, call: forward.Call, embeddings: Tensor, mask: Tensor, token_types: Tensor | None) -> DecoderInputs:
        """From a forward of the decoder and what it reads; ``mask`` and ``token_types`` are the model's."""
        arguments = call.arguments
        given = arguments.get(MASK)
        deepstack = None
        if arguments.get(DEEPSTACK) is not None:
            deepstack = Deepstack(arguments[DEEPSTACK_WHERE], tuple(arguments[DEEPSTACK]))
        positions = arguments.get(POSITIONS)
        if positions is not None and positions.shape[-2] < len(embeddings):
            positions = positions.expand(*positions.shape[:-2], len(embeddings), -1)
        made = isinstance(given, dict) or (isinstance(given, Tensor) and given.ndim == 4)
        crossing = Crossing.of(arguments, len(embeddings))
        return cls(embeddings, mask, positions, token_types, deepstack, made, crossing)

    def next(self, call: forward.Call, embeddings: Tensor, mask: Tensor, crossing: Crossing | None) -> DecoderInputs:
        """One more column behind these prompts, ``mask`` (B, L) over all so far: what a decode step reads."""
        positions = call.arguments.get(POSITIONS)
        return DecoderInputs(embeddings, mask, positions, made_mask=self.made_mask, crossing=crossing)

    def moved(self, offset: Tensor | None) -> DecoderInputs:
        """The same columns at other positions, ``offset`` further on."""
        if self.positions is None or offset is None:
            return self
        return dataclasses.replace(self, positions=self.positions + offset)

    def arguments(self, model: Any, cache: Any = None) -> dict[str, Any]:
        """Keyword arguments of the decoder's forward on an empty ``cache``."""
        found: dict[str, Any] = {EMBEDDINGS: self.embeddings, MASK: self.mask.long(), POSITIONS: self.positions}
        if self.made_mask:
            found[MASK] = made_mask(model, self, cache)
        if self.deepstack is not None:
            found[DEEPSTACK_WHERE] = self.deepstack.where
            found[DEEPSTACK] = list(self.deepstack.features)
        return found if self.crossing is None else {**found, **self.crossing.arguments()}

    def run(self, model: Any, decoder: Any) -> None:
        """The decoder's forward over these prompts, without a cache."""
        decoder(**self.arguments(model), use_cache=False)

    def run_on(self, model: Any, decoder: Any, cache: Any, cache_name: str) -> Tensor:
        """The decoder's hidden states (B, L, D) of these columns behind those in ``cache``, given by its name."""
        output = decoder(**self.arguments(model, cache), **{cache_name: cache}, use_cache=True)
        return forward.hidden_of(output)

    def image_features(self, layout: Layout) -> Tensor:
        """Features (N, D) of all images, row by row, in the image columns or beside them."""
        return self.embeddings[layout.image] if self.crossing is None else self.crossing.features()

    def counted(self) -> Tensor | None:
        """Positions that count the real columns, the same on every axis; None where the decoder counts itself."""
        if self.positions is None:
            return None
        own = (self.mask.long().cumsum(dim=1) - 1).clamp(min=0)
        return own.expand(*self.positions.shape[:-2], -1, -1)

    def with_axes_of(self, other: DecoderInputs) -> DecoderInputs:
        """Positions on as many axes as those of ``other``.

        ``generate`` counts what is real where a plain forward leaves that to the decoder, and puts the text's count in
        front of multimodal axes.
        """
        if other.positions is None or (self.positions is not None and self.positions.shape == other.positions.shape):
            return self
        counted = dataclasses.replace(self, positions=other.positions).counted()
        if self.positions is not None and counted is not None and counted.ndim == 3:
            axes = other.positions.shape[0] - self.positions.shape[0]
            counted = torch.cat([counted[:axes], self.positions])
        return dataclasses.replace(self, positions=counted)

    def rows(self, index: Tensor) -> DecoderInputs:
        """The prompts with these numbers, one may come several times."""
        return dataclasses.replace(
            self,
            embeddings=self.embeddings[index],
            mask=self.mask[index],
            positions=None if self.positions is None else self.positions[..., index, :],
            token_types=None if self.token_types is None else self.token_types[index],
            deepstack=None if self.deepstack is None else self.deepstack.rows(index),
            crossing=None if self.crossing is None else self.crossing.rows(index),
        )

    def repeated(self, rows: int) -> DecoderInputs:
        """Every prompt several times in a row, as beams and returned sequences repeat them, ``rows`` in all."""
        if len(self.embeddings) == rows:
            return self
        index = torch.arange(len(self.embeddings), device=self.embeddings.device)
        return self.rows(index.repeat_interleave(rows // len(index)))

    def padded(self, left: int) -> DecoderInputs:
        """Behind ``left`` more padding columns."""
        if not left:
            return self
        types = self.token_types
        return dataclasses.replace(
            self,
            embeddings=nn.functional.pad(self.embeddings, (0, 0, left, 0)),
            mask=nn.functional.pad(self.mask, (left, 0)),
            positions=None if self.positions is None else nn.functional.pad(self.positions, (left, 0)),
            token_types=None if types is None else nn.functional.pad(types, (left, 0)),
            deepstack=None if self.deepstack is None else self.deepstack.padded(left),
            crossing=None if self.crossing is None else self.crossing.padded(left),
        )

    def below(self, other: DecoderInputs) -> DecoderInputs:
        """These rows, then those of ``other``, which has as many columns."""
        positions, types, deepstack, crossing = self.positions, self.token_types, self.deepstack, self.crossing
        if positions is not None:
            assert other.positions is not None
            positions = torch.cat([positions, other.positions], dim=-2)
        if types is not None:
            assert other.token_types is not None
            types = torch.cat([types, other.token_types])
        if deepstack is not None:
            deepstack = deepstack.below(other.deepstack, len(other.embeddings))
        if crossing is not None:
            crossing = crossing.below(other.crossing or crossing.unseen(other.mask.shape[0], other.embeddings.shape[1]))
        embeddings = torch.cat([self.embeddings, other.embeddings.to(self.embeddings.dtype)])
        return DecoderInputs(
            embeddings, torch.cat([self.mask, other.mask]), positions, types, deepstack, self.made_mask, crossing
        )

    def extended(self, embeddings: Tensor) -> DecoderInputs:
        """With generated tokens (B, T, D) behind the prompts."""
        number = embeddings.shape[1]
        positions, types = self.positions, self.token_types
        if positions is not None:
            further = torch.arange(1, number + 1, device=positions.device)
            positions = torch.cat([positions, positions[..., -1:] + further], dim=-1)
        if types is not None:
            # What is generated reads one way, whatever a family's number for that is.
            types = nn.functional.pad(types, (0, number), value=GENERATED)
        return dataclasses.replace(
            self,
            embeddings=torch.cat([self.embeddings, embeddings.to(self.embeddings.dtype)], dim=1),
            mask=nn.functional.pad(self.mask, (0, number), value=True),
            positions=positions,
            token_types=types,
            deepstack=None if self.deepstack is None else self.deepstack.padded(0, number),
            crossing=None if self.crossing is None else self.crossing.extended(number),
        )

    def without_image(self, layout: Layout) -> DecoderInputs:
        """The text alone, moved left and right-aligned; its positions are counted anew."""
        columns, text = layout.text_columns()
        embeddings = self.embeddings.gather(1, columns[:, :, None].expand(-1, -1, self.embeddings.shape[-1]))
        types = None if self.token_types is None else self.token_types.gather(1, columns)
        deepstack = None
        if self.deepstack is not None:
            kept = self.deepstack.where.gather(1, columns) & text
            if bool(kept.any()):
                # Pictures that stay: those of several that are not looked at.
                order = torch.zeros_like(self.deepstack.where).scatter(1, columns, text)[self.deepstack.where]
                deepstack = Deepstack(kept, tuple(feature[order] for feature in self.deepstack.features))
        if self.crossing is not None and layout.ignored is not None and bool(layout.ignored.any()):
            raise ValueError("images that are read by cross-attention are taken out together; leave images=all")
        # Images beside the columns are gone with theirs.
        moved = DecoderInputs(embeddings, text, self.positions, types, deepstack, self.made_mask)
        return dataclasses.replace(moved, positions=moved.counted())

    def with_image_of(self, other: DecoderInputs, image: Tensor) -> DecoderInputs:
        """At the columns ``image`` (B, L) what ``other``, the same prompts with other pictures, has there."""
        deepstack = self.deepstack
        if deepstack is not None and other.deepstack is not None:
            deepstack = deepstack.where_not(image, other.deepstack)
        embeddings = torch.where(image[:, :, None], other.embeddings, self.embeddings)
        return dataclasses.replace(self, embeddings=embeddings, deepstack=deepstack)

    def with_removed(self, removed: Tensor, filling: Tensor | float = 0.0) -> DecoderInputs:
        """Image tokens at the columns ``removed`` (B, L) are zero, in the deeper layers too.

        ``filling``, a number or embeddings (B, L, D), stands in their place where the first layer reads them.
        """
        return dataclasses.replace(
            self,
            embeddings=torch.where(removed[:, :, None], filling, self.embeddings).to(self.embeddings.dtype),
            deepstack=None if self.deepstack is None else self.deepstack.without(removed),
        )


GENERATED = -1
"""Token type of generated columns: neither image nor prefix, so causal, in every family that has token types."""


def made_mask(model: Any, inputs: DecoderInputs, cache: Any) -> Any:
    """Attention masks as the model's own forward makes them for its decoder."""
    make = getattr(model, "create_masks_for_generate", create_masks_for_generate)
    types = {} if inputs.token_types is None else {forward.TYPES: inputs.token_types, "is_first_iteration": True}
    return make(
        config=model.config.get_text_config(),
        **{EMBEDDINGS: inputs.embeddings, MASK: inputs.mask.long(), POSITIONS: inputs.positions},
        **{forward.cache_parameter(make): cache},
        **types,
    )


def layout_of(inputs: Mapping[str, Any], image_tokens: Iterable[int], chosen: Tensor | None = None) -> Layout:
    """The columns of model inputs; ``chosen`` (B, L) are those of the images that count, None for all."""
    return Layout.from_ids(inputs[forward.IDS], forward.mask_of(inputs), image_tokens, chosen)


def with_answer(inputs: Mapping[str, Any], tokens: Sequence[int]) -> dict[str, Any]:
    """Model inputs of a prompt, in one row or several, with an answer behind it, as one forward reads them."""
    found, ids = dict(inputs), inputs[forward.IDS]
    answer = torch.tensor(list(tokens), device=ids.device).expand(len(ids), -1)
    found[forward.IDS] = torch.cat([ids, answer], dim=1)
    for name, value in inputs.items():
        if name != forward.IDS and isinstance(value, Tensor) and value.shape == ids.shape:
            # PaliGemma's own number for what it generates is 1; for others a token type of 0 is text.
            one = name == MASK or (name == forward.TYPES and not bool(value.any()))
            found[name] = nn.functional.pad(value, (0, len(tokens)), value=int(one))
    return found


class ReadingEnds(Exception):
    """Leaves a forward once all it was run for has been seen."""


def read(host: Any, given: Mapping[str, Any], encoded: Any = None) -> DecoderInputs:
    """What a host's model gives its decoder for processor outputs ``given``; nothing of the decoder runs.

    ``encoded`` may hold image features that ``generate`` has made, in the place of pixels.
    """
    caught: list[forward.Call] = []

    def catch(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        caught.append(forward.Call.of(module, args, kwargs))
        raise ReadingEnds

    hook = host.decoder.register_forward_pre_hook(catch, with_kwargs=True, prepend=True)
    features = {} if encoded is None else {forward.ENCODED: encoded}
    try:
        with torch.no_grad(), rope_kept(host.model):
            host.model(**forward.prompt(given, host.inputs), **features, use_cache=False)
    except ReadingEnds:
        pass
    finally:
        hook.remove()
    (call,) = caught
    ids, mask = forward.ids_of(given), forward.mask_of(given)
    assert ids is not None
    real = torch.ones_like(ids, dtype=torch.bool) if mask is None else mask.bool()
    return DecoderInputs.of(call, call.embeddings(host.embed), real, forward.types_of(given))


@contextmanager
def rope_kept(model: Any) -> Iterator[None]:
    """Multimodal rotary models remember how far the last prompt's positions are ahead of its columns."""
    owner = getattr(model, "model", None)
    before = getattr(owner, "rope_deltas", None)
    try:
        yield
    finally:
        if owner is not None and hasattr(owner, "rope_deltas"):
            owner.rope_deltas = before
