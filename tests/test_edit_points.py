"""Every edit point, with a small method of its own: against a dense reference, in any batch, under beams with state."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import pytest
import torch
from conftest import IMAGE, MIXED, prompts, take, tiny_llava
from test_session import state_of
from torch import Tensor

from hallu_models import loading
from hallu_models.engines.points import IN_LAYERS
from hallu_models.hosts.generate import scored
from hallu_models.interventions import Intervention, LayerStep, LogitsStep, Negative, Prompt
from hallu_models.self_check.forcing import forced
from hallu_models.session import Session
from hallu_models.testing import dense

STEPS = 10
WHERE = "1+3"
LAYERS = (1, 3)
HAS_IMAGE = [True, True, False, True]
TOKENS = torch.randint(4, 64, (4, STEPS), generator=torch.Generator().manual_seed(5))


@dataclass(frozen=True)
class Toy(Intervention):
    name: ClassVar[str] = "toy"
    layers: str = WHERE


class Hiding(Toy):
    """Every second image column, counted from the latest column: others at other tokens."""

    def hidden_columns(self, at: LayerStep) -> Tensor:
        image = at.columns.image
        return image & (torch.arange(image.shape[1] - 1, -1, -1) % 2 == 0)


class Values(Toy):
    def values(self, values: Tensor, at: LayerStep) -> Tensor:
        return values * (1 + 0.7 * at.columns.image[:, None, :, None])


class TextScores(Toy):
    def text_scores(self, scores: Tensor, at: LayerStep) -> Tensor:
        return scores + 0.9 * at.columns.image[:, None, None]


class TextAttention(Toy):
    def text_attention(self, attention: Tensor, at: LayerStep) -> Tensor:
        return attention * (1 + at.columns.image[:, None, None])


class RowScores(Toy):
    def row_scores(self, scores: Tensor, at: LayerStep) -> Tensor:
        return scores + 0.9 * at.columns.image[:, None]


class RowAttention(Toy):
    def row_attention(self, attention: Tensor, at: LayerStep) -> Tensor:
        return attention * (1 + at.columns.image[:, None])


class Maps(Toy):
    """Every head takes the map of head 2."""

    def maps(self, maps: Any, outputs: Tensor, at: LayerStep) -> Tensor:
        return maps.outputs(torch.full((len(outputs),), 2))


class Heads(Toy):
    def head_outputs(self, outputs: Tensor, at: LayerStep) -> Tensor:
        return outputs * torch.tensor([1.5, 1.0, 0.5, 1.0])[:, None]


class AttentionOutput(Toy):
    def attention_output(self, hidden: Tensor, at: LayerStep) -> Tensor:
        return 1.4 * hidden


class FeedForward(Toy):
    def feed_forward_output(self, hidden: Tensor, at: LayerStep) -> Tensor:
        return 0.6 * hidden


class LayerOutput(Toy):
    def layer_output(self, hidden: Tensor, at: LayerStep) -> Tensor:
        return hidden - 0.3 * hidden.roll(1, dims=-1)


class Early(Toy):
    def early_layers(self, depth: int) -> tuple[int, ...]:
        return LAYERS

    def token_logits(self, logits: Tensor, at: LogitsStep) -> Tensor:
        return logits - 0.5 * at.early(1) + 0.2 * at.early(3, normed=False)


class TokenLogits(Toy):
    def token_logits(self, logits: Tensor, at: LogitsStep) -> Tensor:
        return logits.roll(1, dims=-1) * (1 + at.step)


class Contrast(Toy):
    """Against rows of the same prompt that hardly see the image."""

    def negative(self, prompt: Prompt) -> Negative:
        return Negative(prompt.run.prompt, prompt.layout.has_image)

    def negative_methods(self, depth: int) -> tuple[Intervention, ...]:
        return (Blind(layers=WHERE),)

    def contrasts(self) -> bool:
        return True

    def contrast(self, logits: Tensor, negative: Tensor, at: LogitsStep) -> Tensor:
        return 2 * logits - negative


class Blind(Toy):
    name: ClassVar[str] = "blind"

    def text_scores(self, scores: Tensor, at: LayerStep) -> Tensor:
        return scores - 3.0 * at.columns.image[:, None, None]


@dataclass
class Row:
    """What a dense reference knows of a row: its image columns (L,), and where its prompt ends."""

    image: Tensor
    prompt: int

    @functools.cached_property
    def behind(self) -> int:
        return int(self.image.nonzero().amax()) + 1

    def on_image(self, values: Tensor) -> Tensor:
        """0 and 1 over the columns (L,) that values (..., L) have."""
        return self.image.to(values)


def rows_from(first: int, new: Tensor, old: Tensor) -> Tensor:
    """The rows (..., L, x) from ``first`` on."""
    return torch.cat([old[..., :first, :], new[..., first:, :]], dim=-2)


def text_scores(row: Row, first: int, by: float) -> Callable[[int, Tensor], Tensor]:
    def attend(layer: int, scores: Tensor) -> Tensor:
        plain = scores.softmax(-1)
        return rows_from(first, (scores + by * row.on_image(scores)).softmax(-1), plain) if layer in LAYERS else plain

    return attend


def text_attention(row: Row, first: int) -> Callable[[int, Tensor], Tensor]:
    def attend(layer: int, scores: Tensor) -> Tensor:
        plain = scores.softmax(-1)
        return rows_from(first, plain * (1 + row.on_image(plain)), plain) if layer in LAYERS else plain

    return attend


def hidden(row: Row) -> Callable[[int, Tensor], Tensor]:
    """Without every second image column, counted from the last one of the row's forward."""

    def attend(layer: int, scores: Tensor) -> Tensor:
        column = torch.arange(len(row.image))
        away = column.clamp(min=row.prompt - 1)[:, None] - column
        return (scores.masked_fill(row.image & (away % 2 == 0), -torch.inf) if layer in LAYERS else scores).softmax(-1)

    return attend


