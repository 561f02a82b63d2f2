"""`hallu calibrate`: the rule on made-up figures and on the demo model, and the preset file that it writes."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import hallu_models
from hallu_models import methods, models, processing
from hallu_models.calibrate import (
    faithful_directions,
    hallucination_heads,
    hallucination_subspace,
    pairs,
    prompts,
    stable_features,
    vision_layers,
)
from hallu_models.demo import held_out, scenes
from hallu_models.hosts.inputs import with_answer
from hallu_models.interventions import Directions, ad_hh
from hallu_models.testing import questions
from hallu_tasks.scoring import vocabulary
from registry.arguments import preset_file
from registry.commands import cli
from registry.errors import BadArgument, CardError

PRESET = preset_file.PresetFile("vhr", "demo", 8, {"layers": "4-6", "alpha": 1.5}, "by hand")


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "found.yaml"
    path.write_text(PRESET.text(), encoding="utf-8")
    return str(path)


# The rule.


def upper_half(divergence):
    return divergence > np.sort(divergence, axis=-1)[..., [divergence.shape[-1] // 2 - 1]]


def test_layers_that_stand_out_in_most_prompts_are_chosen():
    rng = np.random.default_rng(0)
    divergence = rng.uniform(0.9, 1.1, size=(40, 5, 4))
    divergence[:, 1] *= 2  # Stands out everywhere,
    divergence[:, 3] *= np.where(rng.random(40) < 0.5, 1.6, 0.4)[:, None]  # sometimes,
    divergence[:, 4] /= 2  # nowhere.
    found = vision_layers.standing(divergence, upper_half(divergence))
    assert found.chosen == (1,)
    assert found.score[1] == pytest.approx(2, abs=0.1) and found.score[4] == pytest.approx(0.5, abs=0.1)
    assert (found.low < found.score).all() and (found.score < found.high).all()
    assert found.high[3] - found.low[3] > 3 * (found.high[1] - found.low[1])


def test_a_loud_prompt_counts_as_much_as_a_quiet_one():
    divergence = np.random.default_rng(1).uniform(1, 2, size=(20, 4, 4))
    louder = divergence * np.geomspace(1, 1000, 20)[:, None, None]
    assert np.allclose(*(vision_layers.standing(d, upper_half(d)).score for d in (divergence, louder)))


def test_only_reinforced_heads_count_and_steady_ones_are_named():
    divergence = np.tile(np.array([[5.0, 1, 1, 3], [1, 2, 9, 1], [1, 2, 1, 3]]), (10, 1, 1))
    divergence[:2, 1, :] = [9, 2, 1, 1]  # Two of ten prompts select head 0 instead of head 2.
    found = vision_layers.standing(divergence, upper_half(divergence))
    assert found.score == pytest.approx([4 / 4, 5.5 / 4, 2.5 / 4])
    assert found.steady == ((0, 3), (1,), (1, 3))


def test_a_model_that_does_not_look_is_refused():
    with pytest.raises(ValueError, match="does the prompt hold the image"):
        vision_layers.standing(np.zeros((8, 3, 4)), np.zeros((8, 3, 4), dtype=bool))


def test_it_measures_the_plain_model():
    host = hallu_models.load("demo", device="cpu")
    subjects = prompts.drawn(8)
    found = vision_layers.measure(host, subjects)
    strength = np.zeros((8, host.depth))
    for number, subject in enumerate(subjects):
        (answer,) = host.generate([subject.conversation()], "vhr", layers="all", alpha=1.0, max_new_tokens=1)
        divergence = torch.from_numpy(answer.observations["vhd"].values[0])
        for layer, row in enumerate(divergence):
            strength[number, layer] = row[row > row.median()].mean()
    expected = (strength / np.median(strength, axis=1, keepdims=True)).mean(axis=0)
    np.testing.assert_allclose(found.score, expected, rtol=1e-4)


def test_its_scenes_are_not_the_ones_that_the_demo_tasks_ask_about():
    asked = {scene.picture.tobytes() for scene in held_out.held_out()}
    assert not asked & {subject.image.tobytes() for subject in prompts.drawn(16)}


# AD-HH's heads.


def test_heads_are_silenced_one_a_row():
    """Without its columns in the output projection, a head is silent too."""
    host = hallu_models.load("demo", device="cpu")
    (subject,) = prompts.drawn(1)
    tokens = [11, 12, 13]
    inputs = with_answer(processing.encode(host, [subject.conversation()] * 2), tokens)
    found = hallucination_heads._likelihoods(host, inputs, tokens, 3, [5, 0])
    alone = with_answer(processing.encode(host, [subject.conversation()]), tokens)
    weight = host.attention[3].o_proj.weight
    size = weight.shape[1] // host.heads
    for row, head in enumerate((5, 0)):
        own = weight.detach().clone()
        with torch.no_grad():
            weight[:, head * size : (head + 1) * size] = 0
            logits = host.model(**alone).logits[0, -4:-1]
            weight.copy_(own)
        expected = logits.log_softmax(dim=-1)[torch.arange(3), torch.tensor(tokens)]
        torch.testing.assert_close(found[row], expected, atol=1e-4, rtol=1e-4)


def test_a_caption_without_a_hallucination_says_nothing(monkeypatch):
    host = hallu_models.load("demo", device="cpu")
    (subject,) = prompts.drawn(1)
    everything = dataclasses.replace(subject, objects=frozenset(vocabulary.read(vocabulary.source()).categories))
    assert hallucination_heads.influence(host, everything, 24) is None
    monkeypatch.setattr(hallucination_heads.mentions, "marks", lambda *_: ["correct", "", "hallucinated"] + [""] * 99)
    falls = torch.zeros(host.depth, host.heads, 3)
    falls[4, 2] = torch.tensor([0.25, 9.0, 2.0])
    monkeypatch.setattr(
        hallucination_heads,
        "_likelihoods",
        lambda host, inputs, tokens, layer=-1, silent=(): (
            torch.zeros(8, 3) if layer < 0 else -torch.stack([falls[layer, head] for head in silent])
        ),
    )
    scores = hallucination_heads.influence(host, subject, 24)
    assert scores[4, 2] == 1.75 and np.count_nonzero(scores) == 1


def test_heads_whose_interval_lies_above_zero_are_chosen_the_highest_first():
    rng = np.random.default_rng(0)
    scores = rng.normal(0, 0.1, size=(40, 5, 6))
    scores[:, 1, 4] += 1
    scores[:, 3, 0] += 2
    scores[:, 2, 2] += rng.normal(0.1, 5, size=40)  # High at times.
    scores[:, 4] -= 1
    found = hallucination_heads.standing(scores)
    assert str(found.parameters["heads"]).startswith("L3H0+L1H4") and "L4" not in str(found.parameters["heads"])
    assert found.prompts == 40 and list(found.measured)[:2] == ["L3H0", "L1H4"]
    assert hallucination_heads.standing(-np.abs(scores)).parameters == {}
    many = hallucination_heads.standing(1 + rng.normal(0, 0.01, size=(40, 5, 6)))
    assert len(ad_hh.listed(str(many.parameters["heads"]))) == hallucination_heads.MOST


def test_it_needs_to_know_the_objects_and_hallucinations(tmp_path, capsys):
    (subject,) = prompts.drawn(1)
    subject.image.save(tmp_path / "a.png")
    captions = tmp_path / "captions.jsonl"
    captions.write_text('{"image": "a.png"}\n', encoding="utf-8")
    assert cli.main(["calibrate", "--method", "ad_hh", "--captions", str(captions)]) == 2
    assert 'give "objects": ["cat", "dining table"]' in capsys.readouterr().err
    captions.write_text('{"image": "a.png", "objects": ["cat"]}\n', encoding="utf-8")
    assert prompts.of_file(captions)[0].objects == {"cat"}
    assert cli.main(["calibrate", "--method", "ad_hh", "--captions", str(captions)]) == 2
    assert "too few to tell heads apart" in capsys.readouterr().err


def test_its_preset_is_what_a_run_uses(tmp_path, capsys, monkeypatch):
    scores = np.zeros((10, 8, 8))
    scores[:, 5, 3] = 1 + np.arange(10) / 100
    monkeypatch.setattr(hallucination_heads, "find", lambda *_: hallucination_heads.standing(scores))
    output = tmp_path / "heads.yaml"
    assert cli.main(["calibrate", "--method", "ad_hh", "--limit", "8", "--output", str(output)]) == 0
    assert f"--model llava_ad_hh --model_args pretrained=demo,preset={output}" in capsys.readouterr().out
    assert preset_file.read(output).how.startswith(hallucination_heads.RULE)
    run = models.llava_ad_hh(pretrained="demo", device="cpu", preset=str(output)).run
    assert run["parameters"] == "heads=L5H3,layers=,threshold=0.4"


# Nullu's directions.


def test_common_directions_come_first_and_their_share_is_told():
    rng = torch.Generator().manual_seed(0)
    common = torch.linalg.qr(torch.randn(32, 2, generator=rng)).Q.T
    strengths = torch.randn(40, 2, generator=rng) * torch.tensor([5.0, 2.0])
    differences = torch.stack([strengths @ common + 0.01 * torch.randn(40, 32, generator=rng)] * 2, dim=1)
    found = hallucination_subspace.spanned(differences)
    for layer in range(2):
        space = found.tensors[f"layers.{layer}"]
        assert space.shape == (hallucination_subspace.MOST, 32)
        torch.testing.assert_close(space @ space.T, torch.eye(len(space)), atol=1e-5, rtol=0)
        assert float((common @ space[0]).norm()) > 0.999 and float((common @ space[1]).norm()) > 0.999
    assert found.rows[0][0] == "0" and float(found.rows[0][3]) > 0.99 > float(found.rows[0][2])


# VTI's directions.


def test_the_mean_difference_leads_with_a_unit_component_in_one_sign():
    rng = torch.Generator().manual_seed(0)
    differences = torch.randn(12, 3, 8, generator=rng) + torch.arange(8.0)
    found = faithful_directions.led(differences)
    together = differences.double().flatten(1)
    added = torch.cat([found.tensors[f"layers.{layer}"][0] for layer in range(3)]).double() - together.mean(dim=0)
    assert float(added.norm()) == pytest.approx(1, abs=1e-5)
    scores = (together - together.mean(dim=0)) @ added
    assert float(scores.square().sum()) == pytest.approx(
        float(torch.linalg.svdvals(together - together.mean(dim=0))[0]) ** 2, rel=1e-5
    )
    assert float(scores[scores.abs().argmax()]) > 0
    assert [row[0] for row in found.rows] == ["0", "1", "2"]


def test_a_copy_hides_nearly_all_patches_and_others_in_each_picture():
    pixels = torch.randn(2, 3, 42, 41, generator=torch.Generator().manual_seed(0))
    found = stable_features.hidden(pixels, 4, torch.Generator().manual_seed(1))
    shown = (found == pixels).all(dim=1)
    patches = shown[:, :40, :40].unfold(1, 4, 4).unfold(2, 4, 4).flatten(3).all(-1)
    assert patches.flatten(1).sum(dim=1).tolist() == [1, 1]
    assert not torch.equal(patches[0], patches[1])
    assert bool(shown[:, 40:].all() and shown[:, :, 40:].all()), "what is no patch stays"
    mean = pixels.mean(dim=(2, 3))
    torch.testing.assert_close(found.where(~shown[:, None], 0.0).sum(dim=(2, 3)), mean * (~shown).sum((1, 2))[:, None])


def test_directions_of_the_encoder_are_of_its_positions_where_these_are_fixed(monkeypatch):
    monkeypatch.setattr(stable_features, "COPIES", 10)
    subjects = [pair.subject for pair in pairs.drawn(2)]
    found = stable_features.directions(questions.host("llava"), subjects)
    assert {name: tuple(one.shape) for name, one in found.items()} == {"encoder.0": (17, 16)}
    for family in ("llava_next", "qwen2_5_vl", "mistral3", "lfm2_vl"):
        assert stable_features.directions(questions.host(family), subjects) == {}, family


def test_pairs_differ_in_named_objects_alone():
    for pair in pairs.drawn(12):
        true, false = (mentions_of(caption) for caption in (pair.faithful, pair.hallucinated))
        assert true != false and len(pair.faithful.split()) == pytest.approx(len(pair.hallucinated.split()), abs=3)
        opening = pair.faithful.partition(" with")[0]
        assert pair.hallucinated.startswith(opening)


def mentions_of(caption):
    return {name for name in scenes.NAMES if f" {name}" in caption}


def test_states_are_those_of_the_plain_model_behind_each_layer():
    host = hallu_models.load("demo", device="cpu")
    (pair,) = pairs.drawn(1)
    found = pairs.states(host, pair.subject, pair.faithful)
    tokens = host.tokens(pair.faithful, add_special_tokens=False)["input_ids"]
    inputs = with_answer(processing.encode(host, [pair.subject.conversation()]), tokens)
    with torch.no_grad():
        hidden = host.model(**inputs, output_hidden_states=True).hidden_states
    for layer in range(host.depth - 1):  # transformers gives the last one behind the norm.
        torch.testing.assert_close(found["mean"][layer], hidden[layer + 1][0].mean(dim=0), atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(found["last"][layer], hidden[layer + 1][0, -1], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("method", "said"), [("nullu", "layers=4-7,rank=4"), ("vti", "layers=0-7")])
def test_its_directions_are_what_a_run_uses(method, said, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(stable_features, "COPIES", 10)
    output = tmp_path / "demo.safetensors"
    assert cli.main(["calibrate", "--method", method, "--limit", "8", "--output", str(output)]) == 0
    printed = capsys.readouterr().out
    assert f"--model llava_{method} --model_args pretrained=demo,directions={output}" in printed
    kind = getattr(models, f"llava_{method}")
    run = kind(pretrained="demo", device="cpu", directions=str(output)).run
    assert said in run["parameters"] and "directions_sha256=" in run["parameters"]
    assert Directions.of(str(output), method).facts["pairs"] == "8"


def test_pairs_of_the_user(tmp_path, capsys):
    prompts.drawn(1)[0].image.save(tmp_path / "a.png")
    captions = tmp_path / "pairs.jsonl"
    line = {"image": "a.png", "faithful": "A cat.", "hallucinated": "A dog."}
    captions.write_text(json.dumps({**line, "prompt": "What?"}) + "\n", encoding="utf-8")
    (pair,) = pairs.of_file(captions)
    assert (pair.subject.prompt, pair.faithful, pair.hallucinated) == ("What?", "A cat.", "A dog.")
    assert cli.main(["calibrate", "--method", "nullu", "--captions", str(captions)]) == 2
    assert "1 pairs are too few; give at least 8" in capsys.readouterr().err
    for wrong, said in (({"faithful": 3}, "two captions of the image"), ({"hallucinated": "A cat."}, "same caption")):
        captions.write_text(json.dumps({**line, **wrong}), encoding="utf-8")
        with pytest.raises(ValueError, match=f"line 1: .*{said}"):
            pairs.of_file(captions)


# The command.


def test_what_it_writes_is_what_a_run_uses(tmp_path, capsys):
    output = tmp_path / "demo.yaml"
    assert cli.main(["calibrate", "--method", "vhr", "--limit", "16", "--output", str(output)]) == 0
    printed = capsys.readouterr().out
    written = preset_file.read(output)
    assert f"layers={written.parameters['layers']}, over 16 prompts" in printed
    assert f"--model llava_vhr --model_args pretrained=demo,preset={output}" in printed
    assert written.how.startswith(vision_layers.RULE) and "16 prompts (drawn scenes)" in written.how
    assert len(written.measured) == written.depth == 8
    run = models.llava_vhr(pretrained="demo", device="cpu", preset=str(output)).run
    assert run["parameters"] == f"alpha=2,layers={written.parameters['layers']},top_k=0,variant=paper"


def test_images_and_prompts_of_the_user(tmp_path, capsys):
    lines = []
    for number, subject in enumerate(prompts.drawn(9)):
        subject.image.save(tmp_path / f"{number}.png")
        lines.append(json.dumps({"image": f"{number}.png", "caption": "not needed", "prompt": f"Is it {number}?"}))
    captions = tmp_path / "captions.jsonl"
    captions.write_text("\n".join(lines), encoding="utf-8")
    assert [subject.prompt for subject in prompts.of_file(captions, 2)] == ["Is it 0?", "Is it 1?"]
    assert cli.main(["calibrate", "--method", "vhr", "--captions", str(captions), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["depth"] == 8 and f"9 prompts ({captions})" in found["how"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--method", "eah"], "--method eah: nothing is known to measure for it; allowed: vhr, ad_hh"),
        (
            ["--method", "vhr", "--model_args", "trust_remote_code=on"],
            "trust_remote_code=on is neither true nor false",
        ),
        (
            ["--method", "vhr", "--model_args", "pretrained=demo,alpha=2"],
            "--model_args alpha: expected name=value with",
        ),
        (["--method", "vhr", "--limit", "0"], "--limit 0: a whole number of at least 1"),
        (["--method", "vhr", "--output", "a.json"], "ends in .yaml"),
        (["--method", "nullu", "--output", "a.yaml"], "the name of a file of directions ends in .safetensors"),
        (["--method", "vhr", "--output", "nowhere/a.yaml"], "does not exist"),
        (["--method", "vhr", "--captions", "nowhere.jsonl"], "--captions nowhere.jsonl: cannot be read"),
    ],
)
def test_bad_calls_are_refused_before_the_model_is_loaded(given, message, capsys, monkeypatch):
    monkeypatch.setattr("hallu_models.loading.load", lambda **_: pytest.fail("the model was loaded"))
    assert cli.main(["calibrate", *given]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"image_id": 1, "caption": "a cat"}', "line 2: expected"),
        ("[]", "line 2: expected"),
        ("not json", "line 2: Expecting value"),
        ('{"image": "none.png"}', "line 2: --image .*none.png: no such file"),
        ('{"image": "a.png", "objects": "cat"}', 'line 2: "objects" must be a list of COCO categories'),
        ('{"image": "a.png", "objects": ["kitten"]}', "line 2: .*kitten"),
    ],
)
def test_a_bad_line_is_named(tmp_path, line, message):
    prompts.drawn(1)[0].image.save(tmp_path / "a.png")
    path = tmp_path / "captions.jsonl"
    path.write_text(f'{{"image": "a.png"}}\n{line}\n', encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        prompts.of_file(path)


def test_too_few_prompts_and_layers_that_do_not_stand_out_are_named(tmp_path, capsys, monkeypatch):
    assert cli.main(["calibrate", "--method", "vhr", "--limit", "3"]) == 2
    assert "3 prompts are too few" in capsys.readouterr().err
    flat = vision_layers.Standing(np.ones(8), np.full(8, 0.9), np.full(8, 1.1), ((),) * 8)
    monkeypatch.setattr(vision_layers, "measure", lambda *_: flat)
    output = tmp_path / "none.yaml"
    assert cli.main(["calibrate", "--method", "vhr", "--output", str(output)]) == 2
    assert "nothing stands out over 64 prompts" in capsys.readouterr().err
    assert not output.exists()


def test_help_states_the_rule_and_its_limits_without_torch():
    script = (
        "import sys, contextlib, io\nfrom registry.commands import cli\n"
        "with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.suppress(SystemExit):\n"
        "    cli.main(['calibrate', '--help'])\n"
        "assert all(f'the rule for {name}' in out.getvalue() for name in ('vhr', 'ad_hh', 'nullu', 'vti'))\n"
        "assert 'their limits' in out.getvalue()\n"
        "print(sorted({'torch', 'transformers'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# The file.


def test_its_values_are_defaults_that_arguments_override(file):
    assert methods.check("vhr", {"preset": file}) == {"vhr": {"layers": "4-6", "alpha": 1.5}}
    assert methods.check("vhr", {"preset": file, "alpha": "3"}) == {"vhr": {"layers": "4-6", "alpha": 3.0}}
    assert methods.check("eah+vhr", {"preset": file, "vhr.layers": "7"})["vhr"] == {"layers": "7", "alpha": 1.5}
    (item,) = methods.build("vhr", "llava", 8, {"preset": file})
    assert (item.layers, item.alpha) == ("4-6", 1.5)


def test_it_is_read_once_and_what_was_parsed_is_bound_as_it_is(file):
    parsed = methods.parse("vhr", {"preset": file, "alpha": "3"})
    Path(file).unlink()
    (item,) = methods.build("vhr", "llava", 8, parsed)
    assert (item.layers, item.alpha) == ("4-6", 3.0)
    assert methods.scaled_layers("vhr", "llava", 8, parsed) == []
    with pytest.raises(BadArgument, match="found on demo with 8 layers, and this model has 32"):
        methods.build("vhr", "llava", 32, parsed)


def test_a_method_s_own_parameter_of_the_same_name_is_not_a_file():
    assert methods.check("sevi", {"preset": "focused"}) == {"sevi": {"preset": "focused"}}


@pytest.mark.parametrize(
    ("method", "depth", "preset", "message"),
    [
        ("eah", 8, None, "holds parameters of vhr, and the method in use is eah"),
        (None, 8, None, "the method in use is none"),
        ("vhr", 32, None, "found on demo with 8 layers, and this model has 32; run `hallu calibrate --method vhr`"),
        ("vhr", 8, "strong", "preset=strong is no preset file: its name ends in .yaml"),
    ],
)
def test_a_file_of_another_method_or_model_is_refused(file, method, depth, preset, message):
    with pytest.raises(BadArgument, match=message):
        methods.build(method, "llava", depth, {"preset": preset or file})


@pytest.fixture
def checkpoint(tmp_path):
    """A folder as a checkpoint's, with the preset of vhr."""
    (tmp_path / "presets").mkdir()
    (tmp_path / "presets" / "vhr.yaml").write_text(PRESET.text(), encoding="utf-8")
    return tmp_path


