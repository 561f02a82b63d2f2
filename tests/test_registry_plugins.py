"""Entry points of other distributions: they add methods, folders and models, and cannot break each other."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import registry
from registry.commands import cli, doctor
from registry.errors import LoadError
from registry.plugins import discovery, lazy, model_ids
from registry.task_search import task_folders

Install = Callable[..., Path]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Put an installed distribution on sys.path: entry-point text, and modules by file name."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(site)

    def put(name: str, entry_points: str, **modules: str) -> Path:
        info = site / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n", encoding="utf-8")
        (info / "entry_points.txt").write_text(entry_points, encoding="utf-8")
        for module, text in modules.items():
            (site / f"{module}.py").write_text(text, encoding="utf-8")
        clear()
        return site

    def clear() -> None:
        lazy.interventions.cache_clear()
        model_ids.table.cache_clear()
        discovery._problems.clear()

    before = set(sys.modules)
    yield put
    for module in set(sys.modules) - before:
        if module.startswith("plug_"):
            del sys.modules[module]
    clear()


METHOD = "class Mine:\n    pass\n"


def test_a_method_appears_in_every_family_without_being_imported(install: Install) -> None:
    install("my-dist", "[hallu.interventions]\nmine = plug_mine:Mine\n", plug_mine=METHOD)
    card = registry.methods()["mine"]
    assert (card.fidelity, card.implementation, card.parameters) == ("third-party", "plug_mine:Mine", ())
    assert "my-dist 1.0" in card.summary
    assert {f"{family}_mine" for family in registry.families()} <= set(registry.models())
    assert model_ids.split("llava_mine") == ("llava", "mine")
    assert "plug_mine" not in sys.modules
    assert lazy.resolve("mine").__name__ == "Mine"


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ("vhr = plug_a:A", "claimed by the built-in card vhr.yaml and by bad 1.0"),
        ("a+b = plug_a:A", "cannot be a method's name"),
        ("base = plug_a:A", "cannot be a method's name"),
        ("mod = plug_a", "is not of the form package.module:Class"),
    ],
)
def test_a_refused_entry_warns_with_its_distribution_and_hides_nobody(
    install: Install, entry: str, reason: str
) -> None:
    install("bad", f"[hallu.interventions]\n{entry}\n")
    install("good", "[hallu.interventions]\nzz_good = plug_mine:Mine\n", plug_mine=METHOD)
    with pytest.warns(discovery.PluginWarning) as caught:
        names = registry.methods()
    (message,) = [str(warning.message) for warning in caught]
    assert entry in message
    assert "bad 1.0" in message
    assert reason in message
    assert "hallu doctor" in message
    assert "zz_good" in names
    assert names["vhr"].fidelity == "paper"
    assert [problem.plugin.distribution for problem in discovery.problems()] == ["bad 1.0"]


def test_of_two_distributions_with_one_name_both_are_named(install: Install) -> None:
    install("one", "[hallu.interventions]\nmine = plug_mine:Mine\n", plug_mine=METHOD)
    install("two", "[hallu.interventions]\nmine = plug_other:Mine\n")
    with pytest.warns(discovery.PluginWarning, match=r"claimed by one 1.0, entry point mine and by two 1.0"):
        assert registry.methods()["mine"].implementation == "plug_mine:Mine"


def test_a_method_that_fails_to_import_is_listed_and_says_why_when_used(install: Install) -> None:
    install("bad", "[hallu.interventions]\nmine = plug_mine:Mine\n", plug_mine="raise OSError('no licence')")
    assert "mine" in registry.methods()
    with pytest.raises(LoadError, match=r"'mine' \(bad 1.0, entry point mine\).*OSError: no licence.*hallu doctor"):
        lazy.resolve("mine")


def test_an_unreadable_entry_points_file_hides_nobody(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    install("bad", "[hallu.interventions]\nnonsense\n")
    install("good", "[hallu.interventions]\nzz_good = plug_mine:Mine\n", plug_mine=METHOD)

    def fails(**_: str) -> None:
        raise TypeError("as the common scan does with some of these files")

    monkeypatch.setattr(discovery.metadata, "entry_points", fails)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", discovery.PluginWarning)
        assert "zz_good" in registry.methods()


def test_task_folders_come_as_package_path_or_function(install: Install, tmp_path: Path) -> None:
    entries = "[lmms_eval.tasks]\na = plug_pack\nb = plug_paths:FOLDER\nc = plug_paths:folders\n"
    code = f"FOLDER = {str(tmp_path / 'b')!r}\ndef folders():\n    return [{str(tmp_path / 'c')!r}, FOLDER]\n"
    site = install("tasks-dist", entries, plug_paths=code)
    for folder in (site / "plug_pack", tmp_path / "b", tmp_path / "c"):
        folder.mkdir()
    (site / "plug_pack" / "__init__.py").write_text("raise AssertionError('executed')", encoding="utf-8")
    assert [f for f in task_folders.folders() if tmp_path in f.parents] == [
        site / "plug_pack", tmp_path / "b", tmp_path / "c",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ("x = plug_missing", "plug_missing is not a package"),
        ("x = plug_missing:path", "ModuleNotFoundError"),
        ("x = plug_broken:path", "RuntimeError: boom"),
        ("x = plug_gone:path", "/no/such/folder is not a folder"),
    ],
)
def test_a_broken_task_folder_warns_and_hides_nobody(install: Install, tmp_path: Path, entry: str, reason: str) -> None:
    install(
        "bad",
        f"[lmms_eval.tasks]\n{entry}\n",
        plug_broken="raise RuntimeError('boom')",
        plug_gone="path = '/no/such/folder'",
    )
    install("good", "[lmms_eval.tasks]\ny = plug_good:path\n", plug_good=f"path = {str(tmp_path)!r}")
    with pytest.warns(discovery.PluginWarning, match="bad 1.0") as caught:
        assert tmp_path in task_folders.folders()
    assert reason in str(caught[0].message)


def test_a_warning_comes_once(install: Install) -> None:
    install("bad", "[lmms_eval.tasks]\nx = plug_missing\n")
    with pytest.warns(discovery.PluginWarning):
        task_folders.folders()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        task_folders.folders()


MANIFEST = "class M:\n    model_id = 'm'\n"


def test_doctor_loads_each_plugin_apart_and_says_what_lmms_eval_misses(install: Install) -> None:
    install(
        "a1",
        "[lmms_eval.models]\nfine = plug_fine:manifests\n",
        plug_fine=MANIFEST + "manifests = lambda: [M()]",
    )
    install(
        "a2",
        "[lmms_eval.models]\nwrong = plug_wrong:manifests\n",
        plug_wrong="print('noise')\nmanifests = ['x']",
    )
    install("a3", "[lmms_eval.models]\nlate = plug_late:manifest\n", plug_late=MANIFEST + "manifest = M()")
    install("a4", "[hallu.interventions]\nexits = plug_exits:A\n", plug_exits="raise SystemExit('bye')")
    install("a5", "[hallu.interventions]\nzz_good = plug_mine:Mine\n", plug_mine=METHOD)
    lines = {line.what: line for line in doctor.tried(doctor.trial()) if "plug_" in line.state}
    order = [plugin.name for plugin in discovery.plugins("lmms_eval.models")]
    assert not lines["lmms_eval.models: wrong"].ok
    assert "TypeError: 'x' is not a ModelManifest" in lines["lmms_eval.models: wrong"].state
    for name in ("fine", "late"):
        hidden = order.index(name) > order.index("wrong")
        assert lines[f"lmms_eval.models: {name}"].ok is not hidden
        assert ("never reaches it behind wrong" in lines[f"lmms_eval.models: {name}"].state) is hidden
    assert "SystemExit: bye" in lines["hallu.interventions: exits"].state
    assert lines["hallu.interventions: zz_good"].ok
    assert not [module for module in sys.modules if module.startswith("plug_")]


def test_doctor_survives_a_plugin_that_ends_the_process(install: Install) -> None:
    install("a1", "[hallu.interventions]\nkills = plug_kills:A\n", plug_kills="import os\nos._exit(3)")
    (line,) = [line for line in doctor.tried(doctor.trial()) if "plug_kills" in line.state]
    assert not line.ok
    assert "the process ended or took too long" in line.state


def test_cli_prints_a_plugin_s_warning_as_one_line(install: Install, capsys: pytest.CaptureFixture[str]) -> None:
    install("bad", "[hallu.interventions]\nvhr = plug_a:A\n")
    assert cli.main(["methods"]) == 0
    out, err = capsys.readouterr()
    assert err.startswith("hallu: warning: plugin vhr = plug_a:A in group hallu.interventions of bad 1.0 is left out")
    assert err.count("\n") == 1
    assert "vhr" in out
