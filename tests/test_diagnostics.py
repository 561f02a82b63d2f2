"""``hallu diagnose``: the readings against their definitions, the pictures, and errors before the model is loaded."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from conftest import prompts, take

import hallu_models
from hallu_models.diagnostics import command, flow, mentions, readings, subjects
from hallu_models.hosts import attention, host
from hallu_models.testing import dense
from registry.commands import cli


@pytest.fixture(scope="module")
def demo():
    return hallu_models.load("demo", device="cpu")


def answered(model):
    """One prompt with an image and an answer of five tokens behind it, as ids and as host."""
    single = take(prompts([(3, 9)]), 0)
    ids = torch.cat([single["input_ids"], torch.tensor([[9, 12, 30, 7, 44]])], dim=1)
    return host.inspect(model), {**single, "input_ids": ids, "attention_mask": torch.ones_like(ids)}


def test_information_flow_is_attention_rollout(model):
    seen, inputs = answered(model)
    ids = inputs["input_ids"][0]
    maps: list[torch.Tensor] = []

    def keep(layer, scores):
        maps.append(scores.softmax(dim=-1))
        return maps[-1]

    with torch.no_grad():
        dense.forward(model, dense.embeddings(model, ids, inputs["pixel_values"]), attend=keep)
    shares = flow.information_flow(seen, inputs)
    visual = ids == model.config.image_token_id
    rollout = torch.eye(len(ids))
    assert shares[0].tolist() == [1.0, 0.0]
    for layer, weights in enumerate(maps):
        rollout = 0.5 * (torch.eye(len(ids)) + weights.mean(dim=0)) @ rollout
        columns = rollout[:, visual] / rollout[:, visual].sum(dim=0)
        expected = torch.stack([columns[visual].sum(dim=0).mean(), columns[~visual].sum(dim=0).mean()])
        torch.testing.assert_close(shares[layer + 1], expected, atol=1e-6, rtol=1e-5)


def test_the_masking_curve_hides_the_image_from_a_layer_on(model):
    seen, inputs = answered(model)
    ids = inputs["input_ids"][0]
    visual = ids == model.config.image_token_id
    rows = dense.embeddings(model, ids, inputs["pixel_values"])

    def predicted(first):
        def attend(layer, scores):
            weights = scores.softmax(dim=-1)
            if layer >= first:
                weights = weights.masked_fill(visual, 0)
                weights = weights / weights.sum(dim=-1, keepdim=True).clamp(min=1e-12)
            return weights

        return dense.forward(model, rows, attend=attend)[-6:-1].softmax(dim=-1)

    with torch.no_grad():
        curve = flow.masking_curve(seen, inputs, answer=5)
        plain = predicted(seen.depth)
        for first in range(seen.depth + 1):
            masked = predicted(first)
            middle = (plain + masked) / 2
            divergence = sum((p * (p / middle).log()).sum(dim=-1) for p in (plain, masked)) / 2
            torch.testing.assert_close(curve[first], divergence, atol=1e-5, rtol=1e-4)
    assert curve[0].min() > 1e-3 and not curve[-1].any()


def test_watching_leaves_the_model_as_it_was(model):
    seen, inputs = answered(model)
    before = seen.decoder.config._attn_implementation

    def broken(layer, call):
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        flow.watched(seen, inputs, broken)
    assert seen.decoder.config._attn_implementation == before and not attention._EDITS


class Spelling:
    """A tokenizer of letters and word parts."""

    parts = ("a ", "car", "rot ", "and ", "a ", "dining ", "table", "dog")

    def decode(self, tokens, skip_special_tokens=False):
        return "".join(self.parts[token] for token in tokens)


def test_a_mention_belongs_to_the_token_that_completes_it():
    tokens = list(range(7))
    marks = mentions.marks(Spelling(), tokens, {"carrot"})
    assert marks == ["", "", "correct", "", "", "", "hallucinated"]
    assert mentions.marks(Spelling(), tokens, None) == [""] * 7


@pytest.mark.parametrize("what", command.WHATS)
def test_every_reading_prints_writes_json_and_draws(what, tmp_path, capsys):
    pytest.importorskip("matplotlib", reason="pictures need matplotlib: pip install matplotlib")
    picture = tmp_path / f"{what}.png"
    call = ["diagnose", "--what", what, "--image", "demo:3", "--max_new_tokens", "12"]
    assert cli.main([*call, "--output", str(picture)]) == 0
    assert capsys.readouterr().out.strip()
    from PIL import Image

    drawn = np.asarray(Image.open(picture).convert("L"))
    assert drawn.std() > 10, "an empty picture"
    assert cli.main([*call, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["what"] == what and found["subjects"][0]["name"] == "demo:3"
    for array in found["arrays"].values():
        assert np.ndim(np.array(array["values"], dtype=object)) >= len(array["axes"]) > 0


def test_the_list_of_readings_is_the_commands():
    assert tuple(readings.WHATS) == command.WHATS
    assert all(f"  {what} " in command.EPILOG for what in command.WHATS)


def test_the_distribution_over_a_task(tmp_path, capsys):
    picture = tmp_path / "distribution.svg"
    call = ["diagnose", "--what", "tvhd", "--task", "hallu_demo_chair", "--limit", "20", "--output", str(picture)]
    assert cli.main(call) == 0
    first, second = capsys.readouterr().out.strip().splitlines()
    assert "correct object words, median" in first and "hallucinated object words" in first
    assert "over 20 images" in second
    assert picture.stat().st_size > 1000


def test_plain_readings_leave_the_answer_as_it_is(demo):
    """The readings say they measure the plain model, so their methods must be switched off."""
    subject = subjects.from_image("demo:5")
    (plain,) = demo.generate([subject.conversation()], max_new_tokens=24)
    for method, off in [
        ("vhr", {"layers": "all", "alpha": 1.0}),
        ("iava", {"alpha": 0.0}),
        ("dleaf", {"gamma": 0.0}),
        ("sevi", {"omega": 0.0, "cicd": False, "start_layer": 0}),
    ]:
        (answer,) = readings.answered(demo, [subject], method, readings.Options(max_new_tokens=24), off)
        assert answer.text == plain.text, method


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--what", "vhd", "--image", "nowhere.png"], "no such file"),
        (["--what", "vhd", "--image", "demo:512"], "demo:0 to demo:511"),
        (["--what", "vhd", "--model_args", "pretrained=demo,alpa=2"], "alpha"),
        (["--what", "vhd", "--model_args", "pretrained=demo,alpha=abc"], "alpha"),
        (["--what", "vhd", "--model_args", "demo"], "name=value"),
        (["--what", "vhd", "--model_args", "trust_remote_code=on"], "trust_remote_code=on is neither true nor false"),
        (["--what", "flow", "--model_args", "alpha=2"], "alpha"),
        (["--what", "vhd", "--task", "hallu_demo_chair"], "--task is for tvhd and flow"),
        (["--what", "tvhd", "--task", "hallu_demo_nothing"], "no such task"),
        (["--what", "tvhd", "--task", "hallu_demo_pope"], "hallu_demo_chair"),
        (["--what", "tvhd", "--task", "hallu_demo_chair", "--limit", "0"], "at least 1"),
        (["--what", "tvhd", "--limit", "3"], "--limit goes with --task"),
        (["--what", "vhd", "--output", "a.bmp"], ".png, .svg, .pdf"),
        (["--what", "vhd", "--output", "nowhere/a.png"], "does not exist"),
    ],
)
def test_bad_calls_are_refused_before_the_model_is_loaded(given, message, capsys, monkeypatch):
    monkeypatch.setattr("hallu_models.loading.load", lambda **_: pytest.fail("the model was loaded"))
    assert cli.main(["diagnose", *given]) == 2
    error = capsys.readouterr().err
    assert message in error


def test_a_contrast_with_an_image_of_ones_own_needs_another(tmp_path, capsys):
    from PIL import Image

    file = tmp_path / "own.png"
    Image.new("RGB", (64, 64)).save(file)
    assert cli.main(["diagnose", "--what", "contrast", "--image", str(file)]) == 2
    assert "--other_image" in capsys.readouterr().err


def test_without_matplotlib_the_extra_is_named(monkeypatch, capsys):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert cli.main(["diagnose", "--what", "vhd", "--output", "a.png"]) == 2
    assert "pip install matplotlib" in capsys.readouterr().err


def test_help_needs_neither_torch_nor_matplotlib():
    script = (
        "import sys, contextlib, io\nfrom registry.commands import cli\n"
        "with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.suppress(SystemExit):\n"
        "    cli.main(['diagnose', '--help'])\n"
        "assert 'what to look at' in out.getvalue()\n"
        "print(sorted({'torch', 'matplotlib', 'transformers'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