def in_layers(edit: Callable[[Tensor], Tensor]) -> Callable[[int, Tensor], Tensor]:
    return lambda layer, states: edit(states) if layer in LAYERS else states


def only_prompt(row: Row, edit: Callable[[Tensor], Tensor]) -> Callable[[int, Tensor], Tensor]:
    """Rows of the prompt alone."""
    return in_layers(lambda weights: torch.cat([edit(weights)[:, : row.prompt], weights[:, row.prompt :]], dim=1))


def early(model: Any, embedded: Tensor) -> Tensor:
    seen = {}
    final = dense.forward(model, embedded, handed_on=lambda layer, rows: seen.setdefault(layer, rows))
    return final - 0.5 * dense.logits(model, seen[1]) + 0.2 * dense.logits(model, seen[3], normed=False)


def first_of_heads(scores: Tensor) -> Tensor:
    return scores[2:3].expand_as(scores)


SCALE = torch.tensor([1.5, 1.0, 0.5, 1.0])[:, None, None]
METHODS: dict[str, tuple[Toy, Callable[[Any, Tensor, Row], Tensor]]] = {
    "hidden columns": (Hiding(), lambda m, e, r: dense.forward(m, e, attend=hidden(r))),
    "values": (
        Values(),
        lambda m, e, r: dense.forward(m, e, values=in_layers(lambda v: v * (1 + 0.7 * r.image[:, None]))),
    ),
    "text scores": (TextScores(), lambda m, e, r: dense.forward(m, e, attend=text_scores(r, r.behind, 0.9))),
    "text attention": (TextAttention(), lambda m, e, r: dense.forward(m, e, attend=text_attention(r, r.behind))),
    "row scores": (RowScores(), lambda m, e, r: dense.forward(m, e, attend=text_scores(r, r.prompt - 1, 0.9))),
    "row attention": (RowAttention(), lambda m, e, r: dense.forward(m, e, attend=text_attention(r, r.prompt - 1))),
    "maps": (
        Maps(),
        lambda m, e, r: dense.forward(m, e, attend=lambda n, s: only_prompt(r, first_of_heads)(n, s.softmax(-1))),
    ),
    "head outputs": (Heads(), lambda m, e, r: dense.forward(m, e, in_layers(lambda h: h * SCALE))),
    "attention output": (
        AttentionOutput(),
        lambda m, e, r: dense.forward(m, e, attention=in_layers(lambda h: 1.4 * h)),
    ),
    "feed-forward output": (
        FeedForward(),
        lambda m, e, r: dense.forward(m, e, feed_forward=in_layers(lambda h: 0.6 * h)),
    ),
    "layer output": (
        LayerOutput(),
        lambda m, e, r: dense.forward(m, e, handed_on=in_layers(lambda h: h - 0.3 * h.roll(1, -1))),
    ),
    "early logits": (Early(), lambda m, e, r: early(m, e)),
    "token logits": (
        TokenLogits(),
        lambda m, e, r: (
            dense.forward(m, e).roll(1, -1) * (1 + (torch.arange(len(e)) - r.prompt + 1).clamp(min=0))[:, None]
        ),
    ),
    "contrast": (
        Contrast(),
        lambda m, e, r: 2 * dense.forward(m, e) - dense.forward(m, e, attend=text_scores(r, r.behind, -3.0)),
    ),
}

