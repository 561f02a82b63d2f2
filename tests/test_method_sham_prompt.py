"""sham_prompt beyond the contract: what is asked, and where only model inputs are given."""

from __future__ import annotations

import pytest
import torch

import hallu_models
from hallu_models import generation, processing
from hallu_models.conversations import request_of, with_text_behind
from hallu_models.demo.held_out import held_out
from hallu_models.interventions.sham_prompt import ShamPrompt

HINT = "Answer yes whenever possible."
QUESTION = "Is there a dog in the image?\nAnswer the question using a single word or phrase."


@pytest.fixture(scope="module")
def host():
    return hallu_models.load("demo", device="cpu")


@pytest.fixture(scope="module")
def asked():
    return [hallu_models.conversation(scene.image(), QUESTION) for scene in held_out(number=3)]


def texts(answers):
    return [(one.token_ids, one.prompt_tokens) for one in answers]


def test_the_sentence_stands_behind_the_latest_question(asked):
    two = [*asked[0], {"role": "assistant", "content": "No"}, {"role": "user", "content": "Are you sure?"}]
    assert request_of(ShamPrompt().question(asked[0])) == f"{QUESTION} {HINT}"
    before, *_, behind = ShamPrompt().question(two)
    assert (before, behind["content"]) == (asked[0][0], f"Are you sure? {HINT}")
    assert request_of(asked[0]) == QUESTION, "what was given stays as it is"
    picture = asked[0][0]["content"][0]
    parts = [{"type": "text", "text": "A dog?"}, picture]
    assert with_text_behind([{"role": "user", "content": parts}], "Yes.")[0]["content"] == [
        {"type": "text", "text": "A dog? Yes."},
        picture,
    ]
    assert with_text_behind([{"role": "user", "content": [picture]}], "Yes.")[0]["content"][1]["text"] == "Yes."


def test_it_is_the_plain_model_asked_so(host, asked):
    longer = [hallu_models.conversation(picture_of(one), f"{QUESTION} {HINT}") for one in asked]
    assert texts(host.generate(asked, "sham_prompt", max_new_tokens=6)) == texts(
        host.generate(longer, max_new_tokens=6)
    )
    assert texts(host.generate(asked, "sham_prompt", sentence="", max_new_tokens=6)) == texts(
        host.generate(asked, max_new_tokens=6)
    )


def picture_of(messages):
    return messages[0]["content"][0]["image"]


def test_a_conversation_without_an_image_is_asked_as_it_is(host):
    text = [hallu_models.conversation(None, QUESTION)]
    assert texts(host.generate(text, "sham_prompt", max_new_tokens=4)) == texts(host.generate(text, max_new_tokens=4))


def test_it_goes_together_with_other_methods(host, asked):
    longer = [hallu_models.conversation(picture_of(one), f"{QUESTION} {HINT}") for one in asked]
    found = host.generate(asked, "sham_prompt+vhr", max_new_tokens=6)
    assert texts(found) == texts(host.generate(longer, "vhr", max_new_tokens=6))


def test_model_inputs_alone_are_refused_by_name(host, asked):
    inputs = processing.encode(host, asked)
    said = r"sham_prompt asks the question in other words, so it needs conversations: use Host.generate\(\)"
    with torch.no_grad(), hallu_models.attach(host, "sham_prompt") as session:
        with pytest.raises(ValueError, match=said):
            host.model.generate(**inputs, max_new_tokens=2)
        with pytest.raises(ValueError, match=said):
            host.model(**inputs)
        # Conversations are taken in the same session, also several beams of them; other inputs behind them are not.
        assert len(generation.generate_in(session, asked, max_new_tokens=2, num_beams=2)) == 3
        with pytest.raises(ValueError, match=said):
            host.model.generate(**inputs, max_new_tokens=2)
    with torch.no_grad():
        assert host.model.generate(**inputs, max_new_tokens=2).shape[0] == 3, "nothing is left behind"


def test_lmms_eval_s_model_asks_so_too(tmp_path, monkeypatch):
    from test_adapter import requests

    from hallu_models import models

    monkeypatch.setenv("HALLU_RECOVERY", str(tmp_path))

    def said(model_id, text):
        model = getattr(models, model_id)(pretrained="demo", device="cpu", batch_size=3)
        documents = [{"image": number, "text": text} for number in range(3)]
        return [str(answer.text) for answer in model.generate_until(requests(model, documents))]

    expected = said("llava_base", f"{QUESTION} {HINT}")
    assert said("llava_sham_prompt", QUESTION) == expected
    assert said("llava_base", QUESTION) != expected
