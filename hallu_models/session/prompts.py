"""What a prompt must be for methods to act on it: refusals before the first forward."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from hallu_models.hosts import forward, processors
from hallu_models.hosts.host import Host
from hallu_models.hosts.mismatch import HostMismatch
from hallu_models.session.plan import Plan


def read(host: Host, given: Mapping[str, Any], rows: int) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Ids, padding mask and token types of the prompt, repeated as beams repeat it."""
    ids, mask = forward.ids_of(given), forward.mask_of(given)
    if ids is None:
        raise ValueError("interventions need input_ids to find the image; inputs_embeds alone do not show where it is")
    if isinstance(mask, Tensor) and mask.ndim != 2:
        raise ValueError(f"interventions need a padding mask of shape (rows, columns), not {tuple(mask.shape)}")
    if ids.device != host.device:
        raise ValueError(
            f"input_ids are on {ids.device}, the model's word embeddings on {host.device}; move the inputs: "
            "inputs.to(model.device)"
        )
    found = (ids, mask, forward.types_of(given))
    return tuple(  # type: ignore[return-value]
        value if value is None or len(value) == rows else value.repeat_interleave(rows // len(value), dim=0)
        for value in found
    )


def require_worded(ids: Tensor, asked: Tensor | None, plan: Plan) -> None:
    """Raises ValueError where methods word the question and ids (B, L) are not of what they made (asked, B, L)."""
    if plan.wording and (asked is None or not torch.equal(ids, asked.repeat_interleave(len(ids) // len(asked), dim=0))):
        raise ValueError(
            f"{plan.wording[0].name} asks the question in other words, so it needs conversations: use Host.generate() "
            "instead of attach() and a plain generate()"
        )


def refuse_continued(ids: Tensor, before: Tensor | None) -> None:
    """Raises ValueError for a forward that goes on from the ids ``before``, which left no cache to go on from."""
    if before is None or ids.shape[1] == before.shape[1] or len(ids) != len(before):
        return
    if ids.shape[1] == 1 or torch.equal(ids[:, : before.shape[1]], before):
        raise ValueError(
            "this forward goes on from the last one, which left no key-value cache, and methods would take it for "
            "a new prompt: call the model with use_cache=True and the cache of its last output; where nobody "
            "switched it off, the model's configuration has use_cache=False"
        )


def require_whole(ids: Tensor, embeddings: Tensor, call: forward.Call, generating: bool) -> None:
    """An empty cache means a prompt's beginning, and the decoder reads all of it at once."""
    if generating and call.cache is None:
        raise ValueError(
            "generate() gave the decoder no key-value cache, and methods need it to tell the prompt from decoding; "
            "set use_cache=True in the model's configuration"
        )
    if ids.shape != embeddings.shape[:2]:
        raise HostMismatch(
            f"a generation began, by its empty cache, with {embeddings.shape[0]} rows of {embeddings.shape[1]} "
            f"columns, and the prompt's ids have {ids.shape[0]} of {ids.shape[1]}"
        )


def refuse_lost_images(host: Host, ids: Tensor, given: Mapping[str, Any], encoded: Any) -> None:
    """Raises ValueError where images were given and no column is theirs."""
    if encoded or processors.has_images(given):
        tokens = ", ".join(map(str, sorted(host.image_tokens)))
        raise ValueError(
            f"the prompt has images, but the model's image token ({tokens}) is nowhere in its {ids.shape[1]} "
            "columns: the processor is another model's, or the prompt lacks the image placeholder"
        )


def refuse_read(columns: int, seen: int | None, plan: Plan) -> None:
    """Raises ValueError for a cache of so many columns where methods have ``seen`` others; None for none."""
    if columns and plan.contrasting is not None:
        raise ValueError(
            f"the cache given holds {columns} columns already, and {plan.contrasting.name} reads the prompt a second "
            "time for its negative branch, which no cache holds; give the whole prompt and no cache"
        )
    if columns and columns != seen:
        raise ValueError(
            f"the cache given holds {columns} columns that were not read in this session's latest generation, so "
            f"{plan.name} has not seen them; give the whole prompt and no cache"
        )
