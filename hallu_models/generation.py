"""From conversations to answers: chat template, left-padded batch, ``generate`` with a method, decoded texts."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import torch

import registry
from hallu_models import methods
from hallu_models.conversation_check import checked
from hallu_models.hosts import forward, processors
from hallu_models.hosts import generate as generating
from hallu_models.hosts.inputs import layout_of
from hallu_models.observations import Observation

if TYPE_CHECKING:
    from hallu_models.hosts.host import Host
    from hallu_models.session import Session

Message = Mapping[str, Any]
Conversation = Sequence[Message]


@dataclass(frozen=True)
class Generation:
    """One answer: its text, its tokens (end-of-text included) and their number, and what the method observed.

    ``observations`` cover the whole batch that the answer was part of; ``row`` is this answer's index in them.
    """

    text: str
    tokens: int
    prompt_tokens: int
    row: int = 0
    token_ids: tuple[int, ...] = ()
    observations: dict[str, Observation] = field(default_factory=dict, repr=False)


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


def prompt_text(host: Host, messages: Conversation) -> str:
    """The conversation in the checkpoint's chat template, or the family's where it has none, ready for the answer."""
    template = processors.template_of(host.processor)
    if template is None:
        known = registry.families().get(host.family or "")
        template = known.prompt if known else None
    if template is None:
        raise ValueError(
            f"the processor {type(host.processor).__name__} has no chat template; set host.processor.chat_template, or "
            "put a chat_template.jinja into the checkpoint's folder"
        )
    parts = [{"role": message["role"], "content": _parts(message["content"])} for message in messages]
    return processors.rendered(host.processor, parts, template)


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


def generate(
    host: Host,
    conversations: Sequence[Conversation],
    method: methods.Method = None,
    *,
    max_new_tokens: int = 64,
    do_sample: bool = False,
    temperature: float | None = None,
    top_p: float | None = None,
    top_k: int | None = None,
    num_beams: int = 1,
    seed: int | None = None,
    until: Iterable[str] = (),
    other_images: Sequence[Any] | None = None,
    observe: bool = True,
    branch: Literal["paired", "sequential"] = "paired",
    images: str | int = "all",
    streamer: Any = None,
    **parameters: Any,
) -> list[Generation]:
    """Answer a batch of conversations, by the plain model (``method=None``) or with a method.

    conversations: each a list of chat messages; :func:`conversation` makes the usual one. until: texts that end an
    answer and are cut off. seed: of sampling. other_images: for methods that contrast with another image, one for each
    image of the batch, or one for all. observe, branch: see :func:`hallu_models.attach`. images: which images of each
    prompt the method acts on, "all", "last" or a number from 1. streamer: of transformers, for one conversation; it is
    given the tokens as they come. parameters: the method's, e.g. ``alpha=2.0``. Raises ValueError for unknown ones and
    for what :func:`hallu_models.conversation_check.checked` refuses.

    A name of this signature is its own; a method's parameter of that name is written ``**{"vhr.top_k": 5}``. Where it
    would do nothing here, as ``top_k`` without ``do_sample``, and a method has it, ValueError names both.
    """
    from hallu_models.attaching import attach

    if not do_sample:
        _refuse_ambiguous(method, {"temperature": temperature, "top_p": top_p, "top_k": top_k})
    if method is None or isinstance(method, str):
        methods.check(method, parameters, OPTIONS)
    elif parameters:
        raise ValueError(
            f"{', '.join(parameters)}: no option of generate(), and {method.name} carries its own parameters; allowed: "
            f"{', '.join(OPTIONS)}"
        )
    with attach(
        host, method, observe=observe, branch=branch, other_images=other_images, images=images, **parameters
    ) as session:
        return generate_in(
            session,
            conversations,
            until=until,
            seed=seed,
            max_new_tokens=max_new_tokens,
            do_sample=do_sample,
            temperature=temperature,
            top_p=top_p,
            top_k=top_k,
            num_beams=num_beams,
            streamer=streamer,
        )


def _refuse_ambiguous(method: methods.Method, unused: Mapping[str, Any]) -> None:
    """Options of sampling, which a greedy generation leaves alone, where the method's parameter may be meant."""
    for name, value in unused.items():
        owners = methods.owners(method, name) if value is not None else ()
        if owners:
            ways = [f'**{{"{own}.{name}": {value!r}}}' for own in owners]
            if not isinstance(method, str):
                ways = [f"{type(method).__name__}({name}={value!r})"]
            raise ValueError(
                f"{name}={value!r}: generate() has {name}, of sampling, and so has {' and '.join(owners)}; for the "
                f"method write {' or '.join(ways)}, for sampling give do_sample=True"
            )


