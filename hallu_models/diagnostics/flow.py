"""Where visual information sits: attention rollout and masked image keys, the diagnostics of SEVI (2505.14257).

Both are plain forwards over a prompt and its answer, one image at a time.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor

from hallu_models.engines.maps import Maps
from hallu_models.hosts import attention, forward
from hallu_models.hosts.attention import AttentionCall
from hallu_models.hosts.host import Host, UnsupportedModel
from hallu_models.hosts.inputs import layout_of
from hallu_models.interventions import jensen_shannon
from hallu_models.layout import Layout


def watched(host: Host, inputs: Mapping[str, Any], collect: Any) -> Tensor:
    """Logits (B, L, V) of one forward in which ``collect(layer, call)`` makes every layer's head outputs.

    Raises UnsupportedModel for a model with layers without attention.
    """
    if host.closed:
        raise UnsupportedModel(f"in {type(host.model).__name__} {host.closed}, so its attention cannot be watched")
    edits = {module: partial(collect, layer) for layer, module in enumerate(host.attention)}
    with torch.inference_mode(), attention.edited(host.decoder, edits):
        return forward.plain_logits(host.model, inputs)


def information_flow(host: Host, inputs: Mapping[str, Any]) -> Tensor:
    """Share of the visual inputs that sits in visual and in text positions after each layer, (layers + 1, 2).

    Attention rollout ``F = (I + W) / 2 F`` with W the head-mean attention of a layer; F[i, j] is the share of input j
    in position i. Each input's shares are normalised to sum to 1 over positions, then averaged over visual inputs.
    """
    layout = layout_of(inputs, host.image_tokens)
    flow = torch.eye(layout.padding.shape[1], device=host.device)
    visual = layout.image[0]
    shares = [_shares(flow, visual)]

    def collect(_: int, call: AttentionCall) -> Tensor:
        nonlocal flow
        maps = Maps(call, layout)
        mean = torch.stack([maps.head(number)[0] for number in range(maps.heads)]).mean(dim=0)
        flow = (flow + mean @ flow) / 2
        shares.append(_shares(flow, visual))
        return call.outputs()

    watched(host, inputs, collect)
    return torch.stack(shares).cpu()


def _shares(flow: Tensor, visual: Tensor) -> Tensor:
    of_visual = (flow / flow.sum(dim=0))[:, visual].mean(dim=1)
    return torch.stack([of_visual[visual].sum(), of_visual[~visual].sum()])


def masking_curve(host: Host, inputs: Mapping[str, Any], answer: int) -> Tensor:
    """Jensen-Shannon divergence (layers + 1, answer) of next-token distributions, in nats.

    Entry l compares the model with itself when image columns are hidden from layer l on, at each of the last
    ``answer`` positions but the very last token's own; the last entry hides nothing and is zero.
    """
    layout = layout_of(inputs, host.image_tokens)
    plain = watched(host, inputs, lambda _, call: call.outputs())[0, -answer - 1 : -1].float()

    def divergence(first: int) -> Tensor:
        def collect(layer: int, call: AttentionCall) -> Tensor:
            return without_image(call, layout) if layer >= first else call.outputs()

        masked = watched(host, inputs, collect)[0, -answer - 1 : -1].float()
        return jensen_shannon(plain, masked)

    return torch.stack([divergence(first) for first in range(host.depth)] + [torch.zeros(answer)]).cpu()


def without_image(call: AttentionCall, layout: Layout) -> Tensor:
    """Head outputs (B, Lq, H, d) when no position sees an image column."""
    maps = Maps(call, layout)
    outputs = []
    for number in range(maps.heads):
        seen = maps.head(number).masked_fill(layout.image[:, None], 0.0)
        # What only saw the image sees nothing.
        seen = seen / seen.sum(dim=-1, keepdim=True).clamp(min=1e-12)
        outputs.append(seen.to(call.value.dtype) @ call.value[:, number // call.group])
    return torch.stack(outputs, dim=2)
