"""From conversations to model inputs: chat template, left-padded batch, the columns of each image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

import registry
from hallu_models.conversations import Conversation, conversation, images_of
from hallu_models.hosts import forward, processors
from hallu_models.hosts import inputs as reading
from hallu_models.hosts.host import Host
from hallu_models.hosts.inputs import layout_of


def prompt_text(host: Host, messages: Conversation) -> str:
    """The conversation in the checkpoint's chat template, or the family's where it has none, ready for the answer."""
    return processors.rendered(host.processor, _roles(messages), _template(host))


def with_system_text(host: Host, messages: Conversation) -> Conversation:
    """The conversation with its system text where the chat template can say it.

    One that the template refuses or leaves out goes in front of the first user's text.
    """
    system = [message for message in messages if message["role"] == "system"]
    texts = [part["text"] for message in _roles(system) for part in message["content"] if part["type"] == "text"]
    if all(processors.says(host.processor, _roles(messages), _template(host), text) for text in texts):
        return messages
    first, *others = [dict(message) for message in messages if message["role"] != "system"]
    parts = [{"type": "text", "text": first["content"]}] if isinstance(first["content"], str) else first["content"]
    images, said = ([part for part in parts if (part["type"] == "text") == text] for text in (False, True))
    whole = " ".join([*texts, *(part["text"] for part in said)])
    return [{**first, "content": [*images, {"type": "text", "text": whole}]}, *others]


def _template(host: Host) -> str:
    template = processors.template_of(host.processor)
    if template is None:
        known = registry.families().get(host.family or "")
        template = known.prompt if known else None
    if template is None:
        raise ValueError(
            f"the processor {type(host.processor).__name__} has no chat template; set host.processor.chat_template, or "
            "put a chat_template.jinja into the checkpoint's folder"
        )
    return template


def _roles(messages: Conversation) -> list[dict[str, Any]]:
    """What a chat template is given: roles, and parts without the pictures."""
    return [{"role": message["role"], "content": _parts(message["content"])} for message in messages]


def _parts(content: Any) -> list[dict[str, Any]]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return [
        {"type": "image"} if part["type"] == "image" else {"type": "text", "text": part["text"]} for part in content
    ]


def encode(host: Host, conversations: Sequence[Conversation]) -> Any:
    """Left-padded model inputs of a batch of conversations, on the model's device.

    Raises ValueError for a number of images that the family does not take, for images that left no placeholder in the
    prompt, and for a prompt longer than the model's context.
    """
    images = [images_of(messages) for messages in conversations]
    known = registry.families().get(host.family or "")
    for own in images if known and known.images == "one" else ():
        if len(own) != 1:
            raise ValueError(f"{host.family} takes exactly one image a prompt, and a prompt has {len(own)}")
    if known and known.images == "all or none" and any(images) and not all(images):
        raise ValueError(
            f"{host.family} takes no batch in which some prompts have an image and {images.count([])} of {len(images)} "
            "have none; ask these apart, or one at a time (batch_size=1)"
        )
    texts = [prompt_text(host, messages) for messages in conversations]
    flat = [image for own in images for image in own]
    nested = known is not None and known.images in ("by prompt", "all or none")
    inputs = processors.encoded(host.processor, (images if nested else flat) if flat else None, texts)
    _check(host, inputs, images)
    return inputs.to(host.device, dtype=host.model.dtype)


def _check(host: Host, inputs: Any, images: Sequence[Sequence[Any]]) -> None:
    ids = forward.ids_of(inputs)
    assert ids is not None
    if (context := host.context) is not None and ids.shape[1] > context:
        raise ValueError(
            f"a prompt of {ids.shape[1]} tokens is longer than the model's context of {context}; shorten the text, or "
            "give fewer or smaller images"
        )
    tokens = torch.tensor(sorted(host.image_tokens))
    for number, (row, own) in enumerate(zip(ids, images)):
        if own and not bool(torch.isin(row, tokens).any()):
            raise ValueError(
                f"prompt {number} has an image, but the model's image token {sorted(host.image_tokens)} does not occur "
                f"in its {len(row)} tokens: the chat template leaves images out, or the processor "
                f"{type(host.processor).__name__} is another model's"
            )


def image_columns(host: Host, inputs: Any, conversations: Sequence[Conversation], chosen: int) -> torch.Tensor:
    """(B, L): the columns of one image of each prompt, by its index; no column where a prompt lacks this image."""
    columns = layout_of(inputs, host.image_tokens).image
    found = torch.zeros_like(columns)
    for row, messages in enumerate(conversations):
        images = images_of(messages)
        if not -len(images) <= chosen < len(images):
            continue
        total = int(columns[row].sum())
        lengths = [total] if len(images) == 1 else [_image_tokens(host, image) for image in images]
        if sum(lengths) != total:
            # Several images are cut into fewer tiles than one alone, all of them alike.
            if total % len(images):
                raise ValueError(
                    f"prompt {row}: its {len(images)} images have {total} tokens, {lengths} alone, so nothing tells "
                    "which are whose; leave images=all"
                )
            lengths = [total // len(images)] * len(images)
        first = sum(lengths[: chosen % len(images)])
        place = columns[row].nonzero()[first : first + lengths[chosen], 0]
        found[row, place] = True
    return found


def _image_tokens(host: Host, image: Any) -> int:
    """Number of columns of an image alone."""
    return int(layout_of(encode(host, [conversation(image, "")]), host.image_tokens).image.sum())


def image_features(host: Host, images: Sequence[Any]) -> Tensor:
    """Features (image tokens of all images, D) of PIL images as the decoder reads them, each in a prompt of its own."""
    given = encode(host, [conversation(image, "") for image in images])
    return reading.read(host, given).image_features(layout_of(given, host.image_tokens))
