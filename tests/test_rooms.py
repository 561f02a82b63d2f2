"""Every file imports from its own room or from rooms below, no file is too long, and the check sees what it is for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import rooms

ROOT = Path(__file__).parent.parent

LISTED = {"low": {"low.ground": "", "low.roof": ""}, "high": {"high": "", "high.attic": ""}}
SOUND = {
    "low/__init__.py": "",
    "low/__main__.py": "import low.roof",
    "low/ground.py": "import json\nimport low",
    "low/roof/__init__.py": "from low.roof.tiles import tile\nimport low.ground",
    "low/roof/tiles.py": "from low.ground import stone\nfrom . import nails",
    "low/roof/nails.py": "",
    "low/words/page.yaml": "",
    "high/__init__.py": "import low.roof.tiles",
    "high/attic.py": "from low import roof\nfrom high import stairs",
}

Tree = Callable[[dict[str, str]], list[str]]


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    def found(changed: dict[str, str]) -> list[str]:
        for name, text in {**SOUND, **changed}.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return rooms.faults(tmp_path, LISTED)

    return found


def test_the_packages_are_as_their_rooms_say() -> None:
    assert rooms.faults(ROOT, rooms.PACKAGES, rooms.BY_NAME) == []


def test_hallu_tasks_has_no_loose_modules() -> None:
    """Beside its rooms lie the types and the ways in, nothing else."""
    assert {file.stem for file in (ROOT / "hallu_tasks").glob("*.py")} == {"benchmark", "__init__", "__main__"}


def test_every_table_that_is_let_through_needs_it() -> None:
    found = rooms.faults(ROOT, rooms.PACKAGES)
    assert {fault.partition(",")[0] for fault in found if "lies above" in fault} == rooms.BY_NAME.keys()


def test_names_of_rooms_are_those_of_their_package() -> None:
    for package, listed in rooms.PACKAGES.items():
        assert all(name == package or name.split(".")[:-1] == [package] for name in listed)


def test_a_sound_tree_has_no_fault(tree: Tree) -> None:
    assert tree({}) == []
    assert tree({"low/roof/nails.py": "\n" * 400}) == []


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        ({"low/ground.py": "import low.roof"}, "low.ground, line 1: imports low.roof, which lies above it"),
        (
            {"low/ground.py": "def late():\n    from low.roof.tiles import tile"},
            "low.ground, line 2: imports low.roof.tiles, which lies above it",
        ),
        (
            {"low/ground.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .roof import nails"},
            "low.ground, line 3: imports low.roof.nails, which lies above it",
        ),
        (
            {"low/roof/nails.py": "from high import attic"},
            "low.roof.nails, line 1: imports high.attic, which lies above it",
        ),
        ({"low/__init__.py": "from . import ground"}, "low, line 1: imports low.ground, which lies above it"),
        ({"high/__init__.py": "import high.attic"}, "high, line 1: imports high.attic, which lies above it"),
        (
            {"low/roof/nails.py": "from low import __main__"},
            "low.roof.nails, line 1: imports low.__main__, which lies above it",
        ),
        (
            {"low/roof/nails.py": "def late():\n    from low.roof import tiles"},
            "a circle: low.roof.tiles -> low.roof.nails -> low.roof.tiles",
        ),
        (
            {"low/ground.py": "def late():\n    return importlib.import_module('low.roof')"},
            "low.ground, line 2: imports low.roof, which lies above it",
        ),
        ({"low/ground.py": "__import__(name='high')"}, "low.ground, line 1: imports high, which lies above it"),
        (
            {"low/ground.py": "WHERE = 'high'\ndef late():\n    import_module(WHERE)"},
            "low.ground, line 3: imports high, which lies above it",
        ),
        (
            {"low/ground.py": "import_module(f'low.roof.{part}')"},
            "low.ground, line 1: imports low.roof, which lies above it",
        ),
        (
            {"low/ground.py": "import_module('.roof', __package__)"},
            "low.ground, line 1: imports low.roof, which lies above it",
        ),
        (
            {"low/ground.py": "TABLE = {\n    'tile': 'low.roof.tiles:tile',\n}"},
            "low.ground, line 2: imports low.roof.tiles, which lies above it",
        ),
        (
            {"low/roof/nails.py": "TABLE = ('low.roof.tiles.tile',)"},
            "a circle: low.roof.tiles -> low.roof.nails -> low.roof.tiles",
        ),
        ({"low/roof/nails.py": "\n" * 401}, "low.roof.nails: 401 lines; at most 400"),
        ({"low/cellar.py": ""}, "low.cellar is in no room; list it, or move it into one"),
        ({"low/cellar/wine.py": ""}, "low.cellar is in no room; list it, or move it into one"),
    ],
)
def test_each_fault_is_found(tree: Tree, changed: dict[str, str], fault: str) -> None:
    assert fault in tree(changed)


def test_only_strings_are_let_through_by_name(tree: Tree, tmp_path: Path) -> None:
    tree({"low/ground.py": "TABLE = ('high.attic:sell',)\nimport low.roof"})
    found = rooms.faults(tmp_path, LISTED, ("low.ground",))
    assert "low.ground, line 2: imports low.roof, which lies above it" in found
    assert not [fault for fault in found if "high" in fault]


def test_a_word_or_a_sentence_is_no_import(tree: Tree) -> None:
    assert (
        tree({"low/ground.py": '"""As low.roof.tiles has it."""\nNAMES = ("high", "low.no_such", "x: low.roof")'}) == []
    )


def test_a_listed_room_has_to_be_there(tmp_path: Path) -> None:
    (tmp_path / "low").mkdir()
    assert rooms.faults(tmp_path, {"low": {"low.ground": ""}}) == ["low.ground is listed and not there"]


def test_a_package_without_rooms_is_looked_at_from_below_only(tree: Tree, tmp_path: Path) -> None:
    tree({"high/attic.py": "\n" * 401, "low/ground.py": "import high"})
    found = rooms.faults(tmp_path, {**LISTED, "high": {}})
    assert found == ["low.ground, line 1: imports high, which lies above it"]
