"""ICD beyond the contract: where the role goes, and what stays as it is."""

from __future__ import annotations

import copy
import dataclasses
from dataclasses import dataclass, field
from typing import Any

import pytest

import hallu_models
import registry
from hallu_models import generation, processing
from hallu_models.hosts import processors
from hallu_models.interventions import Negative, Prompt
from hallu_models.interventions.icd import ICD
from hallu_models.testing.questions import conversations, host, picture

ROLE = "the red bus ."
IMAGE = {"type": "image", "image": picture(16, 16, 1)}
ASKED = [{"role": "user", "content": [IMAGE, {"type": "text", "text": "a dog ?"}]}]


@dataclass(frozen=True)
class Kept(ICD):
    seen: list[Any] = field(default_factory=list)

    def negative(self, prompt: Prompt) -> Negative:
        self.seen.append((prompt, super().negative(prompt)))
        return self.seen[-1][1]


def read(family, asked, **parameters):
    """The prompt, and what its negative rows read."""
    method = Kept(role=ROLE, **parameters)
    generation.generate(host(family), asked, method, max_new_tokens=1)
    (found,) = method.seen
    return found


def test_the_role_takes_the_place_of_the_system_text():
    before = [{"role": "system", "content": "be helpful"}, *ASKED, {"role": "assistant", "content": "yes"}]
    role, *rest = ICD(role=ROLE).rewrite(before)
    assert role == {"role": "system", "content": [{"type": "text", "text": ROLE}]}
    assert rest == before[1:]


def test_a_q_former_is_told_the_role_alone_or_in_front_of_the_question():
    alone = ICD(role=ROLE, qformer="replace").rewrite([{"role": "system", "content": "be helpful"}, *ASKED])
    assert alone == [{"role": "user", "content": [IMAGE, {"type": "text", "text": ROLE}]}]
    text = processing.prompt_text(host("instructblip"), ICD(role=ROLE, qformer="prefix").rewrite(ASKED))
    assert text == f"{ROLE} a dog ?"


@pytest.mark.parametrize("qformer", ["replace", "prefix"])
def test_the_language_model_s_prompt_stays(qformer):
    prompt, negative = read("instructblip", conversations([0, 1, 3]), qformer=qformer)
    own, other = prompt.run.prompt.embeddings, negative.inputs.embeddings
    assert ((own != other).any(dim=2) == prompt.layout.image).all()


def test_without_a_q_former_the_prompt_is_longer_by_the_role():
    prompt, negative = read("llava", [ASKED])
    # "system :" and the role, in the template of the tiny model.
    assert negative.inputs.embeddings.shape[1] == prompt.embeddings.shape[1] + 2 + len(ROLE.split())


@pytest.mark.parametrize("family", ["llava", "blip2"])
@pytest.mark.parametrize("qformer", ["replace", "prefix"])
def test_a_model_whose_images_are_read_without_text_is_named(family, qformer):
    with pytest.raises(ValueError, match="^icd: rewriting what a Q-Former reads needs one that reads text"):
        read(family, [ASKED], qformer=qformer)


def test_instructblip_s_preset_is_the_q_former():
    assert registry.methods()["icd"].settings("instructblip")["qformer"] == "replace"
    assert registry.methods()["icd"].settings("llava")["qformer"] == "same"


REFUSES = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}"
LEAVES_OUT = "{% for message in messages if message['role'] == 'user' %}{% for part in message['content'] %}" + (
    "{{ '<image>' if part['type'] == 'image' else part['text'] }} {% endfor %}{% endfor %}"
)


@pytest.mark.parametrize("template", [REFUSES + LEAVES_OUT, LEAVES_OUT], ids=["refuses", "leaves out"])
def test_a_template_without_a_system_text_gets_the_role_in_front_of_the_question(template):
    processor = copy.copy(host("llava").processor)
    processor.chat_template = template
    found = dataclasses.replace(host("llava"), processor=processor)
    asked = processing.with_system_text(found, ICD(role=ROLE).rewrite(ASKED))
    assert asked == [{"role": "user", "content": [IMAGE, {"type": "text", "text": f"{ROLE} a dog ?"}]}]
    plain = processing.with_system_text(found, ICD(role=ROLE).rewrite([{"role": "user", "content": "a dog ?"}]))
    assert plain == [{"role": "user", "content": [{"type": "text", "text": f"{ROLE} a dog ?"}]}]


@pytest.mark.parametrize("family", [name for name, one in registry.families().items() if one.prompt])
def test_a_family_s_own_template_says_a_system_text_in_front(family):
    messages = [
        {"role": one["role"], "content": processing._parts(one["content"])} for one in ICD(role=ROLE).rewrite(ASKED)
    ]
    text = processors.rendered(host("llava").processor, messages, registry.families()[family].prompt)
    before, _, after = text.partition(ROLE)
    assert before.strip("<image>") == ""
    assert after.lstrip() != after or after.startswith("#")
    assert "a dog ?" in after


def test_a_system_text_that_the_caller_gave_is_left_where_it_is():
    """Only a method's own moves; one that a template leaves out is left out of both prompts."""
    processor = copy.copy(host("llava").processor)
    processor.chat_template = LEAVES_OUT
    found = dataclasses.replace(host("llava"), processor=processor)
    asked = [{"role": "system", "content": "be helpful"}, *ASKED]
    method = hallu_models.methods.build("iava", "llava", 4, {})[0]
    made = generation._rewritten(found, method, asked)
    assert made[0] == asked[0]


@pytest.mark.parametrize("parameters", [{"alpha": -1.0}, {"beta": 0.0}, {"qformer": "both"}, {"layers": "1"}])
def test_bad_parameters_are_named(parameters):
    (name,) = parameters
    with pytest.raises(ValueError, match=f"^icd: {name}="):
        ICD(**parameters)