MODELS = {"heads": (4, None), "grouped": (2, None), "windows": (2, 13)}


@functools.cache
def tiny(which: str, attention: str = "sdpa") -> Any:
    kv_heads, window = MODELS[which]
    return tiny_llava(kv_heads, attention=attention, window=window)


def answered(
    model: Any, methods: tuple[Intervention, ...], batch: dict[str, Tensor], tokens: Tensor, **options: Any
) -> Tensor:
    """Logits (T, B, V) of forced tokens."""
    branch = options.pop("branch", "paired")
    with torch.no_grad(), Session(loading.inspect(model), methods, branch=branch).attached():
        return scored(model, batch, tokens.shape[1], force=forced(tokens), **options)[1]


def apart(found: Tensor, expected: Tensor) -> float:
    """Largest difference as a share of the expected values' range."""
    return float((found - expected).abs().amax() / (expected.amax() - expected.amin()))


def of_row(model: Any, batch: dict[str, Tensor], row: int, reference: Callable[..., Tensor]) -> Tensor:
    """Logits (T, V) by a dense reference, one row alone."""
    single = take(batch, row)
    ids = torch.cat([single["input_ids"][0], TOKENS[row, :-1]])
    image = ids == IMAGE
    image[single["input_ids"].shape[1] :] = False
    embedded = dense.embeddings(model, ids, single["pixel_values"])
    prompt = single["input_ids"].shape[1]
    return reference(model, embedded, Row(image, prompt))[prompt - 1 :]


def test_every_edit_point_has_a_method_here():
    used = {hook for toy, _ in METHODS.values() for point in IN_LAYERS for hook in point.hooks if toy.overrides(hook)}
    assert used == {hook for point in IN_LAYERS for hook in point.hooks}


@pytest.mark.parametrize("which", MODELS)
@pytest.mark.parametrize("name", METHODS)
def test_it_is_the_dense_reference_from_the_prefill_to_the_tenth_token(name, which):
    """In a left-padded batch in which one row has no image and is answered by the plain model."""
    model, (toy, reference) = tiny(which), METHODS[name]
    batch = prompts(MIXED, HAS_IMAGE)
    with torch.no_grad():
        found = answered(model, (toy,), batch, TOKENS)
        plain = scored(model, batch, STEPS, force=forced(TOKENS))[1]
        for row, has_image in enumerate(HAS_IMAGE):
            if has_image:
                assert apart(found[:, row], of_row(model, batch, row, reference)) < 1e-5, f"row {row}"
                assert apart(found[:, row], plain[:, row]) > 1e-3, f"row {row}: no effect"
            else:
                assert torch.equal(found[:, row], plain[:, row]), "a row without an image is the plain model's"


