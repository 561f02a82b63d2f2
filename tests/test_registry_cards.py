"""Cards and families: the shipped files are complete, malformed ones are refused with file and key."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import pytest
import yaml

import registry
from registry.arguments import params
from registry.cards import built_in, layers
from registry.errors import BadArgument, CardError
from registry.model_families import family
from registry.plugins import lazy

MINIMAL: dict[str, Any] = {
    "title": "T",
    "paper": {"title": "P", "arxiv": "2401.00001", "venue": "V 2024", "year": 2024},
    "fidelity": "paper",
    "summary": "S",
    "mechanism": ["One step. [P]"],
    "cost": "none",
    "implementation": "package.module:Class",
    "identity": {"alpha": 1.0},
    "parameters": {"alpha": {"default": 2.0, "low": 0, "source": "[P]", "text": "A factor."}},
    "version": 1,
}


def write(folder: Path, changes: dict[str, Any]) -> Path:
    """MINIMAL with dotted keys replaced; the value ``...`` deletes a key."""
    data = yaml.safe_load(yaml.safe_dump(MINIMAL))
    for dotted, value in changes.items():
        *outer, last = dotted.split(".")
        place = data
        for key in outer:
            place = place.setdefault(key, {})
        if value is ...:
            del place[last]
        else:
            place[last] = value
    file = folder / "example.yaml"
    file.write_text(yaml.safe_dump(data), encoding="utf-8")
    return file


def test_a_minimal_card_is_read(tmp_path: Path) -> None:
    card = built_in.read(write(tmp_path, {}))
    assert card.name == "example"
    assert card.paper is not None
    assert card.paper.url == "https://arxiv.org/abs/2401.00001"
    assert card.settings("anything") == {"alpha": 2.0}
    assert (card.deviations, card.notes, card.published, dict(card.presets)) == ((), (), (), {})


@pytest.mark.parametrize(
    ("changes", "key", "problem"),
    [
        ({"title": ...}, "title", "is missing"),
        ({"summary": 3}, "summary", "is not text"),
        ({"costs": "x"}, "costs", "unknown key (did you mean cost"),
        ({"paper.year": "2024"}, "paper.year", "is not a whole number"),
        ({"paper.arxiv": ...}, "paper.url", "is missing"),
        ({"paper.pages": 3}, "paper.pages", "unknown key"),
        ({"fidelity": "exact"}, "fidelity", "is not one of paper, reconstructed, port"),
        ({"fidelity": "third-party"}, "fidelity", "is not one of"),
        ({"fidelity": "reconstructed"}, "fidelity", '"[?]"'),
        ({"mechanism": []}, "mechanism", "is missing"),
        ({"mechanism": ["No source."]}, "mechanism[0]", "[P], [C], [3] or [?]"),
        ({"implementation": "module"}, "implementation", "package.module:Class"),
        ({"identity": {}}, "identity", "is missing"),
        ({"identity": {"beta": 1}}, "identity.beta", "is not a parameter of this method; it has: alpha"),
        ({"identity.alpha": -1.0}, "identity.alpha", "is out of range; allowed: a number >= 0"),
        ({"presets.llava.alpha": "two"}, "presets.llava.alpha", "is not a number"),
        ({"presets.llava": 3}, "presets.llava", "is not a mapping"),
        ({"parameters.alpha": 3}, "parameters.alpha", "is not a mapping"),
        ({"parameters.alpha.default": ...}, "parameters.alpha.default", "is missing"),
        ({"parameters.alpha.default": -2.0}, "parameters.alpha.default", "is out of range"),
        ({"parameters.alpha.low": "zero"}, "parameters.alpha.low", "is not a number"),
        ({"parameters.alpha.text": ...}, "parameters.alpha.text", "is missing"),
        ({"parameters.alpha.source": "P"}, "parameters.alpha.source", "write"),
        ({"parameters.alpha.source": "[Q]"}, "parameters.alpha.source", "is not a source"),
        ({"parameters.alpha.kind": "float"}, "parameters.alpha.kind", "is not one of number"),
        ({"parameters.alpha.choices": "auto"}, "parameters.alpha.choices", "is not a list"),
        (
            {"published": [{"source": "a", "model": "b", "setting": "c"}]},
            "published[0].numbers",
            "is missing",
        ),
        (
            {"published": [{"source": "a", "model": "b", "setting": "c", "numbers": {"f1": "high"}}]},
            "published[0].numbers.f1",
            "is not a number",
        ),
        *(
            (
                {
                    "published": [
                        {"source": "a", "model": "b", "setting": "c", "numbers": {"f1": 1}, "protocol": protocol}
                    ]
                },
                f"published[0].protocol{key}",
                problem,
            )
            for protocol, key, problem in (
                ({"benchmark": "vqa"}, ".benchmark", "'vqa' is not one of chair, pope, mme, amber_generative"),
                ({"benchmark": "chair", "decoding": "fast"}, ".decoding", "'fast' is not one of greedy, beams"),
                ({"benchmark": "chair", "strategy": "random"}, ".strategy", "is for benchmark: pope alone"),
                ({"benchmark": "chair", "beams": 5}, ".beams", "is for decoding: beams alone"),
                ({"benchmark": "chair", "images": 0}, ".images", "0 is below 1"),
                ({"benchmark": "chair", "max_new_tokens": "512"}, ".max_new_tokens", "is not a whole number"),
                ({"benchmark": "chair", "tokens": 512}, ".tokens", "unknown key"),
                ({"parameters": {"beta": 1}}, ".parameters.beta", "is not a parameter of this method; it has: alpha"),
                ({"parameters": {"alpha": -1.0}}, ".parameters.alpha", "is out of range"),
            )
        ),
        ({"version": "1"}, "version", "is not a whole number"),
        (
            {"uses": ["attention", "eyes"]},
            "uses[1]",
            "'eyes' is not one of attention, feed_forward, fixed_encoder, image_grid",
        ),
        ({"control": "yes"}, "control", "is neither true nor false"),
        ({"shams": ["sham_hands"]}, "shams[0]", "'sham_hands' is not one of the controls: sham_brief, sham_cut, "),
        ({"shams": ["vhr"]}, "shams[0]", "'vhr' is not one of the controls: sham_brief, sham_cut, "),
        ({"shams": ["sham_cut"], "control": True}, "shams", "a control is a sham itself and has none"),
        ({"like": "vhr"}, "like", "is for controls; a method names its controls under shams"),
        ({"like": "hvr", "control": True}, "like", "'hvr' is not one of ad_hh, "),
        ({"fidelity": "ours"}, "fidelity", "ours is for controls"),
        ({"paper": ..., "control": False}, "paper", "is missing"),
    ],
)
def test_a_malformed_card_names_file_and_key(tmp_path: Path, changes: dict[str, Any], key: str, problem: str) -> None:
    file = write(tmp_path, changes)
    with pytest.raises(CardError) as caught:
        built_in.read(file)
    assert str(caught.value).startswith(f"{file}: {key}: ")
    assert problem in str(caught.value)


@pytest.mark.parametrize("text", ["a: [", "- a", ""])
def test_a_file_that_is_no_mapping_names_the_file(tmp_path: Path, text: str) -> None:
    file = tmp_path / "broken.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(CardError, match=r"broken\.yaml"):
        built_in.read(file)


def test_a_reconstruction_says_how_sure_it_is(tmp_path: Path) -> None:
    card = built_in.read(write(tmp_path, {"fidelity": "reconstructed", "parameters.alpha.source": "[P, ? 45 %]"}))
    (parameter,) = card.parameters
    assert (parameter.source, parameter.confidence, parameter.provenance) == (("P", "?"), 45, "[P, ? 45 %]")


def test_settings_are_defaults_overlaid_with_the_family_s_preset(tmp_path: Path) -> None:
    beta = {"default": 0.1, "source": "[C]", "text": "A cut."}
    card = built_in.read(write(tmp_path, {"parameters.beta": beta, "presets.llava.alpha": 3.0}))
    assert card.settings("llava") == {"alpha": 3.0, "beta": 0.1}
    assert card.settings() == card.settings("qwen") == {"alpha": 2.0, "beta": 0.1}


@pytest.mark.parametrize("name", built_in.names())
def test_every_shipped_card_is_sound(name: str) -> None:
    card = built_in.load(name)
    assert card.implementation.startswith(f"hallu_models.interventions.{name}:")
    assert (card.paper is None) == (card.fidelity == "ours")
    assert card.paper is None or card.paper.url.startswith("https://")
    assert "\n" not in card.summary
    assert len(card.summary) <= 120
    assert len(card.cost) <= 120
    for row in card.published:
        assert set(row.baseline) <= set(row.numbers)


@pytest.mark.parametrize("name", built_in.names())
def test_every_method_names_its_shams(name: str) -> None:
    card = built_in.load(name)
    assert bool(card.shams) != card.control
    assert len(set(card.shams)) == len(card.shams)


CONTROLS = [name for name in built_in.names() if built_in.load(name).control]


def test_every_control_is_the_sham_of_a_method() -> None:
    named = {sham for name in built_in.names() for sham in built_in.load(name).shams}
    assert named == set(CONTROLS)


@pytest.mark.parametrize("name", [name for name in CONTROLS if built_in.load(name).like])
def test_a_control_has_the_settings_of_the_method_that_it_is_like(name: str) -> None:
    card = built_in.load(name)
    other = built_in.load(str(card.like))
    assert name in other.shams
    shared = {parameter.name for parameter in card.parameters} & {parameter.name for parameter in other.parameters}
    assert shared - {"layers"}
    for family_name in (None, "llava", "llava_next", "instructblip", "qwen2_5_vl"):
        ours, theirs = card.settings(family_name), other.settings(family_name)
        assert {key: ours[key] for key in shared} == {key: theirs[key] for key in shared}


def test_vhr_has_the_paper_s_settings() -> None:
    card = built_in.load("vhr")
    assert card.fidelity == "paper"
    assert card.identity == {"alpha": 1.0}
    llava, instructblip = card.settings("llava"), card.settings("instructblip")
    assert llava == {"alpha": 2.0, "layers": "1+last:14/32", "variant": "paper", "top_k": 0}
    assert layers.resolve(str(llava["layers"]), 32) == (1, *range(18, 32))
    assert layers.resolve(str(instructblip["layers"]), 32) == tuple(range(14, 32))
    ablation = {row.setting: row.numbers for row in card.published if "ablation" in row.source}
    assert ablation["CHAIR alpha=3"] == {"chair_s": 27.0, "chair_i": 8.7}


@pytest.mark.parametrize(
    ("name", "fidelity", "identity"),
    [
        ("ad_hh", "paper", {"heads": "L1H0+L2H1", "threshold": 1.1}),
        ("eah", "paper", {"beta": math.inf}),
        ("iava", "reconstructed", {"alpha": 0.0}),
        ("dleaf", "reconstructed", {"gamma": 0.0}),
        ("sevi", "paper", {"omega": 0.0, "cicd": False}),
        ("cicd", "paper", {"alpha_max": 0.0}),
    ],
)
def test_cards_name_fidelity_and_identity(name: str, fidelity: str, identity: dict[str, object]) -> None:
    card = built_in.load(name)
    assert (card.fidelity, card.identity) == (fidelity, identity)


@pytest.mark.parametrize(
    ("name", "resolved"),
    [
        ("eah", (1,)),
        ("iava", tuple(range(32))),
        ("dleaf", tuple(range(2, 32))),
        ("sevi", tuple(range(8, 32))),
        ("cicd", ()),
    ],
)
def test_layers_hold_for_every_family(name: str, resolved: tuple[int, ...]) -> None:
    card = built_in.load(name)
    for family_name in (None, "llava", "llava_next", "instructblip", "another"):
        assert layers.resolve(card.settings(family_name)["layers"], 32) == resolved


@pytest.mark.parametrize("name", built_in.names())
def test_parameters_are_the_fields_of_the_method_with_their_defaults(name: str) -> None:
    card = built_in.load(name)
    fields = {field.name: field.default for field in dataclasses.fields(lazy.resolve(name))}
    described = {parameter.name: parameter.default for parameter in card.parameters}
    assert described.keys() == fields.keys()
    if fields["layers"] == layers.AUTO:
        # auto stands for the card's own rule, which a card has to spell out.
        assert described.pop("layers") != fields.pop("layers")
    typed = {key: (type(value), value) for key, value in described.items()}
    assert typed == {key: (type(fields[key]), fields[key]) for key in described}


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("eah", {"beta": "auto"}, {"beta": "auto"}),
        ("eah", {"beta": "inf"}, {"beta": math.inf}),
        ("iava", {"i": "auto"}, {"i": "auto"}),
        ("iava", {"i": 100}, {"i": 100.0}),
        ("iava", {"lam": "inf"}, {"lam": math.inf}),
        ("iava", {"lam": -0.1}, {"lam": -0.1}),
        ("sevi", {"omega": -1.0, "start_layer": -1.0}, {"omega": -1.0, "start_layer": -1}),
        ("cicd", {"layers": "none"}, {"layers": ""}),
    ],
)
def test_cards_accept(name: str, values: dict[str, object], expected: dict[str, object]) -> None:
    assert params.coerce(lazy.resolve(name), values, card=built_in.load(name), method=name) == expected


@pytest.mark.parametrize(
    ("name", "values", "allowed"),
    [
        ("eah", {"beta": 0}, "auto or a number > 0, inf included (default 0.002)"),
        ("eah", {"beta": "best"}, "auto or a number > 0, inf included (default 0.002)"),
        ("iava", {"i": 0}, "auto or a number > 0 (default 0.1736)"),
        ("iava", {"i": "all"}, "auto or a number > 0 (default 0.1736)"),
        ("iava", {"lam": "-inf"}, "a number, inf included (default 0)"),
        ("iava", {"alpha": -1.0}, "a number >= 0 (default 1)"),
        ("iava", {"beta": 0}, "a number > 0 and <= 1 (default 0.1)"),
        ("dleaf", {"gamma": 1.5}, "a number from 0 to 1 (default 0.9)"),
        ("dleaf", {"k": -1.0}, "a number >= 0 (default 1)"),
        ("dleaf", {"bottom": -1.0}, "a whole number >= 0 (default 0)"),
        ("sevi", {"kappa": 1}, "a number > 0 and < 1 (default 0.2)"),
        ("sevi", {"omega": -0.5}, "-1 or a number >= 0 (default -1)"),
        ("sevi", {"start_layer": -2.0}, "-1 or a whole number >= 0 (default -1)"),
        ("cicd", {"alpha_max": -1.0}, "a number >= 0 (default 3)"),
        ("cicd", {"layers": 5}, "empty, for the method edits no layer (default empty)"),
    ],
)
def test_cards_refuse(name: str, values: dict[str, object], allowed: str) -> None:
    with pytest.raises(BadArgument) as caught:
        params.coerce(lazy.resolve(name), values, card=built_in.load(name), method=name)
    assert str(caught.value).endswith(f"; allowed: {allowed}")


def test_facade_gives_copies_with_built_in_methods_first() -> None:
    methods = registry.methods()
    assert list(methods)[: len(built_in.names())] == list(built_in.names())
    methods.clear()
    assert "vhr" in registry.methods()


def test_families_are_found_by_model_type() -> None:
    llava = registry.families()["llava"]
    assert family.by_model_type("llava") is llava
    assert llava.checkpoint == "llava-hf/llava-1.5-7b-hf"
    assert family.by_model_type("bert") is None
    assert "hallu" not in registry.families()


def test_what_a_family_refuses_follows_from_what_a_method_uses() -> None:
    refused, limited = family.Cell("refused", "no heads"), family.Cell("limited", "by size")
    row = dataclasses.replace(registry.families()["llava"], uses={"other_images": limited, "attention": refused})
    card = dataclasses.replace(built_in.load("vhr"), uses=())
    assert row.cell(card) == family.WORKS
    assert row.cell(dataclasses.replace(card, uses=("other_images",))) == limited
    assert row.cell(dataclasses.replace(card, uses=("other_images", "attention"))) == refused
    assert row.cell(dataclasses.replace(card, uses=("image_grid",))) == family.WORKS
    assert dataclasses.replace(row, uses={family.ANYTHING: limited}).cell(card) == limited


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: {title: A, checkpoint: x/a}", "a.model_types: is missing"),
        (
            "a: {title: A, checkpoint: x/a, model_types: [a], uses: {vhr: {refused: R}}}",
            "a.uses.vhr: is not one of attention, feed_forward, fixed_encoder, image_grid, norms_in_front, "
            "other_images, anything",
        ),
        ("a: {title: A, checkpoint: x/a, model_types: [t], kind: k}", "a.kind: unknown key"),
        (
            "a: {title: A, checkpoint: x/a, model_types: [t]}\nb: {title: B, checkpoint: x/b, model_types: [t]}",
            "b.model_types: t belongs to a already",
        ),
    ],
)
def test_a_malformed_family_names_file_and_key(tmp_path: Path, text: str, problem: str) -> None:
    file = tmp_path / "families.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(CardError) as caught:
        family.read(file)
    assert str(caught.value) == f"{file}: {problem}"
