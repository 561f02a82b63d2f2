"""VHR against a reference written from the paper's equations, and what it must leave alone."""

from __future__ import annotations

import pytest
import torch
from conftest import MIXED, prompts, take, tiny_llava

import hallu_models
from hallu_models.testing import dense

STEPS = 10
LAYERS = "1+3-5"


class Reference:
    """Section 3 of the paper for one row: divergence, outliers, the upper half, reinforcement layer by layer."""

    def __init__(self, model, ids, pixel_values, alpha, variant, layers=(1, 3, 4, 5)):
        self.model, self.pixel_values, self.alpha, self.variant, self.layers = (
            model,
            pixel_values,
            alpha,
            variant,
            layers,
        )
        self.chosen: dict[int, torch.Tensor] = {}
        self.prompt = len(ids)
        textual: dict[int, torch.Tensor] = {}

        def collect(layer, heads):
            textual[layer] = heads[:, -1]
            return heads

        without = ids[ids != model.config.image_token_id]
        dense.forward(model, dense.embeddings(model, without, None), collect)
        self.textual = textual

    def choose(self, layer, visual):
        divergence = [
            float((v - t).norm()) ** (2 if self.variant == "official" else 1)
            for v, t in zip(visual, self.textual[layer])
        ]
        activity = [float(t.norm()) ** 2 for t in self.textual[layer]]

        def limit(values):
            mean = sum(values) / len(values)
            return mean + (sum((v - mean) ** 2 for v in values) / (len(values) - 1)) ** 0.5

        mean = sum(divergence) / len(divergence)
        spread = (sum((v - mean) ** 2 for v in divergence) / (len(divergence) - 1)) ** 0.5
        if self.variant == "paper" or spread > 1:
            d, a = limit(divergence), limit(activity)
            divergence = [0.0 if v > d and t > a else v for v, t in zip(divergence, activity)]
        middle = sorted(divergence)[(len(divergence) - 1) // 2]
        self.chosen[layer] = torch.tensor([v > middle for v in divergence])

    def edit(self, layer, heads):
        if layer not in self.layers:
            return heads
        if layer not in self.chosen:
            self.choose(layer, heads[:, self.prompt - 1])
        return torch.where(self.chosen[layer][:, None, None], self.alpha * heads, heads)

    def logits(self, ids):
        return dense.forward(self.model, dense.embeddings(self.model, ids, self.pixel_values), self.edit)


def generate(model, batch, **options):
    return model.generate(
        **batch, max_new_tokens=STEPS, do_sample=False, return_dict_in_generate=True, output_logits=True, **options
    )


@pytest.mark.parametrize("variant", ["paper", "official"])
@pytest.mark.parametrize("alpha", [2.0, 0.5])
def test_agrees_with_the_equations_at_prefill_and_ten_steps_later(model, variant, alpha):
    batch = prompts(MIXED)
    with torch.no_grad(), hallu_models.attach(model, "vhr", alpha=alpha, variant=variant, layers=LAYERS) as session:
        output = generate(model, batch)
    selected = session.observations["selected"]
    assert selected.layers == (1, 3, 4, 5) and selected.axes == ("row", "layer", "head")
    for row in range(len(MIXED)):
        single = take(batch, row)
        ids = single["input_ids"][0]
        with torch.no_grad():
            reference = Reference(model, ids, single["pixel_values"], alpha, variant)
            everything = torch.cat([ids, output.sequences[row, batch["input_ids"].shape[1] :]])
            first = reference.logits(ids)  # Chooses the heads.
            logits = reference.logits(everything)
        chosen = torch.stack([reference.chosen[layer] for layer in (1, 3, 4, 5)])
        assert (torch.from_numpy(selected.values[row]) == chosen).all()
        torch.testing.assert_close(output.logits[0][row], first[-1], atol=1e-5, rtol=1e-5)
        for step in range(STEPS):
            torch.testing.assert_close(output.logits[step][row], logits[len(ids) - 1 + step], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("alpha", [1.0, 2.0])
@pytest.mark.parametrize("top_k", [1, 0])
def test_token_vhd_follows_the_answer_without_the_image(model, alpha, top_k):
    """Equation 2 token by token: the text-only branch reads the answer so far, plainly."""
    batch = prompts(MIXED)
    with torch.no_grad(), hallu_models.attach(model, "vhr", alpha=alpha, top_k=top_k, layers=LAYERS) as session:
        output = generate(model, batch)
    observed = session.observations["tvhd"]
    assert observed.axes == ("row", "token") and observed.values.shape == (len(MIXED), STEPS)
    for row in range(len(MIXED)):
        single = take(batch, row)
        ids, answer = single["input_ids"][0], output.sequences[row, batch["input_ids"].shape[1] :]
        with torch.no_grad():
            reference = Reference(model, ids, single["pixel_values"], alpha, "paper")
            sees, blind = {}, {}

            def keeping(found, edit):
                return lambda number, heads: edit(number, found.setdefault(number, heads))

            reference.logits(ids)  # Chooses the heads.
            rows = dense.embeddings(model, torch.cat([ids, answer]), single["pixel_values"])
            dense.forward(model, rows, keeping(sees, reference.edit))
            text = torch.cat([ids[ids != model.config.image_token_id], answer])
            dense.forward(model, model.get_input_embeddings()(text), keeping(blind, lambda layer, heads: heads))
        expected = torch.zeros(STEPS)
        for layer in reference.layers:
            distance = (sees[layer][:, -STEPS - 1 : -1] - blind[layer][:, -STEPS - 1 : -1]).norm(dim=-1)
            expected += distance.sort(dim=0, descending=True).values[: top_k or 2].sum(dim=0)
        torch.testing.assert_close(torch.from_numpy(observed.values[row]), expected, atol=1e-4, rtol=1e-5)


def test_token_vhd_ends_with_the_answer_and_belongs_to_the_returned_beam(plain_heads):
    batch = prompts(MIXED)
    with torch.no_grad(), hallu_models.attach(plain_heads, "vhr", layers=LAYERS) as session:
        greedy = generate(plain_heads, batch).sequences
        plain = session.observations["tvhd"].values
        beams = generate(plain_heads, batch, num_beams=3, num_return_sequences=2).sequences
        searched = session.observations["tvhd"].values
        end = int(greedy[0, batch["input_ids"].shape[1] + 3])
        generate(plain_heads, batch, eos_token_id=end)
    ended = session.observations["tvhd"].values
    assert searched.shape == (2 * len(MIXED), STEPS)
    # The first token is predicted from the prompt, whatever the beam.
    torch.testing.assert_close(torch.from_numpy(searched[::2, 0]), torch.from_numpy(plain[:, 0]))
    torch.testing.assert_close(torch.from_numpy(searched[1::2, 0]), torch.from_numpy(plain[:, 0]))
    assert len({tuple(row) for row in beams[:, -STEPS:].tolist()}) == len(beams), "beams differ, or this shows nothing"
    lengths = (~torch.from_numpy(ended).isnan()).sum(dim=1)
    first = (greedy[0, batch["input_ids"].shape[1] :] == end).int().argmax() + 1
    assert lengths[0] == first and (lengths <= STEPS).all()


def test_the_plain_reference_is_the_plain_model(model):
    """Otherwise agreement above could come from two equal mistakes."""
    single = take(prompts(MIXED), 0)
    with torch.no_grad():
        logits = model(**single).logits[0]
        torch.testing.assert_close(
            logits,
            dense.forward(model, dense.embeddings(model, single["input_ids"][0], single["pixel_values"])),
            atol=1e-5,
            rtol=1e-5,
        )


def test_outliers_are_taken_out_before_the_median():
    from hallu_models.interventions.vhr import VHR

    without = torch.zeros(1, 8, 2)
    without[0, 0, 0] = 10.0  # Very active without the image, and furthest from its visual output.
    visual = without.clone()
    visual[0, :, 1] = torch.tensor([50.0, 1, 2, 3, 4, 5, 6, 7])
    assert VHR().head_divergence(visual, without)[0].tolist() == [0, 1, 2, 3, 4, 5, 6, 7]
    without[0, 0, 0] = 0.0  # Far but not active: stays.
    assert VHR().head_divergence(visual, without)[0, 0] > 49


@pytest.mark.parametrize(
    "options",
    [
        {"do_sample": False},
        {"do_sample": False, "num_beams": 3},
        {"do_sample": True, "temperature": 0.9},
        {"do_sample": True, "num_return_sequences": 2},
    ],
    ids=["greedy", "beams", "sampling", "sequences"],
)
def test_alpha_one_is_the_plain_model(model, options):
    batch = prompts(MIXED, [True, True, False, True])
    torch.manual_seed(5)
    plain = model.generate(**batch, max_new_tokens=STEPS, **options)
    torch.manual_seed(5)
    with hallu_models.attach(model, "vhr", alpha=1, layers="all"):
        edited = model.generate(**batch, max_new_tokens=STEPS, **options)
    assert edited.tolist() == plain.tolist()


def test_it_does_change_answers(model):
    batch = prompts(MIXED)
    with hallu_models.attach(model, "vhr", layers=LAYERS):
        edited = generate(model, batch).sequences
    assert (edited != generate(model, batch).sequences).any()


@pytest.mark.parametrize("beams", [1, 3])
def test_rows_do_not_depend_on_their_batch(model, beams):
    batch = prompts(MIXED * 2, [True, False, True, True, True, True, True, False])
    width = batch["input_ids"].shape[1]
    with hallu_models.attach(model, "vhr", layers=LAYERS):
        together = model.generate(**batch, max_new_tokens=STEPS, do_sample=False, num_beams=beams)[:, width:]
        for row in range(8):
            single = take(batch, row)
            alone = model.generate(**single, max_new_tokens=STEPS, do_sample=False, num_beams=beams)
            assert alone[0, single["input_ids"].shape[1] :].tolist() == together[row].tolist()


def test_a_row_without_an_image_is_the_plain_model(model):
    batch = prompts(MIXED, [True, False, True, False])
    plain = generate(model, batch).sequences
    with hallu_models.attach(model, "vhr", layers=LAYERS) as session:
        edited = generate(model, batch).sequences
    assert edited[[1, 3]].tolist() == plain[[1, 3]].tolist()
    assert session.rows_without_image == 2
    assert not session.observations["selected"].values[[1, 3]].any()


def test_a_batch_without_any_image(model):
    batch = prompts(MIXED, [False] * 4)
    plain = generate(model, batch).sequences
    with hallu_models.attach(model, "vhr", layers=LAYERS) as session:
        assert generate(model, batch).sequences.tolist() == plain.tolist()
    assert session.rows_without_image == 4


@pytest.mark.parametrize("kv_heads", [4, 2])
def test_backends_agree(kv_heads):
    batch = prompts(MIXED)
    logits = {}
    for backend in ("sdpa", "eager"):
        model = tiny_llava(kv_heads, attention=backend)
        with hallu_models.attach(model, "vhr", layers=LAYERS), torch.no_grad():
            logits[backend] = model(**batch).logits[batch["attention_mask"].bool()]
    torch.testing.assert_close(logits["sdpa"], logits["eager"], atol=1e-5, rtol=1e-5)


def test_right_padding_in_a_plain_forward(model):
    batch = prompts(MIXED)
    flipped = {**batch}
    for row in range(4):
        order = torch.argsort(batch["attention_mask"][row], stable=True, descending=True)
        for key in ("input_ids", "attention_mask"):
            flipped[key] = flipped[key].clone()
            flipped[key][row] = batch[key][row, order]
    with hallu_models.attach(model, "vhr", layers=LAYERS), torch.no_grad():
        left, right = model(**batch).logits, model(**flipped).logits
    for row in range(4):
        length = int(batch["attention_mask"][row].sum())
        torch.testing.assert_close(left[row, -length:], right[row, :length], atol=1e-5, rtol=1e-5)