@pytest.mark.parametrize("name", METHODS)
def test_one_row_is_one_of_eight(name):
    model, toy = tiny("grouped"), METHODS[name][0]
    batch, tokens = prompts(MIXED * 2, HAS_IMAGE * 2), TOKENS.repeat(2, 1)
    together = answered(model, (toy,), batch, tokens)
    for row in (0, 2, 5):
        alone = answered(model, (toy,), take(batch, row), tokens[row : row + 1])
        assert apart(together[:, row], alone[:, 0]) < 1e-5


@pytest.mark.parametrize("which", MODELS)
@pytest.mark.parametrize("name", METHODS)
def test_backends_agree(name, which):
    batch, toy = prompts(MIXED, HAS_IMAGE), METHODS[name][0]
    sdpa, eager = (answered(tiny(which, kind), (toy,), batch, TOKENS) for kind in ("sdpa", "eager"))
    assert apart(sdpa, eager) < 1e-5


def test_negative_rows_are_edited_alike_in_both_modes():
    batch = prompts(MIXED, HAS_IMAGE)
    paired, sequential = (
        answered(tiny("grouped"), (Contrast(),), batch, TOKENS, branch=branch) for branch in ("paired", "sequential")
    )
    assert apart(paired, sequential) < 1e-5


# State.


class Slow(Toy):
    """Attention of the last row, averaged with what it was at all tokens before: state that accumulates."""

    def row_attention(self, attention: Tensor, at: LayerStep) -> Tensor:
        before = at.state.get("mean")
        now = attention if before is None else 0.5 * attention + 0.5 * _wide(before, attention)
        at.state["mean"] = now
        return now


class Echo(Toy):
    """Logits with what they were before, kept for the whole generation and in a list."""

    def token_logits(self, logits: Tensor, at: LogitsStep) -> Tensor:
        before = at.generation.setdefault("before", [])
        made = logits + sum(before[-2:], torch.zeros_like(logits))
        at.generation["before"] = [*before, logits]
        return made


class Counting(Toy):
    """Negative rows remember too."""

    def negative(self, prompt: Prompt) -> Negative:
        return Negative(prompt.run.prompt, prompt.layout.has_image)

    def negative_methods(self, depth: int) -> tuple[Intervention, ...]:
        return (Slow(layers=WHERE),)

    def contrasts(self) -> bool:
        return True

    def contrast(self, logits: Tensor, negative: Tensor, at: LogitsStep) -> Tensor:
        return 2 * logits - negative


def _wide(before: Tensor, like: Tensor) -> Tensor:
    return torch.nn.functional.pad(before, (0, like.shape[-1] - before.shape[-1]))


@pytest.mark.parametrize("branch", ["paired", "sequential"])
@pytest.mark.parametrize("toy", [Slow(), Echo(), Counting()], ids=["layer", "generation", "negative rows"])
def test_state_follows_the_beams(toy, branch):
    """Each of four hypotheses has the score that its tokens get when they are forced alone."""
    model, batch = tiny("grouped"), prompts(MIXED)
    with torch.no_grad(), Session(loading.inspect(model), (toy,), branch=branch).attached():
        output = model.generate(
            **batch,
            max_new_tokens=STEPS,
            num_beams=4,
            num_return_sequences=4,
            length_penalty=0.0,
            do_sample=False,
            return_dict_in_generate=True,
            output_scores=True,
        )
    tokens = output.sequences[:, batch["input_ids"].shape[1] :]
    repeated = {key: value.repeat_interleave(4, dim=0) for key, value in batch.items()}
    logits = answered(model, (toy,), repeated, tokens, branch=branch).log_softmax(-1)
    alone = logits.gather(2, tokens.T[:, :, None]).sum(dim=(0, 2))
    assert float((alone - output.sequences_scores).abs().amax()) < 1e-3


