"""EAH, D-LEAF, SEVI, CICD and IAVA against references written from their equations, one row and one head at a time."""

from __future__ import annotations

import contextlib
import math

import pytest
import torch
from conftest import IMAGE, MIXED, prompts, take
from test_contract import general_prompt, generate, plain, session

import hallu_models
from hallu_models.engines.passes import Passes
from hallu_models.hosts import forward
from hallu_models.hosts.inputs import DecoderInputs
from hallu_models.interventions import ad_hh
from hallu_models.interventions.dleaf import DLEAF
from hallu_models.interventions.iava import IAVA
from hallu_models.layout import Layout
from hallu_models.testing import dense

STEPS = 10


class Row:
    """One row of a batch and what the model under test generated for it."""

    def __init__(self, model, batch, output, row):
        single = take(batch, row)
        self.model, self.ids = model, single["input_ids"][0]
        self.prompt = len(self.ids)
        self.all_ids = torch.cat([self.ids, output.sequences[row, batch["input_ids"].shape[1] :]])
        self.pixels = single["pixel_values"]
        self.image = torch.nn.functional.pad(self.ids == IMAGE, (0, STEPS))
        self.last_image = int(self.image.nonzero().max())
        self.logits = [logits[row] for logits in output.logits]

    def rows(self, pixels=None):
        return dense.embeddings(self.model, self.all_ids, self.pixels if pixels is None else pixels)

    def agrees(self, logits, within=1e-5):
        """Prefill and every later step."""
        for step in range(STEPS):
            torch.testing.assert_close(self.logits[step], logits[self.prompt - 1 + step], atol=within, rtol=within)


def run(model, method, **parameters):
    batch = prompts(MIXED)
    with torch.no_grad(), session(model, method, batch, parameters).attached():
        output = model.generate(
            **batch, max_new_tokens=STEPS, do_sample=False, return_dict_in_generate=True, output_logits=True
        )
    return batch, [Row(model, batch, output, row) for row in range(len(MIXED))]


@pytest.mark.parametrize("beta", [0.02, 0.03, "auto"])
def test_eah(model, beta):
    _, rows = run(model, "eah", beta=beta, layers="1")
    for row in rows:
        threshold = 1 / row.prompt if beta == "auto" else beta
        found = []

        def attend(layer, scores, row=row, threshold=threshold, found=found):
            weights = scores.softmax(dim=-1)
            if layer != 1:
                return weights
            length = row.prompt
            sinks = []
            for head in weights[:, :length, :length]:
                means = [float(head[c + 1 :, c].mean()) for c in range(length) if row.image[c]]
                sinks.append(sum(mean > threshold for mean in means))
            best = sinks.index(max(sinks))
            found.append(max(sinks))
            if max(sinks) > 0:
                weights[:, :length] = weights[best, :length].clone()
            return weights

        # One map for every head adds its rounding up over the heads: 1.2e-5 was seen.
        with torch.no_grad():
            row.agrees(dense.forward(model, row.rows(), attend=attend), within=2e-5)
        assert found[0] > 0


def test_eah_without_a_sink_changes_nothing(plain_heads):
    batch = prompts(MIXED)
    with torch.no_grad():
        plain = plain_heads(**batch).logits
        with session(plain_heads, "eah", batch, {"beta": 0.99, "layers": "1"}).attached() as attached:
            assert torch.equal(plain_heads(**batch).logits, plain)
    assert (attached.observations["chosen_head"].values == -1).all()


def test_eah_leaves_decode_steps_alone(plain_heads):
    """In a layer that no earlier edit reaches, only the prompt's rows change."""
    batch = prompts(MIXED)
    with torch.no_grad(), session(plain_heads, "eah", batch, {"beta": 0.02, "layers": "5"}).attached():
        cache = forward.new_cache(plain_heads.get_decoder())
        named = {forward.cache_parameter(plain_heads.forward): cache}
        plain_heads(**batch, **named)
        extended = {"attention_mask": torch.nn.functional.pad(batch["attention_mask"], (0, 1), value=1)}
        token = torch.full((4, 1), 9)
        positions = extended["attention_mask"].cumsum(1)[:, -1:] - 1
        edited = plain_heads(input_ids=token, **named, position_ids=positions, **extended).logits
        cache.crop(-1)
    with torch.no_grad():
        plain = plain_heads(input_ids=token, **named, position_ids=positions, **extended).logits
    torch.testing.assert_close(edited, plain)


