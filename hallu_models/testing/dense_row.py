"""What an author's reference is written with: one row, no padding, no cache, every attention map in full.

The model computes its own queries, keys and values, so rotary positions, norms of queries and keys, windows and two-way
masks are the family's; what a method makes of them is written out by the author, in plain tensors.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import eager_mask

from hallu_models.engines.hidden import HIDDEN_STATES, LAYER_OUTPUT
from hallu_models.hosts import parts
from hallu_models.hosts.host import Host

Attend = Callable[[int, Tensor], Tensor]
"""Layer number and scores (H, L, L), -inf where hidden, to attention (H, L, L)."""
Edit = Callable[[int, Tensor], Tensor]
"""Layer number and values or head outputs (H, L, d), or hidden states (L, D), to edited ones."""

NAME = "hallu_dense_row"


def softmax(layer: int, scores: Tensor) -> Tensor:
    return scores.softmax(dim=-1)


def unedited(layer: int, states: Tensor) -> Tensor:
    return states


class Row:
    """A prompt and the answer that the model gave under the method, as one text of L columns.

    prompt: its number of columns; the answer's first token is predicted at column ``prompt - 1``. image, after, last:
    (L,) which columns are the image's, which are text behind it, and in which rows a token of the answer is predicted,
    which are those that ``row_scores`` and ``row_attention`` edit. number: of the row, among those tried.
    """

    def __init__(self, host: Host, inputs: Any, answer: list[int], number: int = 0, other: Any = None) -> None:
        self.host, self.inputs, self.answer, self.number = host, dict(inputs), answer, number
        self.other = None if other is None else dict(other)
        """Inputs of the same prompt with its other image."""
        ids = self.inputs["input_ids"]
        assert ids.shape[0] == 1
        assert bool(self.inputs["attention_mask"].all())
        self.prompt: int = ids.shape[1]
        self.columns = torch.isin(ids[0], torch.tensor(sorted(host.image_tokens)))
        self.image = torch.nn.functional.pad(self.columns, (0, len(answer)))
        self.last_image = int(self.columns.nonzero().max()) if bool(self.columns.any()) else -1
        column = torch.arange(len(self.image))
        self.after = column > self.last_image
        self.last = column >= self.prompt - 1

    @property
    def extended(self) -> dict[str, Any]:
        """The inputs with the answer behind the prompt, as one forward reads them."""
        return extended(self.inputs, self.answer)

    def without_image(self) -> dict[str, Any]:
        """The text of the prompt alone."""
        return _text(self.inputs, self.columns)

    def forward(
        self,
        attend: Attend = softmax,
        *,
        heads: Edit = unedited,
        values: Edit = unedited,
        hidden: Mapping[str, Edit] | None = None,
    ) -> Tensor:
        """Logits (L, V) of prompt and answer. heads edits head outputs; hidden edits hidden states, by hook."""
        return forward(self.host, self.extended, attend, heads, values=values, hidden=hidden)

    def handed_on(self, hidden: Mapping[str, Edit] | None = None) -> list[Tensor]:
        """Hidden states (L, D) that each layer hands on, where ``hidden`` edits others than these."""
        found: dict[int, Tensor] = {}
        self.forward(hidden={**(hidden or {}), "layer_output": lambda layer, states: found.setdefault(layer, states)})
        return [found[layer] for layer in sorted(found)]

    def embedded(self) -> Tensor:
        """What the first layer reads (L, D)."""
        found: list[Tensor] = []
        hook = LAYER_OUTPUT.part(self.host, 0).register_forward_pre_hook(
            lambda _, args, kwargs: found.append(parts.hidden_given(args, kwargs)[0]), with_kwargs=True
        )
        try:
            self.forward()
        finally:
            hook.remove()
        return found[0]

    def logits_of(self, states: Tensor, *, normed: bool = True) -> Tensor:
        """Logits (L, V) that the model makes of hidden states (L, D) in the place of its last layer's."""
        norm, last = parts.last_norm(self.host.decoder), self.host.depth - 1
        own = None if normed else norm.register_forward_hook(lambda _, args, made: args[0])
        try:
            return self.forward(hidden={"layer_output": lambda layer, made: states if layer == last else made})
        finally:
            if own is not None:
                own.remove()

    def forward_other(self) -> Tensor:
        """Plain logits (T, V) of the answer's tokens behind the prompt with the other image."""
        assert self.other is not None
        length = self.other["input_ids"].shape[1]
        return forward(self.host, extended(self.other, self.answer))[length - 1 : -1]

    def forward_without_image(self) -> Tensor:
        """Plain logits (T, V) of the answer's tokens behind the text of the prompt alone."""
        length = self.prompt - int(self.columns.sum())
        return forward(self.host, _text(self.extended, self.image))[length - 1 : -1]

    def answers(self, logits: Tensor) -> Tensor:
        """(T, V) of the answer's tokens, from (L, V)."""
        return logits[self.prompt - 1 : -1]


def _text(inputs: dict[str, Any], image: Tensor) -> dict[str, Any]:
    """Inputs without the columns of ``image`` (L,)."""
    text = {"input_ids": inputs["input_ids"][:, ~image]}
    text["attention_mask"] = torch.ones_like(text["input_ids"])
    if "token_type_ids" in inputs:
        text["token_type_ids"] = inputs["token_type_ids"][:, ~image]
    return text


def extended(inputs: dict[str, Any], answer: list[int]) -> dict[str, Any]:
    """Inputs with an answer behind the prompt."""
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
    edit: Edit = unedited,
    before: Callable[[dict[str, Any]], None] = lambda arguments: None,
    *,
    values: Edit = unedited,
    hidden: Mapping[str, Edit] | None = None,
) -> Tensor:
    """Logits (L, V) of one row. ``before`` may change the decoder's arguments; see :meth:`Row.forward`."""
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
        outputs = edit(layer, attend(layer, scores) @ values(layer, value))
        return outputs.transpose(0, 1)[None], None

    AttentionInterface.register(NAME, attention)
    AttentionMaskInterface.register(NAME, eager_mask)
    with torch.no_grad(), _switched(host, before, hidden or {}):
        # BLIP has no forward without an image.
        model = host.model if "pixel_values" in inputs or host.causal is host.model else host.causal
        return model(**inputs, use_cache=False).logits[0]  # type: ignore[no-any-return]


@contextlib.contextmanager
def _switched(host: Any, before: Callable[[dict[str, Any]], None], hidden: Mapping[str, Edit]) -> Iterator[None]:
    def hook(_: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        before(kwargs)
        return args, kwargs

    def edited(edit: Edit, layer: int, _: Any, args: Any, output: Any) -> Any:
        return parts.with_hidden(output, edit(layer, parts.hidden_in(output)[0])[None])

    points = {point.hook: point for point in HIDDEN_STATES}
    own = host.decoder.config._attn_implementation
    with contextlib.ExitStack() as stack:
        stack.callback(host.decoder.register_forward_pre_hook(hook, with_kwargs=True).remove)
        for name, edit in hidden.items():
            for layer in range(host.depth):
                part = points[name].part(host, layer)
                stack.callback(part.register_forward_hook(partial(edited, edit, layer)).remove)
        host.decoder.set_attn_implementation(NAME)
        stack.callback(host.decoder.set_attn_implementation, own)
        yield