@pytest.mark.parametrize("toy", [Slow(), Echo(), Counting()], ids=["layer", "generation", "negative rows"])
def test_state_belongs_to_its_row_when_sampling(toy):
    """Two sampled answers a prompt: each has the logits that its tokens get when they are forced alone."""
    model, batch = tiny("grouped"), prompts(MIXED, HAS_IMAGE)
    torch.manual_seed(0)
    with torch.no_grad(), Session(loading.inspect(model), (toy,)).attached():
        tokens, logits = scored(model, batch, STEPS, do_sample=True, num_return_sequences=2)
    for answer in (0, 3, 5, 7):
        alone = answered(model, (toy,), take(batch, answer // 2), tokens[answer : answer + 1])
        assert apart(logits[:, answer], alone[:, 0]) < 1e-5


def test_state_without_rows_is_refused():
    class Odd(Toy):
        def head_outputs(self, outputs: Tensor, at: LayerStep) -> Tensor:
            at.state["heads"] = torch.ones(7)
            return outputs

    with pytest.raises(ValueError, match=r"toy keeps heads of shape \(7,\) for a batch of 4 rows"):
        answered(tiny("heads"), (Odd(),), prompts(MIXED), TOKENS)


# Chains.


@dataclass(frozen=True)
class Named(Toy):
    """Calls in the order in which they come."""

    calls: list[str] = field(default_factory=list, compare=False)

    def row_scores(self, scores: Tensor, at: LayerStep) -> Tensor:
        self.calls.append(f"{self.name} scores")
        return 2 * scores + 1

    def row_attention(self, attention: Tensor, at: LayerStep) -> Tensor:
        self.calls.append(f"{self.name} attention")
        return 0.5 * attention


class First(Named):
    name: ClassVar[str] = "first"


class Second(Named):
    name: ClassVar[str] = "second"


def test_methods_chain_on_the_last_row():
    """All score edits in the order written, one softmax, then all attention edits."""
    model, batch, calls = tiny("heads"), prompts(MIXED[:1]), []
    first, second = (kind(calls=calls, layers="2") for kind in (First, Second))
    with torch.no_grad():
        found = answered(model, (first, second), batch, TOKENS[:1, :1])[:, 0]
    assert calls == ["first scores", "second scores", "first attention", "second attention"]

    def reference(model: Any, embedded: Tensor, row: Row) -> Tensor:
        def attend(layer: int, scores: Tensor) -> Tensor:
            plain = scores.softmax(-1)
            return rows_from(row.prompt - 1, 0.25 * (4 * scores + 3).softmax(-1), plain) if layer == 2 else plain

        return dense.forward(model, embedded, attend=attend)

    with torch.no_grad():
        single = take(batch, 0)
        embedded = dense.embeddings(model, single["input_ids"][0], single["pixel_values"])
        expected = reference(model, embedded, Row(single["input_ids"][0] == IMAGE, len(embedded)))[-1:]
    assert apart(found, expected) < 1e-5


CHAINS = {
    "values": (Values, lambda values: values * 3, "values"),
    "head outputs": (Heads, lambda outputs: outputs * 3, "head_outputs"),
    "attention output": (AttentionOutput, lambda hidden: hidden * 3, "attention_output"),
    "text scores": (TextScores, lambda scores: scores * 3, "text_scores"),
    "text attention": (TextAttention, lambda attention: attention * 0.5, "text_attention"),
    "feed-forward output": (FeedForward, lambda hidden: hidden * 3, "feed_forward_output"),
    "layer output": (LayerOutput, lambda hidden: hidden * 3, "layer_output"),
    "token logits": (TokenLogits, lambda logits: logits * 3, "token_logits"),
}


@pytest.mark.parametrize("name", CHAINS)
def test_a_second_method_edits_what_the_first_has_made(name):
    kind, edit, hook = CHAINS[name]
    seen: list[Tensor] = []

    def later(self: Any, values: Tensor, at: Any) -> Tensor:
        seen.append(values)
        return edit(values)

    second = type("Later", (Toy,), {"name": "later", hook: later})
    both = type("Both", (kind,), {hook: lambda self, values, at: edit(getattr(kind, hook)(self, values, at))})
    model, batch = tiny("heads"), prompts(MIXED)
    chained = answered(model, (kind(), second()), batch, TOKENS)
    assert seen
    assert torch.equal(chained, answered(model, (both(),), batch, TOKENS))


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        (RowScores, Maps, "later edits the maps of layer 1 and would undo what toy does to the last row"),
        (TextScores, Maps, "later edits the maps of layer 1 and would undo what toy does to the rows behind the image"),
        (TextScores, RowScores, "later edits the last row of layer 1 and would undo what toy does to the rows behind"),
    ],
)
def test_what_would_be_undone_is_refused(first, second, said):
    later = type("Later", (second,), {"name": "later"})
    with pytest.raises(ValueError, match=said):
        Session(loading.inspect(tiny("heads")), (first(), later(layers="1")))