def dleaf_attention(row, gamma, threshold, entropy, k, layers):
    state = {}

    def attend(layer, scores):
        weights = scores.softmax(dim=-1)
        if layer not in layers:
            return weights
        weights = weights.clone()
        for position in range(row.prompt - 1, weights.shape[1]):
            heads = weights[:, position, row.image[: weights.shape[2]]]
            iaf = [float(head.sum()) for head in heads]
            liae = entropy_of(heads, entropy)
            seen = state.setdefault(position, [])
            faulty = False
            if threshold == "running" and len(seen) >= 2:
                mean = sum(seen) / len(seen)
                faulty = liae > mean + k * (sum((s - mean) ** 2 for s in seen) / len(seen)) ** 0.5
            if threshold == "best" and seen:
                faulty = liae > min(seen)
            seen.append(liae)
            if faulty:
                best = weights[iaf.index(max(iaf)), position].clone()
                for head, share in enumerate(iaf):
                    if share < sum(iaf) / len(iaf):
                        weights[head, position] = gamma * best + (1 - gamma) * weights[head, position]
        return weights

    return attend


def entropy_of(heads, entropy):
    def one(weights):
        shares = weights / weights.sum()
        return -sum(float(p) * math.log(float(p)) for p in shares if p > 0)

    if entropy == "per_head":
        return sum(map(one, heads)) / len(heads)
    return one(heads.mean(dim=0) if entropy == "mean" else heads.max(dim=0).values)


@pytest.mark.parametrize("entropy", ["mean", "max", "per_head"])
@pytest.mark.parametrize("threshold", ["running", "best"])
def test_dleaf(model, threshold, entropy):
    settings = {"gamma": 0.8, "threshold": threshold, "entropy": entropy, "k": 0.2}
    _, rows = run(model, "dleaf", layers="1-5", **settings)
    with torch.no_grad():
        for row in rows:
            row.agrees(dense.forward(model, row.rows(), attend=dleaf_attention(row, layers=range(1, 6), **settings)))


def test_dleaf_bottom_heads():
    focus = torch.tensor([[0.4, 0.1, 0.3, 0.2]])
    assert DLEAF(bottom=2)._low(focus).tolist() == [[False, True, False, True]]
    assert DLEAF()._low(focus).tolist() == [[False, True, False, True]]
    assert DLEAF(bottom=1)._low(focus).tolist() == [[False, True, False, False]]


def ad_hh_attention(row, heads, threshold):
    def attend(layer, scores):
        weights = scores.softmax(dim=-1)
        after = torch.arange(weights.shape[-1]) > row.last_image
        for position in range(row.prompt - 1, weights.shape[1]):
            for head in range(len(weights)):
                if (layer, head) in heads and row.last_image >= 0:
                    text = float(weights[head, position, after].sum())
                    if text >= threshold:
                        weights[head, position, after] = 0
        return weights

    return attend


@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.5])
def test_ad_hh(model, threshold):
    heads = [(1, 0), (1, 3), (2, 2), (4, 1)]
    _, rows = run(model, "ad_hh", heads="L1H0+L1H3+L2H2+L4H1", threshold=threshold)
    with torch.no_grad():
        for row in rows:
            row.agrees(dense.forward(model, row.rows(), attend=ad_hh_attention(row, heads, threshold)))


