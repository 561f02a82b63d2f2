"""Names: lazily imported, collisions and unknown names explained; model ids from families and methods."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import registry
from registry.cards import built_in
from registry.errors import BadName, LoadError, NameCollision, UnknownName
from registry.plugins import lazy, model_ids


def test_a_target_is_imported_on_first_use_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lazily_imported.py").write_text("class Thing: pass\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    names = lazy.LazyRegistry()
    names.register("thing", "lazily_imported:Thing", "me")
    assert names.names() == ["thing"]
    assert "thing" in names
    assert len(names) == 1
    assert "lazily_imported" not in sys.modules
    assert names.resolve("thing").__name__ == "Thing"
    sys.modules.pop("lazily_imported")


def test_a_collision_names_both_parties() -> None:
    names = lazy.LazyRegistry()
    names.register("vhr", "a:A", "the built-in card vhr.yaml")
    with pytest.raises(NameCollision, match=r"'vhr' is claimed by the built-in card vhr.yaml and by other 1.0"):
        names.register("vhr", "b:B", "other 1.0")
    assert names.target("vhr") == "a:A"


@pytest.mark.parametrize("name", ["a+b", "A", "a-b", "a.b", "", "1a", "base", "auto"])
def test_names_that_cannot_be_typed_as_an_argument_are_refused(name: str) -> None:
    with pytest.raises(BadName, match="lower-case letters, digits and _"):
        lazy.LazyRegistry().register(name, "a:A", "me")


@pytest.mark.parametrize("target", ["module", "module:", ":Class", "a b:C"])
def test_targets_of_another_form_are_refused(target: str) -> None:
    with pytest.raises(BadName, match=r"package\.module:Class"):
        lazy.LazyRegistry().register("x", target, "me")


def test_an_unknown_name_gets_near_matches_and_the_command_that_lists_all() -> None:
    with pytest.raises(UnknownName) as caught:
        lazy.resolve("vrh")
    assert caught.value.matches[0] == "vhr"
    assert str(caught.value).startswith("unknown method 'vrh' (did you mean vhr")
    assert str(caught.value).endswith("; `hallu methods` lists all of them")
    assert "did you mean" not in str(UnknownName("method", "zzzzz", ["vhr"], "hallu methods"))


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("no_such_module_here:A", "ModuleNotFoundError: No module named 'no_such_module_here'"),
        ("pathlib:NoSuchClass", "AttributeError"),
        ("math:pi", "math:pi is not a class"),
    ],
)
def test_code_that_does_not_load_is_named(target: str, reason: str) -> None:
    names = lazy.LazyRegistry()
    names.register("broken", target, "other 1.0")
    with pytest.raises(LoadError, match=r"the method 'broken' \(other 1.0\)") as caught:
        names.resolve("broken")
    assert reason in str(caught.value)


def test_every_card_is_a_method_and_every_method_a_model_id_of_every_family() -> None:
    methods, families, models = registry.methods(), registry.families(), registry.models()
    assert set(built_in.names()) <= set(methods)
    assert set(models) == {"hallu"} | {f"{f}_{m}" for f in families for m in ("base", *methods)}


def test_model_rows() -> None:
    models = registry.models()
    assert models["llava_vhr"] == model_ids.ModelId("llava_vhr", "llava", "vhr", "hallu_models.models.llava_vhr")
    assert models["llava_base"] == model_ids.ModelId("llava_base", "llava", None, "hallu_models.models.llava_base")
    assert models["hallu"] == model_ids.ModelId("hallu", None, None, "hallu_models.models.hallu")


def test_ids_split_although_families_and_methods_contain_underscores() -> None:
    table = model_ids.build(["llava", "llava_next", "qwen2_5_vl"], ["vhr", "ad_hh"])
    pairs = {name: (row.family, row.method) for name, row in table.items()}
    assert pairs["llava_next_vhr"] == ("llava_next", "vhr")
    assert pairs["qwen2_5_vl_ad_hh"] == ("qwen2_5_vl", "ad_hh")
    assert pairs["llava_ad_hh"] == ("llava", "ad_hh")


def test_of_two_pairs_with_one_spelling_the_first_counts() -> None:
    table = model_ids.build(["llava", "llava_next"], ["vhr", "next_vhr"])
    assert (table["llava_next_vhr"].family, table["llava_next_vhr"].method) == ("llava", "next_vhr")


@pytest.mark.parametrize(
    ("model_id", "expected"),
    [("llava_vhr", ("llava", "vhr")), ("llava_base", ("llava", None)), ("hallu", (None, None))],
)
def test_split(model_id: str, expected: tuple[str | None, str | None]) -> None:
    assert model_ids.split(model_id) == expected


def test_an_unknown_model_id_gets_near_matches() -> None:
    with pytest.raises(UnknownName, match=r"unknown model 'lava_vhr' \(did you mean llava_vhr.*`hallu models`"):
        model_ids.split("lava_vhr")


@pytest.mark.parametrize(("text", "expected"), [("vhr", ("vhr",)), (" vhr ", ("vhr",))])
def test_composition(text: str, expected: tuple[str, ...]) -> None:
    assert lazy.composition(text) == expected
