"""Logits that are no numbers: an error that says where, found once a generation and explained by running it again."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from hallu_models.hosts import generate
from hallu_models.hosts.host import Host

FIX = (
    "float16 ends at 65504: where numbers grew too large, load the model with dtype=bfloat16 or float32, or weaken the "
    "method; where a weight is named, the checkpoint is broken"
)


class NotFinite(RuntimeError):
    """Logits that are NaN or infinite, so that no token can be chosen by them.

    row: of the prompts, from 0. token: from 1, the first with such logits.
    """

    def __init__(self, method: str, token: int, row: int, where: str) -> None:
        place = f", first {where}" if where else ""
        super().__init__(
            f"method {method}: the logits of token {token} in row {row + 1} are NaN or infinite{place}. {FIX}"
        )
        self.method, self.token, self.row = method, token, row


def weight(model: Any) -> str | None:
    """Name of the first weight that is not finite, among those of wide enough types; None where all are."""
    wide = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
    return next((n for n, p in model.named_parameters() if p.dtype in wide and not bool(p.isfinite().all())), None)


def explained(host: Host, prompt: Mapping[str, Any], sequences: Tensor, step: int, edited: Callable[[int], str]) -> str:
    """Where a generation of one answer a prompt got what is no number: the same tokens are generated once more.

    ``edited`` names the methods that edit a layer. Empty where it cannot be told.
    """
    if (name := weight(host.model)) is not None:
        return f"in the weight {name}"
    # What is to be told is an error already; that it cannot be explained is no other one.
    with contextlib.suppress(Exception), torch.inference_mode():
        with _watched(host, edited) as found:
            generate.scored(host.model, prompt, step + 1, force=_forced(sequences[:, -step - 1 :]))
        return found[0] if found else "behind the last layer"
    return ""


@contextlib.contextmanager
def _watched(host: Host, edited: Callable[[int], str]) -> Iterator[list[str]]:
    """Inside, the first place goes into a list where the last position of a row is not finite."""
    found: list[str] = []

    def look(place: str, values: Any) -> None:
        given = [value for value in values if isinstance(value, Tensor) and value.ndim == 3]
        if not found and given and not bool(given[0][:, -1].isfinite().all()):
            found.append(place)

    with contextlib.ExitStack() as stack:
        for layer, module in enumerate(host.attention):
            before = f"in what layer {layer - 1} hands on" if layer else "in what the decoder is given to read"
            methods = edited(layer)
            inside = f"in the attention of layer {layer}" + (f", which {methods} edits" if methods else "")
            for hook in (
                module.register_forward_pre_hook(
                    lambda _, args, kwargs, place=before: look(place, [*args, *kwargs.values()]), with_kwargs=True
                ),
                module.register_forward_hook(lambda _, args, output, place=inside: look(place, output)),
            ):
                stack.callback(hook.remove)
        yield found


def _forced(tokens: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
    steps = iter(tokens.T)

    def force(_: Tensor, scores: Tensor) -> Tensor:
        return torch.full_like(scores, -torch.inf).scatter(1, next(steps)[:, None], 0.0)

    return force