def test_ad_hh_deactivates_from_the_threshold_on(model):
    batch = prompts(MIXED)
    seen = {}
    for threshold in (0.0, 0.4, 1.1):
        parameters = {"heads": "L1H0+L1H3+L2H2", "threshold": threshold}
        with torch.no_grad(), session(model, "ad_hh", batch, parameters).attached() as live:
            model.generate(**batch, max_new_tokens=STEPS)
        off, mass = live.observations["deactivated"], live.observations["text_mass"]
        assert off.axes == ("row", "step", "layer", "head") and off.layers == (1, 2)
        named = torch.zeros(2, off.values.shape[-1], dtype=torch.bool)
        named[0, 0] = named[0, 3] = named[1, 2] = True
        assert (off.values == ((mass.values >= threshold) & named.numpy())).all()
        seen[threshold] = off.values.sum()
    assert seen[0.0] > seen[0.4] > seen[1.1] == 0


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"heads": "1.0"}, r"ad_hh: heads=1.0: 1.0 is no head; allowed: auto, or heads as L16H29"),
        ({"heads": "L1H0+L9H0"}, "layer 9 does not exist, this model has layers 0-5"),
        ({"heads": "L1H77"}, "head L1H77 does not exist, this model has heads 0-"),
        ({}, r"no hallucination heads are known for a model of 6 layers .*hallu calibrate --method ad_hh"),
        ({"heads": "L1H0", "layers": "1"}, "ad_hh: layers=1"),
    ],
)
def test_ad_hh_names_heads_that_are_wrong(model, parameters, message):
    batch = prompts(MIXED)
    with pytest.raises(ValueError, match=message), session(model, "ad_hh", batch, parameters).attached():
        model.generate(**batch, max_new_tokens=2)


def test_ad_hh_knows_the_released_heads():
    assert {key: len(ad_hh.listed(heads)) for key, heads in ad_hh.KNOWN.items()} == {
        ("llava", 32): 20,
        ("llava", 40): 35,
        ("llava_next", 60): 10,
    }
    for (family, depth), heads in ad_hh.KNOWN.items():
        bound = ad_hh.ADHH().bind(family, depth)
        assert bound.heads == heads == ad_hh.spell(ad_hh.listed(heads))
        assert set(bound.layer_list(depth)) == {layer for layer, _ in ad_hh.listed(heads)}
        assert len(set(ad_hh.listed(heads))) == len(ad_hh.listed(heads))
    with pytest.raises(ValueError, match="no hallucination heads are known"):
        ad_hh.ADHH().bind("llava", 28)


def sevi_attention(row, omega, kappa, others, layers):
    def attend(layer, scores):
        if layer not in layers:
            return scores.softmax(dim=-1)
        scores = scores.clone()
        for position in range(row.prompt - 1, scores.shape[1]):
            w = scores[:, position, : position + 1].clone()
            p = w.softmax(dim=-1)
            after = torch.arange(position + 1) > row.last_image
            rest = row.image[: position + 1] if others == "image" else ~after
            core, wide, other = [], [], []
            for head in range(len(w)):
                s, o = float(p[head, after].sum()), float(p[head, rest].sum())
                if s < o:
                    other.append(head)
                elif float(p[head, after].max()) > kappa * s:
                    core.append(head)
                else:
                    wide.append(head)
            new = w.clone()
            for head in other if wide else []:
                new[head] = (w[head] + omega * w[wide].mean(dim=0)) / (1 + omega)
            for head in wide if core else []:
                new[head] = (w[head] + omega * w[core].max(dim=0).values) / (1 + omega)
            scores[:, position, : position + 1] = new
        return scores.softmax(dim=-1)

    return attend


@pytest.mark.parametrize("others", ["prompt", "image"])
@pytest.mark.parametrize("kappa", [0.2, 0.45])
def test_sevi(model, kappa, others):
    settings = {"omega": 1.5, "kappa": kappa, "others": others}
    _, rows = run(model, "sevi", layers="2-5", cicd=False, **settings)
    with torch.no_grad():
        for row in rows:
            row.agrees(dense.forward(model, row.rows(), attend=sevi_attention(row, layers=range(2, 6), **settings)))


def contrast_of(main, other, beta, cap=3.0):
    """CICD, from its equations, with probabilities."""
    p, q = main.double().softmax(-1), other.double().softmax(-1)
    m = (p + q) / 2
    jsd = min(1.0, float(((p * (p / m).log()).sum() + (q * (q / m).log()).sum()) / 2))
    combined = main
    if jsd > 1e-4:
        alpha = min(cap, 1 - math.log10(jsd))
        combined = (1 + alpha) * main - alpha * other
    return torch.where(p < beta * p.max(), -torch.inf, combined)