OPTIONS = tuple(
    name for name, one in inspect.signature(generate).parameters.items() if one.kind is inspect.Parameter.KEYWORD_ONLY
)
"""Names that :func:`generate` takes itself; others are a method's parameters."""


def generate_in(
    session: Session,
    conversations: Sequence[Conversation],
    *,
    until: Iterable[str] = (),
    seed: int | None = None,
    **options: Any,
) -> list[Generation]:
    """As :func:`generate`, in a session that is attached already; ``options`` are transformers' ``generate``'s."""
    conversations = checked(conversations, session.images)
    host = session.host
    number, beams = len(conversations), options.get("num_beams") or 1
    if options.get("streamer") is not None and (number, beams) != (1, 1):
        raise ValueError(
            f"streamer: {number} conversations, num_beams={beams}; a streamer takes the tokens of one conversation as "
            "they come: give one, with num_beams=1"
        )
    if not options.get("do_sample"):
        # Benchmarks write temperature=0, top_p=0 for "greedy"; transformers has no such values.
        options = {key: value for key, value in options.items() if key not in ("temperature", "top_p", "top_k")}
    options = {key: value for key, value in options.items() if value is not None}
    inputs = encode(host, conversations)
    session.rewritten = {
        item.name: encode(host, [item.rewrite(messages) for messages in conversations])
        for item in session.interventions
        if item.overrides("rewrite")
    }
    session.prepared_images = _with_other_images(session, conversations)
    if session.images is not None:
        session.chosen_columns = image_columns(host, inputs, conversations, session.images)
    if seed is not None:
        torch.manual_seed(seed)
    with torch.inference_mode():
        asked = {**inputs, **generating.ours(options)}
        # A session that edits nothing leaves the model's generate() alone.
        answer = host.model.generate
        sequences = session.checked(answer, asked) if session.idle else answer(**asked)
    layout = layout_of(inputs, host.image_tokens)
    prompt_tokens = (~layout.padding).sum(dim=1).tolist()
    observed = session.observations
    answers = sequences[:, layout.padding.shape[1] :]
    texts = processors.decoded(host.processor, answers)
    ends = ends_of(answers, host.ends).tolist()
    return [
        Generation(_cut(text, until).strip(), length, prompt_tokens[index], index, tuple(row[:length]), observed)
        for index, (text, row, length) in enumerate(zip(texts, answers.tolist(), ends))
    ]


def _with_other_images(session: Session, conversations: Sequence[Conversation]) -> Any:
    """Model inputs of the conversations with the session's other images; None where these are inputs already."""
    others = session.other_images
    if others is None or not isinstance(others, Sequence) or not any(map(images_of, conversations)):
        return None
    if len(others) == 1:
        # One for all.
        others = [*others] * sum(len(images_of(messages)) for messages in conversations)
    if session.images is not None:
        # Images that methods leave alone stay in place.
        given = iter(others)
        others = [
            other if session.images in (number, number - len(own)) else image
            for own in map(images_of, conversations)
            for number, (image, other) in enumerate(zip(own, given))
        ]
    return encode(session.host, with_other_images(conversations, others))


def _cut(text: str, until: Iterable[str]) -> str:
    for stop in until:
        text = text.split(stop)[0] if stop else text
    return text


def ends_of(tokens: torch.Tensor, end: int | list[int] | None) -> torch.Tensor:
    """Number of generated tokens (B,) of each answer (B, T), the first end-of-text token included."""
    found = torch.isin(tokens, torch.tensor(end if isinstance(end, list) else [-1 if end is None else end]).to(tokens))
    return torch.where(found.any(dim=1), found.int().argmax(dim=1) + 1, tokens.shape[1])