def test_one_in_the_checkpoint_s_folder_is_used_and_told(checkpoint):
    (item,) = methods.build("vhr", "llava", 8, {}, checkpoint)
    assert (item.layers, item.alpha) == ("4-6", 1.5)
    first, second = methods.build("eah+vhr", "llava", 8, {"vhr.alpha": 3}, checkpoint)
    assert (second.layers, second.alpha, first) == ("4-6", 3.0, methods.build("eah", "llava", 8, {})[0])
    (told,) = methods.found_beside("eah+vhr", {}, checkpoint)
    assert told.startswith("vhr: alpha=1.5,layers=4-6 from presets/ in the checkpoint's folder")
    assert methods.found_beside("eah", {}, checkpoint) == []


def test_a_named_one_stands_in_its_place(checkpoint, tmp_path):
    other = tmp_path / "other.yaml"
    other.write_text(dataclasses.replace(PRESET, parameters={"alpha": 4.0}).text(), encoding="utf-8")
    (item,) = methods.build("vhr", "llava", 8, {"preset": str(other)}, checkpoint)
    assert item.alpha == 4.0 and item.layers != "4-6"
    assert methods.found_beside("vhr", {"preset": str(other)}, checkpoint) == []


def test_one_beside_that_does_not_fit_is_named(checkpoint):
    with pytest.raises(BadArgument, match="found on demo with 8 layers, and this model has 32"):
        methods.build("vhr", "llava", 32, {}, checkpoint)
    (checkpoint / "presets" / "eah.yaml").write_text(PRESET.text(), encoding="utf-8")
    with pytest.raises(BadArgument, match="eah.yaml holds parameters of vhr; name it vhr.yaml, or delete it"):
        methods.build("eah", "llava", 8, {}, checkpoint)


