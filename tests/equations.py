"""Methods as their papers state them, on one prompt of any model: no batch, no cache, every attention map in full.

The model under test computes its own queries, keys and values, so rotary sections, norms of queries and keys, windows
and two-way masks are the family's; what a method makes of them is written out here.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from test_core_methods import ad_hh_attention, contrast_of, dleaf_attention, sevi_attention
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import eager_mask

Attend = Callable[[int, Tensor], Tensor]
"""Layer number and scores (H, L, L), -inf where hidden, to attention (H, L, L)."""
Heads = Callable[[int, Tensor], Tensor]
"""Layer number and head outputs (H, L, d) to edited ones."""

NAME = "families_reference"


def softmax(layer: int, scores: Tensor) -> Tensor:
    return scores.softmax(dim=-1)


def unedited(layer: int, heads: Tensor) -> Tensor:
    return heads


class Prompt:
    """One prompt and the answer that the model under test gave: inputs of a single row without padding."""

    def __init__(self, host: Any, inputs: Any, answer: list[int]) -> None:
        self.host, self.inputs = host, dict(inputs)
        ids = self.inputs["input_ids"]
        assert ids.shape[0] == 1 and bool(self.inputs["attention_mask"].all())
        self.prompt = ids.shape[1]
        image = torch.isin(ids[0], torch.tensor(sorted(host.image_tokens)))
        self.columns = image
        self.image = torch.nn.functional.pad(image, (0, len(answer)))
        self.last_image = int(image.nonzero().max()) if bool(image.any()) else -1
        self.answer = answer

    @property
    def extended(self) -> dict[str, Any]:
        """The inputs with the answer behind the prompt, as one forward reads them."""
        return extended(self.inputs, self.answer)

    def without_image(self) -> dict[str, Any]:
        """The text of the prompt alone."""
        kept = ~self.columns
        text = {"input_ids": self.inputs["input_ids"][:, kept]}
        text["attention_mask"] = torch.ones_like(text["input_ids"])
        if "token_type_ids" in self.inputs:
            text["token_type_ids"] = self.inputs["token_type_ids"][:, kept]
        return text


def extended(inputs: dict[str, Any], answer: list[int]) -> dict[str, Any]:
    number, found = len(answer), dict(inputs)
    tokens = torch.tensor([answer], dtype=torch.long)
    found["input_ids"] = torch.cat([inputs["input_ids"], tokens], dim=1)
    # What a random model generates may be the image's placeholder; the reference has no place for it.
    for name, value in (("attention_mask", 1), ("mm_token_type_ids", 0), ("token_type_ids", None)):
        if name in inputs:
            # PaliGemma numbers what it generates 1, Gemma 3 its text 0.
            value = int(inputs[name].max() == 0) if value is None else value
            found[name] = torch.nn.functional.pad(inputs[name], (0, number), value=value)
    if "cross_attention_mask" in inputs:
        seen = inputs["cross_attention_mask"]
        found["cross_attention_mask"] = torch.cat([seen, seen[:, -1:].expand(-1, number, -1, -1)], dim=1)
    return found


def forward(
    host: Any,
    inputs: dict[str, Any],
    attend: Attend = softmax,
    edit: Heads = unedited,
    before: Callable[[dict[str, Any]], None] = lambda arguments: None,
) -> Tensor:
    """Logits (L, V) of one row. ``before`` may change the decoder's arguments."""
    # Cross-attention has no number: no equation here acts on it.
    layers = {module: layer for layer, module in enumerate(host.attention)}

    def attention(
        module: Any, query: Tensor, key: Tensor, value: Tensor, mask: Any, scaling: float | None = None, **options: Any
    ) -> tuple[Tensor, None]:
        layer = layers.get(module, -1)
        group = query.shape[1] // key.shape[1]
        key, value = (states[0].repeat_interleave(group, dim=0) for states in (key, value))
        scores = query[0] @ key.transpose(1, 2) * (query.shape[-1] ** -0.5 if scaling is None else scaling)
        if options.get("softcap"):
            scores = options["softcap"] * torch.tanh(scores / options["softcap"])
        scores = scores.masked_fill(mask[0] < -1e9, -torch.inf)
        outputs = edit(layer, attend(layer, scores) @ value)
        return outputs.transpose(0, 1)[None], None

    AttentionInterface.register(NAME, attention)
    AttentionMaskInterface.register(NAME, eager_mask)
    with torch.no_grad(), _switched(host, before):
        # BLIP has no forward without an image.
        model = host.model if "pixel_values" in inputs or host.causal is host.model else host.causal
        return model(**inputs, use_cache=False).logits[0]