def agrees_with_contrast(row, main, other, beta):
    for step in range(STEPS):
        at = row.prompt - 1 + step
        expected = contrast_of(main[at], other[at], beta)
        possible = expected.isfinite()
        assert (row.logits[step].isfinite() == possible).all()
        torch.testing.assert_close(row.logits[step][possible], expected[possible], atol=2e-5, rtol=2e-5)


@pytest.mark.parametrize("method", ["cicd", "sevi"])
def test_cicd_alone_and_in_sevi(model, method):
    settings = {"omega": 1.5, "kappa": 0.2, "others": "prompt"}
    _, rows = run(model, method, beta=0.2, **({"layers": "2-5", **settings} if method == "sevi" else {}))
    with torch.no_grad():
        for row in rows:
            attend = sevi_attention(row, layers=range(2, 6), **settings) if method == "sevi" else dense.softmax
            main = dense.forward(model, row.rows(), attend=attend)
            other = dense.forward(model, row.rows(-prompts(MIXED)["pixel_values"].flip(2)[rows.index(row)][None]))
            agrees_with_contrast(row, main, other, 0.2)


def image_attention(model, ids, pixels, layers):
    """Mean over heads and layers of the last row's attention to each image token."""
    found = []

    def attend(layer, scores):
        weights = scores.softmax(dim=-1)
        if layer in layers:
            found.append(weights[:, -1, ids == IMAGE].mean(dim=0))
        return weights

    dense.forward(model, dense.embeddings(model, ids, pixels), attend=attend)
    return torch.stack(found).mean(dim=0)


@pytest.mark.parametrize(("i", "lam"), [(6, -0.5), (0.5, 0.0), ("auto", -1.0)])
@pytest.mark.parametrize("mask", ["embeddings", "pixels"])
def test_iava(model, i, lam, mask):
    batch, rows = run(model, "iava", i=i, lam=lam, layers="1-4", beta=0.05, alpha=0.7, mask=mask)
    general, general_mask = general_prompt(batch).values()
    chose = 0
    with torch.no_grad():
        for index, row in enumerate(rows):
            first = image_attention(model, general[index, general_mask[index].bool()], row.pixels, range(1, 5))
            second = image_attention(model, row.ids, row.pixels, range(1, 5))
            drop = [float(a - b) for a, b in zip(first, second)]
            falling = [d for d in drop if d > 0]
            if i == "auto":
                mean = sum(falling) / len(falling)
                limit = mean + (sum((d - mean) ** 2 for d in falling) / len(falling)) ** 0.5
                large = [d > limit for d in drop]
            else:
                number = i if i >= 1 else round(i * len(drop))
                large = [sorted(drop, reverse=True).index(d) < number for d in drop]
            bound = float(first.mean() + lam * first.std(correction=0))
            kept = [d > 0 and big and float(a) > bound for d, big, a in zip(drop, large, first)]
            main = dense.forward(model, row.rows())
            if mask == "pixels":
                masked = row.rows(blanked(row.pixels, kept))
            else:
                masked = row.rows()
                masked[row.image.nonzero()[:, 0][~torch.tensor(kept)]] = 0
            other = dense.forward(model, masked)
            chose += any(kept)
            for step in range(STEPS):
                plain, negative = main[row.prompt - 1 + step], other[row.prompt - 1 + step]
                expected = plain if not any(kept) else 1.7 * plain - 0.7 * negative
                if any(kept):
                    expected = torch.where(plain.softmax(-1) < 0.05 * plain.softmax(-1).max(), -torch.inf, expected)
                possible = expected.isfinite()
                assert (row.logits[step].isfinite() == possible).all()
                torch.testing.assert_close(row.logits[step][possible], expected[possible], atol=2e-5, rtol=2e-5)
    assert chose


