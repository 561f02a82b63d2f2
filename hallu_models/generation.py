"""From conversations to answers: chat template, left-padded batch, ``generate`` with a method, decoded texts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import torch

from hallu_models import methods
from hallu_models.observations import Observation

if TYPE_CHECKING:
    from hallu_models.host import Host
    from hallu_models.session import Session

Message = Mapping[str, Any]
Conversation = Sequence[Message]

FALLBACK_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'user' %}USER: {% elif message['role'] == 'assistant' %} ASSISTANT: {% endif %}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image>\n{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endfor %}{% if add_generation_prompt %} ASSISTANT:{% endif %}"
)
"""LLaVA-1.5's prompt layout, for checkpoints that carry no chat template."""


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
    from transformers.image_utils import load_image

    found = []
    for message in messages:
        if isinstance(message["content"], str):
            continue
        for part in message["content"]:
            if part["type"] == "image":
                source = part.get("image", part.get("url", part.get("path")))
                image = source if isinstance(source, Image.Image) else load_image(source)
                found.append(image.convert("RGB"))
            elif part["type"] != "text":
                raise ValueError(f"a message part of type {part['type']!r}: only text and images are supported")
    return found


def prompt_text(host: Host, messages: Conversation) -> str:
    """The conversation in the checkpoint's chat template, ready for the answer."""
    template = getattr(host.processor, "chat_template", None) or getattr(
        host.processor.tokenizer, "chat_template", None
    )
    parts = [{"role": message["role"], "content": _parts(message["content"])} for message in messages]
    return host.processor.apply_chat_template(  # type: ignore[no-any-return]
        parts, tokenize=False, add_generation_prompt=True, chat_template=template or FALLBACK_TEMPLATE
    )


def _parts(content: Any) -> list[dict[str, Any]]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return [
        {"type": "image"} if part["type"] == "image" else {"type": "text", "text": part["text"]} for part in content
    ]


def encode(host: Host, conversations: Sequence[Conversation]) -> Any:
    """Left-padded model inputs of a batch of conversations, on the model's device."""
    images = [image for messages in conversations for image in images_of(messages)]
    texts = [prompt_text(host, messages) for messages in conversations]
    tokenizer = host.processor.tokenizer
    has_start = bool(tokenizer.bos_token) and texts[0].startswith(tokenizer.bos_token)
    inputs = host.processor(
        images=images or None,
        text=texts,
        return_tensors="pt",
        padding=True,
        padding_side="left",
        add_special_tokens=not has_start,
    )
    return inputs.to(host.device, dtype=host.model.dtype)


def rewritten_prompt(host: Host, conversations: Sequence[Conversation]) -> tuple[torch.Tensor, torch.Tensor]:
    """Prompt ids and mask (B, L) of conversations whose images are known from elsewhere."""
    inputs = encode(host, conversations)
    return inputs["input_ids"], inputs["attention_mask"]


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
    **parameters: Any,
) -> list[Generation]:
    """Answer a batch of conversations, by the plain model (``method=None``) or with a method.

    conversations: each a list of chat messages; :func:`conversation` makes the usual one. until: texts that end an
    answer and are cut off. seed: of sampling. other_images: for methods that contrast with another image, one for each
    image of the batch. observe, branch: see :func:`hallu_models.attach`. parameters: the method's, e.g. ``alpha=2.0``.
    """
    from hallu_models.session import attach

    with attach(host, method, observe=observe, branch=branch, other_images=other_images, **parameters) as session:
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
        )


def generate_in(
    session: Session,
    conversations: Sequence[Conversation],
    *,
    until: Iterable[str] = (),
    seed: int | None = None,
    **options: Any,
) -> list[Generation]:
    """As :func:`generate`, in a session that is attached already; ``options`` are transformers' ``generate``'s."""
    host = session.host
    if not options.get("do_sample"):
        # Benchmarks write temperature=0, top_p=0 for "greedy"; transformers has no such values.
        options = {key: value for key, value in options.items() if key not in ("temperature", "top_p", "top_k")}
    options = {key: value for key, value in options.items() if value is not None}
    inputs = encode(host, conversations)
    session.rewritten = {
        item.name: rewritten_prompt(host, [item.rewrite(messages) for messages in conversations])
        for item in session.interventions
        if item.overrides("rewrite")
    }
    if seed is not None:
        torch.manual_seed(seed)
    with torch.inference_mode():
        sequences = host.model.generate(**inputs, **options)
    prompt = inputs["input_ids"].shape[1]
    prompt_tokens = inputs["attention_mask"].sum(dim=1).tolist()
    observed = session.observations
    tokenizer = host.processor.tokenizer
    answers = sequences[:, prompt:]
    texts = tokenizer.batch_decode(answers, skip_special_tokens=True)
    ends = ends_of(answers, host.model.generation_config.eos_token_id).tolist()
    return [
        Generation(_cut(text, until).strip(), length, prompt_tokens[index], index, tuple(row[:length]), observed)
        for index, (text, row, length) in enumerate(zip(texts, answers.tolist(), ends))
    ]


def _cut(text: str, until: Iterable[str]) -> str:
    for stop in until:
        text = text.split(stop)[0] if stop else text
    return text


def ends_of(tokens: torch.Tensor, end: int | list[int] | None) -> torch.Tensor:
    """Number of generated tokens (B,) of each answer (B, T), the first end-of-text token included."""
    found = torch.isin(tokens, torch.tensor(end if isinstance(end, list) else [-1 if end is None else end]).to(tokens))
    return torch.where(found.any(dim=1), found.int().argmax(dim=1) + 1, tokens.shape[1])
