"""`hallu calibrate --method ad_hh --variant official`: what the released code measures, and what becomes of it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import hallu_models
from hallu_models import processing
from hallu_models.calibrate import hallucination_heads, prompts, released_heads
from hallu_models.hosts import forward
from hallu_models.interventions import ad_hh
from registry.arguments import preset_file
from registry.commands import cli

TOKENS = [11, 12, 13]


@pytest.fixture(scope="module")
def host():
    return hallu_models.load("demo", device="cpu")


@pytest.mark.parametrize("place", [0, 2])
def test_a_head_is_silent_in_the_forward_that_predicts_the_token_alone(host, place):
    """On a cache that was read with all heads."""
    (subject,) = prompts.drawn(1)
    found = released_heads.influence(host, subject, TOKENS, place)
    assert found.shape == (host.depth, host.heads)
    name, given = forward.cache_parameter(host.model.forward), processing.encode(host, [subject.conversation()])

    def probability(silent=None):
        hook = None
        cache, steps = forward.new_cache(host.decoder), [given, *([[token]] for token in TOKENS[:place])]
        with torch.no_grad():
            for number, step in enumerate(steps):
                if silent and number == len(steps) - 1:
                    hook = host.attention[silent[0]].o_proj.register_forward_pre_hook(without(silent[1]))
                inputs = step if number == 0 else {"input_ids": torch.tensor(step)}
                logits = host.model(**inputs, **{name: cache}, use_cache=True).logits[0, -1]
        if hook is not None:
            hook.remove()
        return float(logits.softmax(dim=-1)[TOKENS[place]])

    def without(head):
        def hook(_, args):
            states = args[0].clone()
            size = states.shape[-1] // host.heads
            states[..., head * size : (head + 1) * size] = 0
            return (states,)

        return hook

    for silent in ((3, 5), (0, 0), (host.depth - 1, host.heads - 1)):
        assert found[silent] == pytest.approx(probability() - probability(silent), abs=1e-5)


def test_tokens_are_pooled_over_captions_and_thirty_heads_are_kept():
    wrong, right = np.zeros((5, 4, 10)), np.zeros((2, 4, 10))
    wrong[:, 2, 7] = [0.1, 0.1, 0.1, 0.1, 0.6]
    wrong[:, 3, 3], right[:, 3, 3] = 0.9, 0.8
    right[:, 0, 0] = 0.5
    found = released_heads.standing(wrong, right, 3)
    heads = ad_hh.listed(str(found.parameters["heads"]))
    assert heads[:2] == [(2, 7), (3, 3)] and len(heads) == 30 and (0, 0) not in heads
    assert found.measured["L2H7"] == 0.2 and found.measured["L3H3"] == 0.1
    assert found.prompts == 3


def test_only_captions_that_hallucinate_count(host, monkeypatch):
    captions = iter([([7, 8], [0], [1]), ([7, 8], [], [0]), ([7, 8, 9], [0, 2], [])] * 4)
    monkeypatch.setattr(released_heads, "captioned", lambda *_: next(captions))
    asked = []
    monkeypatch.setattr(
        released_heads, "influence", lambda host, subject, tokens, place: asked.append(place) or np.full((2, 2), place)
    )
    subjects = prompts.drawn(12)
    found = released_heads.find(host, subjects)
    assert asked == [0, 1, 0, 2] * 4 and found.prompts == 8
    assert found.measured["L0H0"] == pytest.approx(2 / 3 - 1, abs=1e-4)


def test_its_preset_is_what_a_run_uses(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(hallucination_heads, "find", lambda *_: pytest.fail("our own rule was used"))
    scores = np.zeros((1, 8, 8))
    scores[:, 5, 3] = 1
    monkeypatch.setattr(released_heads, "find", lambda *_: released_heads.standing(scores, 0 * scores, 9))
    output = tmp_path / "heads.yaml"
    given = ["--method", "ad_hh", "--variant", "official", "--limit", "8", "--output", str(output)]
    assert cli.main(["calibrate", *given]) == 0
    assert "L5H3" in capsys.readouterr().out
    written = preset_file.read(output)
    assert written.how.startswith(released_heads.RULE) and "9 prompts (drawn scenes)" in written.how
    assert str(written.parameters["heads"]).startswith("L5H3+L0H0")


def test_a_method_without_a_released_rule_is_named(capsys):
    assert cli.main(["calibrate", "--method", "vhr", "--variant", "official"]) == 2
    said = "--variant official: the released code of vhr measures nothing; allowed for it: ours"
    assert said in capsys.readouterr().err