def blanked(pixels, kept):
    """The picture (1, 3, 16, 16) with zeros in the patches of 4 x 4 that are not kept, row by row."""
    shown = pixels.clone()
    for token, keep in enumerate(kept):
        row, column = 4 * (token // 4), 4 * (token % 4)
        shown[..., row : row + 4, column : column + 4] *= keep
    return shown


@pytest.mark.parametrize("options", [{}, {"num_beams": 2}], ids=["greedy", "beams"])
def test_pixels_are_masked_row_by_row(plain_heads, options):
    """Rows of two images, one and none, each against itself alone."""
    batch = prompts(MIXED, [True, False, True, True])
    # The first row gets a second image, in front of its own.
    ids = torch.cat([torch.zeros(4, 18, dtype=torch.long), batch["input_ids"]], dim=1)
    row = batch["input_ids"][0][batch["attention_mask"][0].bool()]
    row = torch.cat([row[:1], torch.full((16,), IMAGE), torch.tensor([9, 8]), row[1:]])
    ids[0] = torch.cat([torch.zeros(ids.shape[1] - len(row), dtype=torch.long), row])
    extra = torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(5))
    pixels = torch.cat([extra, batch["pixel_values"]])
    whole = {"input_ids": ids, "attention_mask": (ids != 0).long(), "pixel_values": pixels}
    parameters = {"mask": "pixels", "i": 6, "lam": -1.0}
    together = generate(plain_heads, "iava", whole, parameters, **options)
    assert not torch.equal(together, plain(plain_heads, whole, **options))
    starts, counts = [0, 2, 2, 3], [2, 0, 1, 1]
    for index in range(4):
        kept = whole["attention_mask"][index].bool()
        single = {
            "input_ids": ids[index : index + 1, kept],
            "attention_mask": torch.ones(1, int(kept.sum()), dtype=torch.long),
        }
        if counts[index]:
            single["pixel_values"] = pixels[starts[index] : starts[index] + counts[index]]
        assert torch.equal(generate(plain_heads, "iava", single, parameters, **options)[0], together[index])


def test_each_prompt_has_its_own_pixels(plain_heads):
    """Forwards of two batches in one session, against a session each."""
    first, second = prompts(MIXED), prompts(MIXED, seed=7)
    parameters = {"mask": "pixels", "i": 6, "lam": -1.0}
    with torch.no_grad():
        with session(plain_heads, "iava", second, parameters).attached():
            alone = plain_heads(**second).logits
        with session(plain_heads, "iava", first, parameters).attached():
            plain_heads(**first)
            assert torch.equal(plain_heads(**second).logits, alone)


def test_pixels_that_tokens_do_not_map_to_are_refused(plain_heads):
    """Two pictures of eight tokens each, where the model's own have sixteen."""
    batch = prompts(MIXED[:1])
    pixels = batch["pixel_values"].expand(2, -1, -1, -1)
    found = hallu_models.hosts.host.inspect(plain_heads)
    layout = Layout.from_ids(batch["input_ids"], None, {IMAGE})
    given = {**batch, "pixel_values": pixels}
    run = Passes(found, DecoderInputs(torch.zeros(1), ~layout.padding), layout, contextlib.nullcontext, given)
    with pytest.raises(ValueError, match="8 tokens are no square grid over 16 x 16 pixels. Use mask=embeddings"):
        run.with_masked_pixels("iava", torch.ones(1, 16, dtype=torch.bool))


def test_iava_layers_with_the_largest_share():
    """Of four layers the two largest hold half of the attention on the image."""
    from types import SimpleNamespace

    layout = Layout.from_ids(torch.tensor([[5, IMAGE, IMAGE, 6]]), None, {IMAGE})
    by_layer = torch.tensor([[[0, 0.05, 0.05, 0], [0, 0.3, 0.1, 0], [0, 0.1, 0.0, 0], [0, 0.0, 0.2, 0]]])
    prompt = SimpleNamespace(run=SimpleNamespace(last_row_attention=lambda *_: by_layer), layers=(0, 1, 2, 3))
    found = IAVA(cumulative=True)._image_attention(prompt, torch.empty(0), layout)
    # Shares 0.1, 0.4, 0.1, 0.2: layer 1 alone reaches exactly half of 0.8.
    torch.testing.assert_close(found, torch.tensor([[0.3, 0.1]]))


