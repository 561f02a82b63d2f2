"""Conversations as chat messages: making one, its images, and what a batch of them must be before anything is made."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hallu_models.hosts import processors

Message = Mapping[str, Any]
Conversation = Sequence[Message]

_FIX = (
    "hallu_models.conversation(image, prompt) makes one, hallu_models.conversation(None, prompt) one without an image"
)
_BASE64 = re.compile(r"[A-Za-z0-9+/\s]{64,}=*\s*")


def conversation(image: Any, prompt: str) -> list[dict[str, Any]]:
    """A one-turn conversation about one image (PIL image, path or URL); ``None`` for no image."""
    content: list[dict[str, Any]] = [] if image is None else [{"type": "image", "image": image}]
    return [{"role": "user", "content": [*content, {"type": "text", "text": prompt}]}]


def images_of(messages: Conversation) -> list[Any]:
    """The images of a conversation as RGB PIL images, in order.

    Raises ValueError for video, audio and any other part this package has no use for, and for an unreadable image.
    """
    from PIL import Image

    found = []
    for message in messages:
        if isinstance(message["content"], str):
            continue
        for part in message["content"]:
            if part["type"] == "image":
                source = part.get("image", part.get("url", part.get("path")))
                image = source if isinstance(source, Image.Image) else processors.opened(source)
                found.append(image.convert("RGB"))
            elif part["type"] != "text":
                raise ValueError(f"a message part of type {part['type']!r}: only text and images are supported")
    return found


def request_of(messages: Conversation) -> str:
    """The text of a conversation's latest message of a user; its parts are joined by blanks."""
    for message in reversed(messages):
        content = message["content"]
        if message["role"] == "user":
            return content if isinstance(content, str) else " ".join(p["text"] for p in content if p["type"] == "text")
    return ""


def with_text_behind(messages: Conversation, text: str) -> list[Message]:
    """The conversation with one more text behind those of the user's latest message, after a blank."""
    place = max(number for number, message in enumerate(messages) if message["role"] == "user")
    content = messages[place]["content"]
    if isinstance(content, str):
        longer: Any = f"{content} {text}"
    else:
        last = max((number for number, part in enumerate(content) if part["type"] == "text"), default=None)
        behind = {"type": "text", "text": text if last is None else f"{content[last]['text']} {text}"}
        longer = [*content, behind] if last is None else [*content[:last], behind, *content[last + 1 :]]
    return [*messages[:place], {**messages[place], "content": longer}, *messages[place + 1 :]]


def with_other_images(conversations: Sequence[Conversation], others: Sequence[Any]) -> list[list[Message]]:
    """The conversations with ``others`` in the places of their images, one for each, in order.

    Raises ValueError where there are not as many.
    """
    number = sum(len(images_of(messages)) for messages in conversations)
    if len(others) != number:
        raise ValueError(f"other_images has {len(others)} images, and the conversations have {number}; give one each")
    rest = iter(others)
    return [
        [{**message, "content": _replaced(message["content"], rest)} for message in messages]
        for messages in conversations
    ]


def _replaced(content: Any, others: Iterator[Any]) -> Any:
    if isinstance(content, str):
        return content
    return [{"type": "image", "image": next(others)} if part["type"] == "image" else part for part in content]


def checked(conversations: Sequence[Conversation], chosen: int | None = None) -> Sequence[Conversation]:
    """The conversations as they are given.

    chosen: the index of the image that methods act on, of each prompt that has one; None for all. Raises ValueError
    that names the place, what stands there and the fix: for no conversation at all, a text or a single message in the
    place of a conversation, a message or part without what belongs to it, a picture file that does not exist, and a
    prompt whose images do not reach to the chosen one. Nothing is loaded.
    """
    if isinstance(conversations, str | bytes | Mapping) or not isinstance(conversations, Sequence):
        raise ValueError(
            f"conversations={_shown(conversations)} is no list of conversations; write [conversation, ...]: {_FIX}"
        )
    if not conversations:
        raise ValueError(f"conversations is empty; give at least one: {_FIX}")
    for number, messages in enumerate(conversations):
        place = f"conversations[{number}]"
        if isinstance(messages, Mapping):
            raise ValueError(f"{place} is a single message; put the conversation into a list: [conversation]")
        if isinstance(messages, str | bytes) or not isinstance(messages, Sequence):
            raise ValueError(f"{place} is {_shown(messages)}, not a list of messages: {_FIX}")
        if not messages:
            raise ValueError(f"{place} has no messages: {_FIX}")
        images = sum(_images(message, f"{place}[{index}]") for index, message in enumerate(messages))
        if images and chosen is not None and chosen >= images:
            raise ValueError(
                f"images={chosen + 1}: {place} has {images} image{'s' if images > 1 else ''}; give images=all, "
                f"images=last, or a number from 1 to {images}"
            )
    return conversations


def _images(message: Any, place: str) -> int:
    """The number of a message's images."""
    if not isinstance(message, Mapping) or not {"role", "content"} <= message.keys():
        raise ValueError(f"{place} is {_shown(message)}, not a message with role and content: {_FIX}")
    content = message["content"]
    if isinstance(content, str):
        return 0
    if not isinstance(content, Sequence):
        raise ValueError(f"{place}: content is {_shown(content)}, neither a text nor a list of parts: {_FIX}")
    images = 0
    for number, part in enumerate(content):
        where = f"{place}, part {number}"
        if not isinstance(part, Mapping) or "type" not in part:
            raise ValueError(f'{where} is {_shown(part)}; write {{"type": "text", "text": ...}} or an image')
        if part["type"] == "text" and not isinstance(part.get("text"), str):
            raise ValueError(
                f'{where}: text={_shown(part.get("text"))} is no text; write {{"type": "text", "text": ...}}'
            )
        if part["type"] == "image":
            images += 1
            _picture(part, where)
    return images


def _picture(part: Mapping[str, Any], where: str) -> None:
    source = part.get("image", part.get("url", part.get("path")))
    if source is None:
        raise ValueError(
            f'{where} names no picture; write {{"type": "image", "image": picture}} (PIL image, file or URL)'
        )
    if isinstance(source, os.PathLike):
        source = os.fspath(source)
    if not isinstance(source, str) or source.startswith(("http://", "https://", "data:")) or _BASE64.fullmatch(source):
        return
    if not os.path.isfile(source):
        raise ValueError(
            f"{where}: there is no picture file {_shown(source)} (looked for in {os.getcwd()}); give a file that "
            "exists, a URL, or a PIL image"
        )


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def chosen_images(images: str | int) -> int | None:
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
