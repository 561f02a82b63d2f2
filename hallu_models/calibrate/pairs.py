"""Pairs of captions of one image, a faithful and a hallucinated one, and what a model's layers make of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hallu_models import processing
from hallu_models.calibrate import prompts
from hallu_models.diagnostics.subjects import PROMPT, Subject
from hallu_models.engines.hidden import LAYER_OUTPUT
from hallu_models.hosts import forward, parts
from hallu_models.hosts.inputs import with_answer
from hallu_models.loading import Host

SEED = prompts.SEED + 1


@dataclass(frozen=True)
class Pair:
    """An image with its prompt, and two captions of it."""

    subject: Subject
    faithful: str
    hallucinated: str


def drawn(number: int = prompts.SCENES) -> list[Pair]:
    """Fresh scenes of the demo's kind. The hallucinated caption names absent objects in the place of one or two."""
    from PIL import Image

    from hallu_models.demo import scenes
    from hallu_models.demo.held_out import held_out

    rng, found = np.random.default_rng(SEED), []
    for index, scene in enumerate(held_out(SEED, number)):
        replaced = rng.permutation(sorted(scene.counts))[:2]
        others = dict(zip(replaced.tolist(), scenes.absent(scene, rng, len(replaced), typical=True)))
        things = [dataclasses.replace(one, category=others.get(one.category, one.category)) for one in scene.things]
        wrong = dataclasses.replace(scene, things=tuple(things))
        captions = (scenes.caption(one, rng, prior=0) for one in (scene, wrong))
        found.append(Pair(Subject(Image.fromarray(scene.picture), PROMPT, name=f"drawn {index}"), *captions))
    return found


def of_file(path: Path, limit: int | None = None) -> list[Pair]:
    """The pairs in a file of JSON lines, ``{"image": "cat.jpg", "faithful": "A cat.", "hallucinated": "A dog."}``.

    Raises ValueError naming file and line.
    """
    return prompts.read_lines(path, limit, lambda entry: _pair(path.parent, entry))


def _pair(folder: Path, entry: Any) -> Pair:
    subject = prompts.subject(folder, entry)
    captions = [entry.get(name) for name in ("faithful", "hallucinated")]
    if not all(isinstance(caption, str) and caption for caption in captions):
        raise ValueError('expected "faithful" and "hallucinated", two captions of the image, beside "image"')
    if captions[0] == captions[1]:
        raise ValueError('"faithful" and "hallucinated" are the same caption')
    return Pair(subject, *captions)


def states(host: Host, subject: Subject, caption: str) -> dict[str, Tensor]:
    """Hidden states (layers, D) behind each layer where the model has answered with ``caption``.

    By position: "mean" over prompt and caption, and "last".
    """
    tokens = forward.ids_of(host.tokens(caption, add_special_tokens=False))
    assert tokens is not None
    inputs = with_answer(processing.encode(host, [subject.conversation()]), list(tokens))
    found: list[Mapping[str, Tensor]] = []

    def take(_: Any, args: Any, output: Any) -> None:
        hidden = parts.hidden_in(output)[0].float()
        found.append({"mean": hidden.mean(dim=0).cpu(), "last": hidden[-1].cpu()})

    with torch.inference_mode(), ExitStack() as hooks:
        for layer in range(host.depth):
            hooks.callback(LAYER_OUTPUT.part(host, layer).register_forward_hook(take).remove)
        forward.plain_logits(host.model, inputs)
    return {position: torch.stack([one[position] for one in found]) for position in ("mean", "last")}


def differences(host: Host, pairs: list[Pair], position: str) -> Tensor:
    """Faithful minus hallucinated (pairs, layers, D), at a position; see :func:`states`."""
    from hallu_models.diagnostics.readings import progress

    read = partial(states, host)
    return torch.stack(
        [
            read(pair.subject, pair.faithful)[position] - read(pair.subject, pair.hallucinated)[position]
            for pair in progress(pairs, "read")
        ]
    )
