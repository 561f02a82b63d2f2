"""OPERA against its equations, one prompt at a time by whole forwards, and against the beam search of transformers."""

from __future__ import annotations

import functools
import math

import pytest
import torch
from conftest import IMAGE, MIXED, prompts, take, tiny_llava
from test_edit_points import Counting, Slow
from test_edit_points import answered as answered_logits

import hallu_models
from hallu_models import loading, processing
from hallu_models.conversations import conversation
from hallu_models.engines.beams import Lookahead
from hallu_models.interventions.opera import OPERA
from hallu_models.session import Session
from hallu_models.testing import dense
from hallu_models.testing.questions import picture

STEPS = 14
STRONG = {"layers": "5", "alpha": 2.0, "scale": 40.0, "threshold": 2.0, "candidates": 3, "beams": 2, "first": 2}


def answered(model, batch, steps=STEPS, parameters=STRONG, beside=None, **options):
    """Answer tokens of a batch (B, T), and what was observed."""
    methods = (OPERA(**parameters), *([] if beside is None else [beside]))
    with torch.no_grad(), Session(loading.inspect(model), methods, observe=True).attached() as session:
        output = model.generate(**batch, max_new_tokens=steps, **{"do_sample": False, **options})
    return output[:, batch["input_ids"].shape[1] :], session.observations


def until(row, end):
    """A row's own tokens."""
    tokens = row.tolist()
    return tokens[: tokens.index(end) + 1] if end in tokens else tokens


def reader(model, single):
    """:func:`read` of answers to one prompt, each once."""
    return functools.cache(lambda answer: read(model, single, list(answer)))


def read(model, single, answer):
    """Logits (V,) behind an answer; the last layer's attention (L, L), the largest over heads, divided by row sums."""
    maps = {}

    def attend(layer, scores):
        maps[layer] = scores.softmax(dim=-1)
        return maps[layer]

    ids = torch.cat([single["input_ids"][0], torch.tensor(answer, dtype=torch.long)])
    logits = dense.forward(model, dense.embeddings(model, ids, single["pixel_values"]), attend=attend)[-1]
    largest = maps[5].amax(dim=0)
    return logits, largest / largest.sum(dim=-1, keepdim=True)


@torch.no_grad()
def equations(model, single, method, steps, end=None):
    """The answer of section 3, as released: every candidate by a forward of its own, every product written out."""
    columns, prompt = (single["input_ids"][0] == IMAGE).nonzero()[:, 0].tolist(), single["input_ids"].shape[1]
    first, last, seen = columns[0], columns[-1], reader(model, single)
    beams, finished = [(0.0 if beam == 0 else -1e9, []) for beam in range(method.beams)], []
    before, named, rejected, times, chosen, returned = [], [], {}, {}, [], []
    again = False
    while True:
        step = len(beams[0][1])
        before[step:] = [(list(beams), list(finished))]
        scored = []
        if again:
            for beam, (score, answer) in enumerate(beams):
                logits = seen(tuple(answer))[0].clone()
                for refused, token in rejected[step]:
                    if refused == beam:
                        logits[token] = -999.0
                scored += [(score + float(p), beam, token) for token, p in enumerate(logits.log_softmax(-1))]
        else:
            locations = []
            for beam, (score, answer) in enumerate(beams):
                logits = seen(tuple(answer))[0]
                candidates = logits.topk(method.candidates).indices.tolist()
                penalized, own = torch.full_like(logits, -999.0), []
                for token in candidates:
                    attention = seen((*answer, token))[1]
                    block = method.scale * attention[prompt:, prompt:].double()
                    products = [1e-7 * float(block[column:, column].prod()) for column in range(step + 1)]
                    own.append(products.index(max(products)))
                    bonus = float(attention[-1, first : last + 1].sum())
                    penalty = -bonus if step + 1 <= method.first else max(products)
                    penalized[token] = logits[token] - method.alpha * penalty
                locations.append(mode(own))
                scored += [(score + float(p), beam, token) for token, p in enumerate(penalized.log_softmax(-1))]
            named[step:] = [locations]
            location = mode(locations)
            enough = all(sum(at[beam] == location for at in named) > method.threshold for beam in range(method.beams))
            if enough and location >= method.first:
                back = location + 1
                if times.get(back, 0) >= method.candidates:
                    back -= 1
                if times.get(back, 0) < method.candidates:
                    times[back] = times.get(back, 0) + 1
                    returned.append((step, back))
                    rejected = {at: pairs for at, pairs in rejected.items() if at <= back}
                    rejected[back] = rejected.get(back, []) + chosen[back]
                    beams, finished = before[back]
                    del before[back + 1 :], named[back + 1 :], chosen[back:]
                    again = True
                    continue
        again = False
        ranked = sorted(scored, key=lambda one: -one[0])[: 2 * method.beams]
        over = step + 1 == steps
        finished = list(finished)
        for rank, (score, beam, token) in enumerate(ranked):
            if rank < method.beams and (over or token == end):
                finished.append((score / (step + 1), [*beams[beam][1], token]))
        finished = sorted(finished, key=lambda one: -one[0])[: method.beams]
        going = [one for one in ranked if one[2] != end][: method.beams]
        chosen[step:] = [[(beam, token) for _, beam, token in going]]
        beams = [(score, [*beams[beam][1], token]) for score, beam, token in going]
        if over or (len(finished) == method.beams and beams[0][0] / (step + 1) <= finished[-1][0]):
            return finished[0][1], returned


