"""The self-check passes on every family, is made once, and says so."""

from __future__ import annotations

import pytest
import torch
from conftest import MIXED, prompts, tiny_llava
from test_families import ATTENTIVE
from test_session import state_of

import hallu_models
import registry
from hallu_models import self_check
from hallu_models.hosts import forward
from hallu_models.hosts.host import UnsupportedModel
from hallu_models.self_check import proof
from hallu_models.testing.questions import host
from registry.commands import cli

WITHOUT_PARTS = ("auto", "blip2", "gemma3", "glm4v", "paligemma")
SETS = {
    "vhr": (("head outputs", "passes"), None),
    "eah": (("maps",), None),
    "dleaf": (("last row",), None),
    "cicd": (("negative branch",), "paired"),
    "iava": (("passes", "negative branch"), "sequential"),
    "sevi": (("last row", "passes", "negative branch"), "paired"),
    "everything": (tuple(self_check.ENGINES), "paired"),
}
"""The engines of some methods, and how their negative branch runs."""

LACKING = [("blip2", "feed-forward output"), *((name, "parts of layers") for name in WITHOUT_PARTS)]
"""OPT's layers have two matrices beside their attention, and no block of them. Others have more norms, or one."""
PACKED = [(name, "image encoder") for name in ("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "glm4v")]
"""Pictures of any size in one row."""

CELLS = [
    (family, name)
    for family in registry.families()
    if family != "florence2"
    for name in SETS
    if family in ATTENTIVE or name == "cicd"
]


@pytest.mark.parametrize(("family", "name"), CELLS, ids=["-".join(cell) for cell in CELLS])
def test_it_passes_on_every_family(family, name):
    engines, branch = SETS[name]
    engines = tuple(engine for engine in engines if (family, engine) not in (*LACKING, *PACKED))
    assert self_check.check(host(family), engines, branch).largest < 1e-5


@pytest.mark.parametrize(("family", "engine"), LACKING)
def test_what_a_family_lacks_is_refused_by_name(family, engine):
    with pytest.raises(UnsupportedModel, match=f"needs the {engine} of .*: a layer of type .* has . (parts|norms)"):
        self_check.check(host(family), (engine,))


@pytest.mark.parametrize(("family", "engine"), PACKED)
def test_an_encoder_without_fixed_positions_is_refused_by_name(family, engine):
    with pytest.raises(UnsupportedModel, match="the image encoder of .* packs pictures of any size into one row"):
        self_check.check(host(family), (engine,))


@pytest.fixture
def unproven():
    """A host on which nothing was proved yet, and nothing stays proved."""
    found = host("llava")
    proof._PROVEN.pop(found.model, None)
    yield found
    proof._PROVEN.pop(found.model, None)


@pytest.fixture
def runs(monkeypatch):
    """The engines of each check that is made."""
    made, check = [], self_check.check

    def counted(host, engines, *rest):
        made.append(tuple(engines))
        return check(host, engines, *rest)

    monkeypatch.setattr(proof, "check", counted)
    return made


def test_it_is_made_once_a_process_and_model(unproven, runs):
    for _ in range(2):
        with hallu_models.attach(unproven, "vhr", layers="1-3"):
            pass
    with hallu_models.attach(unproven, "dleaf", layers="1-3"):
        pass
    with hallu_models.attach(unproven, "vhr", layers="2", alpha=3.0):
        pass
    assert runs == [("head outputs", "passes"), ("last row",)]


def test_a_method_that_does_nothing_needs_none(unproven, runs):
    with hallu_models.attach(unproven, None):
        pass
    with hallu_models.attach(unproven, "ad_hh", heads=""):
        pass
    assert runs == []


def test_another_backend_and_the_other_branch_are_checked_anew(unproven, runs):
    options = {"other_images": [None]}
    for branch in ("paired", "sequential"):
        with hallu_models.attach(unproven, "cicd", branch=branch, **options):
            pass
    decoder = unproven.decoder
    decoder.set_attn_implementation("eager")
    try:
        with hallu_models.attach(unproven, "cicd", branch="paired", **options):
            pass
    finally:
        decoder.set_attn_implementation("sdpa")
    assert runs == [("negative branch",)] * 3


def test_a_failure_answers_nothing_and_says_what_to_install(unproven, monkeypatch):
    monkeypatch.setattr(forward, "columns_in", lambda cache: 0)
    with pytest.raises(self_check.SelfCheckFailed) as failure, hallu_models.attach(unproven, "vhr", layers="1-3"):
        pytest.fail("the block was entered")
    said = str(failure.value)
    assert "self-check failed on LlavaForConditionalGeneration (head outputs, passes), so nothing was answered" in said
    assert "a generation began, by its empty cache" in said
    assert "Installed: transformers " in said and "pip install " in said and "'transformers" in said
    # Nothing is remembered of a failure.
    monkeypatch.undo()
    with hallu_models.attach(unproven, "vhr", layers="1-3"):
        pass


def test_without_a_processor_the_first_generation_s_inputs_are_used(runs):
    model, batch = tiny_llava(2), prompts(MIXED)
    plain = model.generate(**batch, max_new_tokens=4)
    before = state_of(model)
    with hallu_models.attach(model, "vhr", layers="1-3", alpha=1.0) as session:
        assert runs == []
        assert torch.equal(model.generate(**batch, max_new_tokens=4), plain)
        assert runs == [("head outputs", "passes")]
        model.generate(**batch, max_new_tokens=4)
        assert len(runs) == 1 and session.observations["selected"].values.shape[0] == 4
    assert state_of(model) == before


def test_without_a_processor_a_failure_leaves_the_model_as_it_was(monkeypatch):
    model, batch = tiny_llava(2), prompts(MIXED)
    plain = model.generate(**batch, max_new_tokens=4)
    before = state_of(model)
    monkeypatch.setattr(forward, "columns_in", lambda cache: 0)
    with pytest.raises(self_check.SelfCheckFailed), hallu_models.attach(model, "vhr", layers="1-3"):
        model.generate(**batch, max_new_tokens=4)
    assert state_of(model) == before
    assert torch.equal(model.generate(**batch, max_new_tokens=4), plain)


def test_it_can_be_left_out(unproven, runs):
    with hallu_models.attach(unproven, "vhr", layers="1-3", check=False):
        pass
    assert runs == []


def test_the_random_state_is_as_before(unproven):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    self_check.check(unproven, ("last row",))
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_it_passes_in_half_precision(dtype, attention):
    found = hallu_models.load("demo", dtype=dtype, attn_implementation=attention)
    for engine in self_check.ENGINES:
        passed = self_check.check(found, (engine,), "paired")
        assert passed.largest < proof.TOLERANCE[found.model.dtype]
    for method in ("only", "sid"):
        with hallu_models.attach(found, method):
            pass


def test_doctor_runs_it_on_a_checkpoint(capsys):
    assert cli.main(["doctor", "--quick", "--model_args", "pretrained=demo"]) == 0
    said = capsys.readouterr().out
    for engine in self_check.ENGINES:
        assert f"ok   {engine}" in said
    assert "negative branch, sequential" in said


def test_doctor_says_what_does_not_hold(capsys, monkeypatch):
    monkeypatch.setattr(forward, "columns_in", lambda cache: 0)
    assert cli.main(["doctor", "--quick", "--model_args", "pretrained=demo"]) == 1
    said = capsys.readouterr().out
    assert "BAD  last row" in said and "a generation began, by its empty cache" in said and "fix: " in said


def test_a_proof_says_nothing_that_differs_from_run_to_run(unproven):
    first, second = (self_check.check(unproven, ("last row",)).to_json() for _ in range(2))
    assert (
        first == second == {"passed": True, "engines": ["last row"], "largest_difference": first["largest_difference"]}
    )
