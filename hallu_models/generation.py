"""From conversations to answers: chat template, left-padded batch, ``generate`` with a method, decoded texts."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch

from hallu_models import methods
from hallu_models.attaching import attach
from hallu_models.conversations import Conversation, checked, images_of, request_of, with_other_images
from hallu_models.engines.tokens import ends_of
from hallu_models.hosts import generate as generating
from hallu_models.hosts import processors
from hallu_models.hosts.forward import ids_of
from hallu_models.hosts.host import Host
from hallu_models.hosts.inputs import layout_of
from hallu_models.interventions import Intervention
from hallu_models.observations import Observation
from hallu_models.processing import encode, image_columns, with_system_text
from hallu_models.session import Session, margins
from registry.moved import former
from registry.runner.answers import NO_MARGIN, Margin

__getattr__ = former(__name__)


@dataclass(frozen=True)
class Generation:
    """One answer: its text, its tokens (end-of-text included) and their number, and what the method observed.

    ``observations`` cover the whole batch that the answer was part of; ``row`` is this answer's index in them.
    ``margin`` is that of yes and no at the first token, where it was asked for.
    """

    text: str
    tokens: int
    prompt_tokens: int
    row: int = 0
    token_ids: tuple[int, ...] = ()
    observations: dict[str, Observation] = field(default_factory=dict, repr=False)
    margin: Margin = NO_MARGIN


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
    for what :func:`hallu_models.conversations.checked` refuses.

    A name of this signature is its own; a method's parameter of that name is written ``**{"vhr.top_k": 5}``. Where it
    would do nothing here, as ``top_k`` without ``do_sample``, and a method has it, ValueError names both.
    """
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
    yes_no: margins.YesNo | None = None,
    **options: Any,
) -> list[Generation]:
    """As :func:`generate`, in a session that is attached already; ``options`` are transformers' ``generate``'s.

    yes_no: the tokens between which each answer's margin is read.
    """
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
    inputs = prepared(session, conversations)
    if seed is not None:
        torch.manual_seed(seed)
    asked = {**inputs, **generating.ours(options)}
    refused = None if yes_no is None else yes_no.refused(session, asked)
    with torch.inference_mode(), contextlib.ExitStack() as stack:
        first = None
        if yes_no is not None and not refused:
            first = stack.enter_context(margins.read(yes_no))
            asked = generating.with_processor(asked, first)
        # A session that edits nothing leaves the model's generate() alone.
        answer = host.model.generate
        sequences = session.checked(answer, asked) if session.idle else answer(**asked)
    layout = layout_of(inputs, host.image_tokens)
    prompt_tokens = (~layout.padding).sum(dim=1).tolist()
    observed = session.observations
    answers = sequences[:, layout.padding.shape[1] :]
    texts = processors.decoded(host.processor, answers)
    ends = ends_of(answers, host.ends).tolist()
    found = [Margin(reason=refused or "")] * number if first is None else first.margins()
    return [
        Generation(
            _cut(text, until).strip(), length, prompt_tokens[index], index, tuple(row[:length]), observed, margin
        )
        for index, (text, row, length, margin) in enumerate(zip(texts, answers.tolist(), ends, found, strict=True))
    ]


def prepared(session: Session, conversations: Sequence[Conversation]) -> Any:
    """Model inputs of conversations, as methods word them; the session is given what its methods need besides."""
    for item in session.plan.wording:
        conversations = [item.question(messages) if images_of(messages) else messages for messages in conversations]
    inputs = encode(session.host, conversations)
    session.asked = ids_of(inputs)
    session.rewritten = {
        item.name: encode(session.host, [_rewritten(session.host, item, messages) for messages in conversations])
        for item in session.interventions
        if item.overrides("rewrite")
    }
    others, session.made = _other_images(session, conversations)
    session.prepared_images = _with_other_images(session, conversations, others)
    if session.images is not None:
        session.chosen_columns = image_columns(session.host, inputs, conversations, session.images)
    return inputs


def _rewritten(host: Host, method: Intervention, messages: Conversation) -> Conversation:
    """A method's wording of a conversation; a system text of its own goes where the chat template can say it."""
    made = method.rewrite(messages)
    return made if made[:1] == messages[:1] else with_system_text(host, made)


def _other_images(session: Session, conversations: Sequence[Conversation]) -> tuple[Any, Mapping[str, Any] | None]:
    """The session's other images, or those that its method makes, and numbers (B, I) that tell how it made them."""
    makers = [item for item in session.interventions if item.overrides("other_image")]
    if session.other_images is not None or not makers:
        return session.other_images, None
    made = [
        [makers[0].other_image(image, request_of(messages)) for image in images_of(messages)]
        for messages in conversations
    ]
    most = max(map(len, made))
    observed = {
        name: torch.tensor([[one.observed[name] for one in own] + [-1] * (most - len(own)) for own in made])
        for name in {name: None for own in made for one in own for name in one.observed}
    }
    return [one.image for own in made for one in own] or None, observed


def _with_other_images(session: Session, conversations: Sequence[Conversation], others: Any) -> Any:
    """Model inputs of the conversations with other images; None where there are none, or these are inputs already."""
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
