"""What a processor makes of texts and pictures, and what a model is given of it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby, product
from typing import Any

from torch import Tensor

from hallu_models.hosts import forward

VALUES, REAL, SIZES, GRID = "pixel_values", "pixel_attention_mask", "image_sizes", "image_grid_thw"
PIXELS = (VALUES, REAL, SIZES, GRID, "batch_num_images", "aspect_ratio_ids", "aspect_ratio_mask")
"""What processors give a model for the images, rather than for the text."""

QFORMER = "qformer_"
"""How names of what a Q-Former is told begin."""

MADE_TOGETHER = ("cross_attention_mask",)
"""What processors make of text and images together."""


def pixels_of(inputs: Mapping[str, Any]) -> Tensor | None:
    """Pixels (images, 3, height, width) of whole pictures; None where they are cut up, or there are none."""
    found = inputs.get(VALUES)
    return found if isinstance(found, Tensor) and found.ndim == 4 else None


def has_images(inputs: Mapping[str, Any]) -> bool:
    """Whether model inputs bring pictures."""
    return inputs.get(VALUES) is not None


def with_pixels(inputs: Mapping[str, Any], pixels: Tensor) -> dict[str, Any]:
    """Model inputs with other pixels of the same shape."""
    return {**inputs, VALUES: pixels}


def edited_pixels(inputs: Mapping[str, Any], edit: Callable[[Tensor], Tensor]) -> dict[str, Any]:
    """Model inputs in which ``edit`` made the pixels of each picture, or of each tile of one, from what they were."""
    pixels = inputs[VALUES].clone()
    for place in pieces(inputs):
        pixels[place] = edit(pixels[place]).to(pixels)
    return with_pixels(inputs, pixels)


def pictures(inputs: Mapping[str, Any]) -> list[list[Tensor]]:
    """The pixels of each picture in order, piece by piece.

    Where a processor hands out the tiles of all pictures as one list, each tile counts as a picture.
    """
    pixels = inputs[VALUES]
    grouped = groupby(pieces(inputs), key=lambda place: place[0] if pixels.ndim > 4 else place)
    return [[pixels[place] for place in places] for _, places in grouped]


def pieces(inputs: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """Indices of each picture in the pixels, or of each tile of one, in order and without what pads it.

    A piece has (3, height, width), or (patches, values) where the processor cuts pictures into patches.
    """
    pixels, real, sizes = inputs[VALUES], inputs.get(REAL), inputs.get(SIZES)
    if GRID in inputs:
        ends = inputs[GRID].prod(dim=1).cumsum(dim=0).tolist()
        return [(slice(*span),) for span in zip([0, *ends], ends)]
    if pixels.ndim < 3:
        raise ValueError(f"{VALUES} of shape {tuple(pixels.shape)} do not say where a picture ends")
    found = []
    for place in product(*map(range, pixels.shape[: -2 if pixels.ndim == 3 else -3])):
        if pixels.ndim > 4 and not bool(pixels[place].any()):
            continue  # Tiles that another picture has more of.
        extent: tuple[slice, ...] = ()
        if real is not None:
            extent = _extent(real[place])
        elif sizes is not None and pixels.ndim == 4:
            extent = (slice(None), *map(slice, sizes[place].flatten().tolist()))
        found.append((*place, *extent))
    return found


def _extent(real: Tensor) -> tuple[slice, ...]:
    """What a mask (height, width) leaves of (3, height, width), or one (patches,) of (patches, values)."""
    if real.ndim == 1:
        return (slice(int(real.sum())),)
    return (slice(None), slice(int(real.any(dim=1).sum())), slice(int(real.any(dim=0).sum())))


def without_pixels(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Model inputs whose pictures are known in another way."""
    return {name: value for name, value in inputs.items() if name != VALUES}


def about_images(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The part of model inputs that says what the pictures are."""
    return {name: inputs[name] for name in PIXELS if name in inputs}


def asked_of_images(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The part of model inputs that a Q-Former reads the images under; empty where none reads text."""
    return {name: value for name, value in inputs.items() if name.startswith(QFORMER)}


def made_of(processor: Any, images: Any, device: Any, dtype: Any) -> dict[str, Any]:
    """Model inputs for PIL images, or for pixel values as they are."""
    if isinstance(images, Tensor):
        return {VALUES: images.to(device, dtype)}
    return dict(processor.image_processor(images, return_tensors="pt").to(device, dtype=dtype))


def template_of(processor: Any) -> str | None:
    """The checkpoint's chat template, where it has one."""
    return getattr(processor, "chat_template", None) or getattr(processor.tokenizer, "chat_template", None)


def rendered(processor: Any, messages: Sequence[Mapping[str, Any]], template: str) -> str:
    """Messages in a chat template, ready for the answer."""
    return processor.apply_chat_template(  # type: ignore[no-any-return]
        list(messages), tokenize=False, add_generation_prompt=True, chat_template=template
    )


def says(processor: Any, messages: Sequence[Mapping[str, Any]], template: str, text: str) -> bool:
    """Whether a chat template takes these messages, and leaves ``text`` in the prompt."""
    from jinja2 import TemplateError

    try:
        return text in rendered(processor, messages, template)
    except TemplateError:
        return False


def encoded(processor: Any, images: Sequence[Any] | None, texts: Sequence[str]) -> Any:
    """Left-padded model inputs of rendered prompts; the template may have put the start token in front already."""
    tokenizer = processor.tokenizer
    has_start = bool(tokenizer.bos_token) and texts[0].startswith(tokenizer.bos_token)
    inputs = processor(
        images=images,
        text=list(texts),
        return_tensors="pt",
        padding=True,
        padding_side="left",
        add_special_tokens=not has_start,
    )
    if (reader := getattr(processor, "qformer_tokenizer", None)) is not None:
        # A Q-Former counts positions from the first column, so its question is padded behind.
        question = reader(list(texts), padding=True, padding_side="right", return_tensors="pt")
        inputs.update({f"{QFORMER}{name}": question[name] for name in (forward.IDS, forward.MASK)})
    # What PaliGemma's processor adds for training.
    inputs.pop("labels", None)
    return inputs


def decoded(processor: Any, tokens: Tensor) -> list[str]:
    """Texts of answers (A, T), without special tokens."""
    return processor.tokenizer.batch_decode(tokens, skip_special_tokens=True)  # type: ignore[no-any-return]


def end_of(processor: Any) -> int | None:
    """Id of the tokenizer's end token, where it has one."""
    return processor.tokenizer.eos_token_id  # type: ignore[no-any-return]


def tokens_of(processor: Any, word: str) -> Mapping[int, str]:
    """Ids of the tokens that are a word, in any case and with or without a blank, with the tokens' names."""
    return _tokens_of(processor.tokenizer, word)


@functools.lru_cache(maxsize=16)
def _tokens_of(tokenizer: Any, word: str) -> Mapping[int, str]:
    # Names of tokens mark blanks in many ways, and never in letters; decoding all of them would take seconds.
    named = {id: str(name) for name, id in tokenizer.get_vocab().items() if word in str(name).casefold()}
    return {id: named[id] for id in sorted(named) if tokenizer.decode([id]).strip().casefold() == word}


def lengths(processor: Any, texts: Sequence[str]) -> list[int]:
    """Number of tokens of each text."""
    return [len(ids) for ids in processor.tokenizer(list(texts), add_special_tokens=False)[forward.IDS]]


def opened(source: Any) -> Any:
    """A picture from a path or an address, as PIL has it."""
    from transformers.image_utils import load_image

    return load_image(source)