def mode(values):
    return min(set(values), key=lambda value: (-values.count(value), value))


@pytest.mark.slow
@pytest.mark.parametrize(("kv_heads", "window", "end"), [(2, None, None), (4, 13, 11)], ids=["grouped", "windows"])
def test_it_is_the_equations_with_ways_back(kv_heads, window, end):
    """In one left-padded batch, in which prompts go back at other tokens, or never."""
    model, batch = tiny_llava(kv_heads, window=window), prompts(MIXED)
    expected = [equations(model, take(batch, row), OPERA(**STRONG), STEPS, end) for row in range(4)]
    found, observed = answered(model, batch, eos_token_id=end)
    assert [until(row, end) for row in found] == [tokens for tokens, _ in expected]
    ways = [returned for _, returned in expected]
    counts = [[sum(back == token for _, back in returned) for token in range(STEPS)] for returned in ways]
    assert observed["returns"].values.tolist() == counts
    assert len({tuple(returned) for returned in ways}) > 1


def test_what_is_looked_at_ahead_is_what_is_read_behind_the_choice(monkeypatch):
    """With state of another method, and negative rows, in the cache and out of it."""
    model, batch = tiny_llava(2), prompts(MIXED[:3])

    def read_anew(self, rows, tokens):
        self._run.restore(self._before)
        self._run.reorder(rows)
        return self._run.next(tokens, processed=False)

    for toy in (Slow(), Counting()):
        ahead, _ = answered(model, batch, beside=toy)
        with monkeypatch.context() as patch:
            patch.setattr(Lookahead, "go_on", read_anew)
            assert torch.equal(answered(model, batch, beside=toy)[0], ahead)
        for row in range(3):
            assert torch.equal(answered(model, take(batch, row), beside=toy)[0][0], ahead[row])


PLAIN = {"alpha": 0.0, "candidates": "all", "beams": 3, "layers": "5"}


@pytest.mark.parametrize("threshold", [math.inf, 1e9], ids=["without a look", "looking at all tokens"])
@pytest.mark.parametrize("options", [{}, {"length_penalty": 2.0, "early_stopping": True}, {"repetition_penalty": 1.5}])
def test_without_a_penalty_and_all_tokens_it_is_the_beam_search_of_transformers(threshold, options):
    model, batch = tiny_llava(2), prompts(MIXED)
    options = {**options, "eos_token_id": 11}
    found, _ = answered(model, batch, 8, {**PLAIN, "threshold": threshold}, **options)
    plain = model.generate(**batch, max_new_tokens=8, num_beams=3, do_sample=False, **options)
    assert [until(row, 11) for row in found] == [until(row, 11) for row in plain[:, batch["input_ids"].shape[1] :]]