@pytest.mark.parametrize(
    ("method", "parameters", "message"),
    [
        ("eah", {"beta": 0}, "eah: beta=0"),
        ("eah", {"layers": "99"}, "eah: layers=99"),
        ("sevi", {"kappa": 1.0}, "sevi: kappa=1"),
        ("sevi", {"start_layer": 77}, "sevi: "),
        ("dleaf", {"gamma": 1.5}, "dleaf: gamma=1.5"),
        ("iava", {"i": 17}, "iava: i=17.* is more than the 16 image tokens"),
        ("iava", {"beta": 0.0}, "iava: beta=0"),
    ],
)
def test_bad_parameters_are_named(plain_heads, method, parameters, message):
    batch = prompts(MIXED)
    with pytest.raises(ValueError, match=message), session(plain_heads, method, batch, parameters).attached():
        plain_heads.generate(**batch, max_new_tokens=2)


def test_methods_say_which_inputs_they_need(plain_heads):
    batch = prompts(MIXED)
    with pytest.raises(ValueError, match=r"cicd.*other_images"), hallu_models.attach(plain_heads, "cicd"):
        plain_heads.generate(**batch, max_new_tokens=2)
    with pytest.raises(ValueError, match=r"iava.*Host.generate"), hallu_models.attach(plain_heads, "iava"):
        plain_heads.generate(**batch, max_new_tokens=2)


@pytest.mark.parametrize(
    ("method", "parameters"),
    [
        ("dleaf", {"gamma": 1.0, "k": 0.0, "layers": "1-5"}),
        ("sevi", {"omega": 2.0, "kappa": 0.9, "start_layer": 1, "cicd": False}),
    ],
)
def test_only_the_last_row_of_the_prompt_changes(model, method, parameters):
    batch = prompts(MIXED)
    with torch.no_grad():
        plain_logits = model(**batch).logits
        with session(model, method, batch, parameters).attached():
            logits = model(**batch).logits
    torch.testing.assert_close(logits[:, :-1], plain_logits[:, :-1], atol=1e-6, rtol=1e-6)
    assert (logits[:, -1] - plain_logits[:, -1]).abs().amax() > 1e-3


def test_core_heads_of_sevi_keep_their_scores():
    from hallu_models.interventions.base import LayerStep
    from hallu_models.interventions.sevi import SEVI

    image = torch.tensor([[False, True, True, True, False, False, False, False]])
    layout = Layout(image, torch.zeros_like(image))
    scores = torch.zeros(1, 4, 8)
    scores[0, 0, 6] = 5.0  # Core: one token behind the image holds nearly all.
    scores[0, 1, 4:] = 2.0  # Global: evenly behind the image.
    scores[0, 2, 1:4] = 4.0  # Other: on the image.
    scores[0, 3, 4:] = 1.5  # Global.
    step = LayerStep(9, 1, layout, layout.columns(8), {}, {}, {})
    edited = SEVI(omega=1.0, kappa=0.5, cicd=False).row_scores(scores, step)
    assert torch.equal(edited[0, 0], scores[0, 0])
    torch.testing.assert_close(edited[0, 2], (scores[0, 2] + (scores[0, 1] + scores[0, 3]) / 2) / 2)
    torch.testing.assert_close(edited[0, 1], (scores[0, 1] + scores[0, 0]) / 2)


def test_a_row_that_selects_nothing_is_the_plain_models_in_a_batch_of_eight(plain_heads):
    """Among eight rows one has no image, and some that have one keep no token."""
    images = [True, True, True, False, True, True, True, True]
    batch = prompts(MIXED * 2, images, seed=4)
    parameters = {"i": 1, "lam": 1.5}
    with torch.no_grad(), session(plain_heads, "iava", batch, parameters).attached() as attached:
        together = plain_heads.generate(**batch, max_new_tokens=STEPS, do_sample=False)[:, -STEPS:]
    kept = torch.from_numpy(attached.observations["selected"].values).any(dim=1)
    assert 0 < int(kept[torch.tensor(images)].sum()) < sum(images), "some rows keep a token, some none"
    alone = plain(plain_heads, batch, do_sample=False)
    # The plain model's answer of length 10, of which `plain` makes the first eight tokens.
    assert torch.equal(together[~kept][:, : alone.shape[1]], alone[~kept])
    assert not torch.equal(together[:, : alone.shape[1]], alone)