def test_directions_in_the_checkpoint_s_folder_are_used_too(checkpoint):
    (checkpoint / "presets" / "nullu.safetensors").write_bytes(b"")
    with pytest.raises(BadArgument, match=f"nullu: directions={checkpoint}/presets/nullu.safetensors cannot be read"):
        methods.build("nullu", "llava", 8, {}, checkpoint)
    (item,) = methods.build("nullu", "llava", 8, {"directions": "random:1"}, checkpoint)
    assert item.directions == "random:1"


def test_the_demo_model_has_what_its_methods_need():
    host = hallu_models.load("demo")
    assert host.checkpoint is not None and host.checkpoint.name == "checkpoint"
    picture = held_out.held_out(number=1)[0].image()
    question = hallu_models.conversation(picture, "Please describe this image in detail.")
    with hallu_models.attach(host, "ad_hh") as session:
        assert session.interventions[0].heads == "L5H3"
    for method in ("ad_hh", "nullu", "vti"):
        assert host.generate([question], method=method, max_new_tokens=4)[0].text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"depth": None}, "depth: None is not a whole number"),
        ({"method": ""}, "method: is missing"),
        ({"parameters": {}}, "parameters: is missing"),
        ({"layers": "1"}, "layers: unknown key"),
    ],
)
def test_a_malformed_file_is_named_with_its_key(tmp_path, change, message):
    import yaml

    path = tmp_path / "bad.yaml"
    path.write_text(yaml.safe_dump({**vars(PRESET), **change}), encoding="utf-8")
    with pytest.raises(CardError, match=rf"bad\.yaml: {message}"):
        methods.check("vhr", {"preset": str(path)})


def test_a_missing_file_and_a_wrong_value_in_it_are_named(tmp_path):
    with pytest.raises(CardError, match=r"nowhere\.yaml: cannot be read"):
        methods.check("vhr", {"preset": str(tmp_path / "nowhere.yaml")})
    path = tmp_path / "bad.yaml"
    path.write_text(PRESET.text().replace("1.5", "loud"), encoding="utf-8")
    with pytest.raises(BadArgument, match="vhr: alpha=loud is not a number"):
        methods.check("vhr", {"preset": str(path)})