# Decoding.


class SecondBest(Toy):
    """The second most likely token, always."""

    def decode(self, run: Any) -> Tensor:
        logits = run.next()
        for step in range(run.limit):
            tokens = logits.topk(2, dim=-1).indices[:, 1]
            if step == run.limit - 1:
                return torch.cat([run.ids, tokens[:, None]], dim=1)
            logits = run.next(tokens)
        raise AssertionError


class Crossed(Toy):
    """Two beams that begin with different tokens, change places at every token, and take the best token each."""

    def decode(self, run: Any) -> Tensor:
        logits = run.next()
        tokens = logits.topk(2, dim=-1).indices.gather(1, torch.arange(run.rows)[:, None] % 2)[:, 0]
        swapped = torch.arange(run.rows).view(-1, 2).flip(1).flatten()
        for _ in range(run.limit - 1):
            logits = run.next(tokens)
            run.reorder(swapped)
            tokens = logits[swapped].argmax(dim=-1)
        return torch.cat([run.ids, tokens[:, None]], dim=1)


def test_a_policy_chooses_the_tokens():
    model, batch = tiny("grouped"), prompts(MIXED, HAS_IMAGE)
    length = batch["input_ids"].shape[1]
    with torch.no_grad(), Session(loading.inspect(model), (SecondBest(), Heads())).attached():
        tokens = model.generate(**batch, max_new_tokens=STEPS)[:, length:]
    assert tokens.shape == (4, STEPS)
    logits = answered(model, (Heads(),), batch, tokens)
    assert logits.topk(2, dim=-1).indices[:, :, 1].T.tolist() == tokens.tolist()


def test_a_policy_that_reorders_takes_state_along():
    """Every answer is what its own first token leads to, with the state of its own past."""
    model, batch = tiny("grouped"), prompts(MIXED)
    length = batch["input_ids"].shape[1]
    with torch.no_grad(), Session(loading.inspect(model), (Crossed(), Slow())).attached():
        tokens = model.generate(**batch, max_new_tokens=STEPS, num_return_sequences=2, do_sample=True)[:, length:]
    twice = {key: value.repeat_interleave(2, dim=0) for key, value in batch.items()}
    logits = answered(model, (Slow(),), twice, tokens)
    assert logits.argmax(dim=-1).T[:, 1:].tolist() == tokens[:, 1:].tolist()
    assert not torch.equal(tokens[::2], tokens[1::2])


# Leaving.


@pytest.mark.parametrize("name", METHODS)
def test_nothing_is_left_behind_after_an_exception(name):
    model, toy = tiny("grouped"), METHODS[name][0]
    batch = prompts(MIXED)
    before, expected = state_of(model), model.generate(**batch, max_new_tokens=3)
    calls = 0

    def fail(ids: Tensor, scores: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise ZeroDivisionError
        return scores

    with pytest.raises(ZeroDivisionError), Session(loading.inspect(model), (toy,)).attached():
        model.generate(**batch, max_new_tokens=STEPS, logits_processor=[fail])
    assert state_of(model) == before
    assert model.generate(**batch, max_new_tokens=3).tolist() == expected.tolist()


def test_a_batch_without_images_calls_no_method():
    class Loud(Toy):
        def head_outputs(self, outputs: Tensor, at: LayerStep) -> Tensor:
            return outputs * at.generation["made by read"]

    model, batch = tiny("heads"), prompts(MIXED, [False] * 4)
    with torch.no_grad():
        plain = scored(model, batch, STEPS, force=forced(TOKENS))[1]
    assert torch.equal(answered(model, (Loud(),), batch, TOKENS), plain)