@contextlib.contextmanager
def _switched(host: Any, before: Callable[[dict[str, Any]], None]) -> Iterator[None]:
    def hook(_: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        before(kwargs)
        return args, kwargs

    own = host.decoder.config._attn_implementation
    handle = host.decoder.register_forward_pre_hook(hook, with_kwargs=True)
    host.decoder.set_attn_implementation(NAME)
    try:
        yield
    finally:
        host.decoder.set_attn_implementation(own)
        handle.remove()


def vhr(prompt: Prompt, layers: tuple[int, ...], alpha: float) -> Tensor:
    """Half of the heads of each layer, chosen at the last prompt position, alpha times as loud."""
    textual: dict[int, Tensor] = {}

    def collect(layer: int, heads: Tensor) -> Tensor:
        textual[layer] = heads[:, -1]
        return heads

    forward(prompt.host, prompt.without_image(), edit=collect)

    def edit(layer: int, heads: Tensor) -> Tensor:
        if layer not in layers:
            return heads
        distance = [float((a - b).norm()) for a, b in zip(heads[:, prompt.prompt - 1], textual[layer])]
        energy = [float(b.square().sum()) for b in textual[layer]]
        limits = [_mean(values) + _spread(values) for values in (distance, energy)]
        distance = [0.0 if d > limits[0] and e > limits[1] else d for d, e in zip(distance, energy)]
        middle = sorted(distance)[(len(distance) - 1) // 2]
        loud = torch.tensor([alpha if d > middle else 1.0 for d in distance])
        return heads * loud[:, None, None]

    return forward(prompt.host, prompt.extended, edit=edit)


def eah(prompt: Prompt, layers: tuple[int, ...], beta: float) -> Tensor:
    """The map with the most vision sinks for all heads, in the prompt's rows."""
    length = prompt.prompt

    def attend(layer: int, scores: Tensor) -> Tensor:
        weights = scores.softmax(dim=-1)
        if layer in layers:
            sinks = [
                sum(float(head[c + 1 :, c].mean()) > beta for c in range(length - 1) if prompt.image[c])
                for head in weights[:, :length, :length]
            ]
            if max(sinks):
                weights[:, :length] = weights[sinks.index(max(sinks)), :length].clone()
        return weights

    return forward(prompt.host, prompt.extended, attend)


def ad_hh(prompt: Prompt, heads: list[tuple[int, int]], threshold: float) -> Tensor:
    return forward(prompt.host, prompt.extended, ad_hh_attention(prompt, heads, threshold))


def dleaf(prompt: Prompt, layers: tuple[int, ...], gamma: float, k: float) -> Tensor:
    return forward(prompt.host, prompt.extended, dleaf_attention(prompt, gamma, "running", "mean", k, layers))


def sevi(prompt: Prompt, layers: tuple[int, ...], omega: float, others: str) -> Tensor:
    return forward(prompt.host, prompt.extended, sevi_attention(prompt, omega, 0.2, others, layers))


def contrasted(main: Tensor, other: Tensor, prompt: Prompt, of_other: int, beta: float) -> Tensor:
    """CICD's logits (T, V) for the answer's tokens, from (L, V) of both branches."""
    return torch.stack(
        [
            contrast_of(main[prompt.prompt - 1 + step], other[of_other - 1 + step], beta)
            for step in range(len(prompt.answer))
        ]
    )


def iava(prompt: Prompt, general: dict[str, Any], layers: tuple[int, ...], share: float, lam: float) -> Tensor | None:
    """Logits (L, V) of the pseudo-image branch; None where no token is kept."""
    first = _image_attention(prompt, general, layers)
    second = _image_attention(prompt, prompt.inputs, layers)
    drop = [float(a - b) for a, b in zip(first, second)]
    largest = sorted(drop, reverse=True)[: round(share * len(drop))]
    bound = float(first.mean() + lam * first.std(correction=0))
    kept = torch.tensor([d > 0 and d in largest and float(a) > bound for d, a in zip(drop, first)])
    if not bool(kept.any()):
        return None

    def remove(arguments: dict[str, Any]) -> None:
        rows = arguments["inputs_embeds"].clone()
        rows[0, prompt.columns.nonzero()[:, 0][~kept]] = 0
        arguments["inputs_embeds"] = rows
        if arguments.get("deepstack_visual_embeds") is not None:
            features = [feature * kept[:, None] for feature in arguments["deepstack_visual_embeds"]]
            arguments["deepstack_visual_embeds"] = features

    return forward(prompt.host, prompt.extended, before=remove)


def _image_attention(prompt: Prompt, inputs: dict[str, Any], layers: tuple[int, ...]) -> Tensor:
    image = torch.isin(inputs["input_ids"][0], torch.tensor(sorted(prompt.host.image_tokens)))
    found = []

    def attend(layer: int, scores: Tensor) -> Tensor:
        weights = scores.softmax(dim=-1)
        if layer in layers:
            found.append(weights[:, -1, image].mean(dim=0))
        return weights

    forward(prompt.host, inputs, attend)
    return torch.stack(found).mean(dim=0)


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _spread(values: list[float]) -> float:
    mean = _mean(values)
    return math.sqrt(sum((v - mean) ** 2 for v in values) / (len(values) - 1))