def test_the_demo_model_s_beam_search_is_plain_too():
    host = hallu_models.load("demo")
    asked = ["Please describe this image in detail.", "Is there a dog in the image? Answer yes or no.", "What is this?"]
    inputs = processing.encode(host, [conversation(picture(32, 32, number), text) for number, text in enumerate(asked)])
    with torch.no_grad():
        plain = host.model.generate(**inputs, max_new_tokens=24, num_beams=5, do_sample=False)
        with hallu_models.attach(host, "opera", alpha=0.0, threshold=math.inf, candidates="all", check=False):
            found = host.model.generate(**inputs, max_new_tokens=24)
    length = inputs["input_ids"].shape[1]
    assert [until(row, 2) for row in found[:, length:]] == [until(row, 2) for row in plain[:, length:]]


@pytest.mark.parametrize(
    "option", [{"num_beams": 2}, {"num_return_sequences": 2, "do_sample": True}, {"do_sample": True}]
)
def test_other_searches_are_refused(option):
    with pytest.raises(ValueError, match=r"opera searches with beams of its own, beams=2.* set beams"):
        answered(tiny_llava(2), prompts(MIXED[:1]), **{"do_sample": False, **option})


def test_a_row_without_an_image_is_searched_without_a_penalty():
    """In a batch with images, and in one without any, it is what beam search over the candidates makes of it."""
    model, batch = tiny_llava(2), prompts(MIXED[:2], [True, False])
    found, observed = answered(model, batch)
    alone, _ = answered(model, prompts(MIXED[:2], [False, False]))
    off, _ = answered(model, batch, parameters={**STRONG, "alpha": 0.0, "threshold": math.inf})
    text = prompts(MIXED[:2], [False, False])["input_ids"][1].tolist()
    assert text[-5:] == batch["input_ids"][1].tolist()[-5:]
    assert found[1].tolist() == alone[1].tolist() == off[1].tolist()
    assert not torch.equal(found[0], off[0])
    assert not observed["returns"].values[1].any()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_huge_products_exclude_no_candidate_for_good(dtype):
    """At a scale at which products in half precision would be infinite."""
    model, batch = tiny_llava(2).to(dtype), prompts(MIXED[:2])
    batch["pixel_values"] = batch["pixel_values"].to(dtype)
    found, observed = answered(model, batch, 16, {**STRONG, "scale": 1e5, "threshold": math.inf, "beams": 1})
    assert math.isfinite(observed["score"].values.sum())
    for row in range(2):
        logits = read_logits(model, take(batch, row), found[row])
        chosen = logits.gather(1, found[row][:, None])
        assert bool((chosen >= logits.topk(3).values[:, -1:] - 0.1).all())


def read_logits(model, single, tokens):
    """Logits (T, V) of an answer's tokens."""
    return answered_logits(model, (), single, tokens[None])[:, 0].float()


def test_what_other_methods_observe_belongs_to_the_prompts():
    host = hallu_models.load("demo")
    asked = [conversation(picture(32, 32, number), "Please describe this image in detail.") for number in range(2)]
    (one, _) = host.generate(asked, "vhr+opera", max_new_tokens=4)
    (alone, _) = host.generate(asked, "vhr", max_new_tokens=1)
    assert one.observations["vhr.selected"].values.tolist() == alone.observations["selected"].values.tolist()


def test_every_parameter_is_read():
    model, batch = tiny_llava(2), prompts(MIXED)
    changes = {"alpha": 30.0, "scale": 70.0, "threshold": 4.0, "candidates": 2, "beams": 3, "window": 2, "first": 7}
    found = answered(model, batch)[0].tolist()
    same = [
        name
        for name, value in changes.items()
        if answered(model, batch, parameters={**STRONG, name: value})[0].tolist() == found
    ]
    assert same == []
