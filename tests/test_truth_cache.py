"""CHAIR's truth is read from the annotation files once, and never from another one's cache."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

import hallu_tasks
from hallu_tasks.chair import truth_cache
from hallu_tasks.scoring import chair

Coco = tuple[Path, Path]

IMAGES = [{"id": 42}, {"id": 7}, {"id": 8}]
CATEGORIES = [{"id": 18, "name": "dog"}, {"id": 6, "name": "bus"}]
TRUTH = {42: {"dog", "person"}, 7: {"bus"}, 8: set()}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HALLU_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "truth"


@pytest.fixture
def coco(tmp_path: Path) -> Coco:
    found = [{"image_id": 42, "category_id": 18}, {"image_id": 7, "category_id": 6}]
    instances, captions = tmp_path / "instances.json", tmp_path / "captions.json"
    instances.write_text(json.dumps({"images": IMAGES, "annotations": found, "categories": CATEGORIES}))
    described(captions, "A man with a dog.")
    return instances, captions


def described(file: Path, caption: str) -> None:
    file.write_text(json.dumps({"annotations": [{"image_id": 42, "caption": caption}]}))


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The modes under which the truth was built, one an occasion."""
    modes: list[str] = []
    build = chair.truth_from_coco

    def noted(instances: Path, captions: Path, mode: str) -> dict[int, set[str]]:
        modes.append(mode)
        return build(instances, captions, mode)

    monkeypatch.setattr(chair, "truth_from_coco", noted)
    return modes


def test_the_second_time_it_comes_from_the_cache(coco: Coco, built: list[str], cache: Path) -> None:
    first, again = truth_cache.truth(*coco, "reference"), truth_cache.truth(*coco, "reference")
    assert first == again == TRUTH
    assert list(first) == list(again) == [42, 7, 8]
    assert built == ["reference"]
    (file,) = cache.iterdir()
    assert set(json.loads(file.read_text())["sources"]) == {
        "instances_sha256",
        "captions_sha256",
        "mode",
        "rule_sha256",
    }


def test_a_copy_elsewhere_is_the_same_source(coco: Coco, built: list[str], tmp_path: Path) -> None:
    truth_cache.truth(*coco, "reference")
    moved = [file.rename(tmp_path / f"moved_{file.name}") for file in coco]
    assert truth_cache.truth(str(moved[0]), str(moved[1]), "reference") == TRUTH
    assert built == ["reference"]


def test_what_the_truth_is_made_of_makes_another_truth(
    coco: Coco, built: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    truth_cache.truth(*coco, "reference")
    described(coco[1], "A bus.")
    assert truth_cache.truth(*coco, "reference")[42] == {"dog"}  # The original does not find "bus".
    assert truth_cache.truth(*coco, "fixed")[42] == {"dog", "bus"}
    instances = json.loads(coco[0].read_text())
    instances["annotations"].pop(0)
    coco[0].write_text(json.dumps(instances))
    assert truth_cache.truth(*coco, "fixed")[42] == {"bus"}
    monkeypatch.setattr(truth_cache, "_rule", lambda mode: "another release")
    truth_cache.truth(*coco, "fixed")
    assert built == ["reference", "reference", "fixed", "fixed", "fixed"]


def test_the_rule_is_the_code_and_the_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    before = truth_cache._rule.__wrapped__("reference")
    assert truth_cache._rule.__wrapped__("reference") == before
    for name in ("words", "vocabulary"):
        with monkeypatch.context() as patch:
            patch.setattr(getattr(truth_cache, name), "__file__", __file__)
            assert truth_cache._rule.__wrapped__("reference") != before
    monkeypatch.setattr(truth_cache.vocabulary, "SHA256", "other tables")
    assert truth_cache._rule.__wrapped__("reference") != before


def without(name: str) -> Callable[[str], str]:
    return lambda text: json.dumps({key: value for key, value in json.loads(text).items() if key != name})


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "",
        lambda text: text[:-20],
        lambda text: "[]",
        lambda text: text.replace("person", "toilet"),
        lambda text: text.replace('"8": []', '"8": 3'),
        without("truth"),
        without("truth_sha256"),
        without("sources"),
    ],
    ids=["empty", "cut off", "a list", "another word", "no list", "no truth", "no checksum", "no sources"],
)
def test_a_damaged_cache_is_built_anew(coco: Coco, built: list[str], cache: Path, damage: Callable[[str], str]) -> None:
    truth_cache.truth(*coco, "reference")
    (file,) = cache.iterdir()
    whole = file.read_text()
    assert damage(whole) != whole
    file.write_text(damage(whole))
    assert truth_cache.truth(*coco, "reference") == TRUTH
    assert file.read_text() == whole
    assert truth_cache.truth(*coco, "reference") == TRUTH
    assert built == ["reference"] * 2


def test_a_folder_that_cannot_be_written_is_no_error(
    coco: Coco, built: list[str], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.mkdir(parents=True)
    cache.chmod(0o500)
    assert truth_cache.truth(*coco, "reference") == TRUTH
    monkeypatch.setenv("HALLU_CACHE", str(coco[0]))  # A file is no folder.
    assert truth_cache.truth(*coco, "reference") == TRUTH
    cache.chmod(0o700)


def test_a_disk_that_fills_up_leaves_nothing_behind(coco: Coco, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(source: str, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    assert truth_cache.truth(*coco, "reference") == TRUTH
    assert list(cache.iterdir()) == []


def test_where_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert truth_cache.folder() == tmp_path / "cache" / "truth"
    monkeypatch.setenv("HALLU_CACHE", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert truth_cache.folder() == tmp_path / "hallu" / "truth"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert truth_cache.folder() == tmp_path / ".cache" / "hallu" / "truth"


def test_sources_that_are_wrong_are_named_and_not_kept(coco: Coco, cache: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="unknown CHAIR mode 'exact'; allowed: reference"):
        truth_cache.truth(*coco, "exact")
    with pytest.raises(FileNotFoundError, match=r"none\.json"):
        truth_cache.truth(coco[0], tmp_path / "none.json", "reference")
    with pytest.raises(ValueError, match=r"captions\.json has no 'images'"):
        truth_cache.truth(*reversed(coco), "reference")
    assert not cache.exists()


def test_the_former_name_still_leads_here() -> None:
    with pytest.warns(DeprecationWarning, match=r"hallu_tasks.truth_cache is hallu_tasks.chair.truth_cache now"):
        from hallu_tasks.truth_cache import truth
    assert truth is truth_cache.truth
    with pytest.warns(DeprecationWarning, match="version 0.2 has no other name"):
        assert hallu_tasks.truth_cache.folder is truth_cache.folder
    assert not hasattr(hallu_tasks.truth_cache, "__file__")
