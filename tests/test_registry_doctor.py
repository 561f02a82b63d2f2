"""The doctor's parts: version ranges, shadowing files, findings and the exit code."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import pytest

from registry.commands import doctor
from registry.installation import ranges, shadows


@pytest.mark.parametrize(
    ("range_text", "version", "inside"),
    [
        ("", "1.0", True),
        (">=0.7.3,<0.8", "0.7.3", True),
        (">=0.7.3,<0.8", "0.7", False),
        (">=0.7.3,<0.8", "0.8.0", False),
        (">=5", "5.23.0", True),
        ("<6", "5.100", True),
        (">2.0", "2.0.0", False),
        ("<=2.0", "2.0.0", True),
        ("==2.1", "2.1.0+cpu", True),
        ("==2.*", "2.15", True),
        ("!=2.1.*", "2.1.4", False),
        ("!=2.1", "2.2", True),
        ("~=1.4.2", "1.4.9", True),
        ("~=1.4.2", "1.5", False),
        ("~=1.4", "1.9", True),
        (">=1.0", "2.0rc1", True),
        (">=1.0", "1!0.5", False),
    ],
)
def test_ranges(range_text: str, version: str, inside: bool) -> None:
    assert ranges.contains(range_text, version) is inside


def test_requirements_come_from_the_metadata_without_extras(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [
        "lmms-eval<0.8,>=0.7.3",
        "PyYAML (>=6)",
        "numpy",
        "torch>=2 ; python_version>'3'",
        "ruff ; extra == 'dev'",
    ]
    monkeypatch.setattr(metadata, "requires", lambda _: lines)
    assert [(r.name, r.range) for r in ranges.requirements()] == [
        ("lmms-eval", "<0.8,>=0.7.3"),
        ("pyyaml", ">=6"),
        ("numpy", ""),
        ("torch", ">=2"),
    ]


def test_versions_out_of_range_or_missing_are_findings(monkeypatch: pytest.MonkeyPatch) -> None:
    installed = {"lmms-eval-hallu": "0.1", "lmms-eval": "0.9", "torch": "2.15", "pyyaml": "6.0"}
    monkeypatch.setattr(metadata, "requires", lambda _: ["lmms-eval>=0.7.3,<0.8", "torch>=2", "transformers>=5"])
    monkeypatch.setattr(ranges, "version", installed.get)
    lines = {line.what: line for line in doctor.versions()}
    assert {what for what, line in lines.items() if not line.ok} == {"lmms-eval", "transformers"}
    assert lines["lmms-eval"].state == "0.9 is outside the tested range >=0.7.3,<0.8"
    assert lines["transformers"].fix == "pip install 'transformers>=5'"


def test_files_before_our_folder_shadow_us(tmp_path: Path) -> None:
    home, early, later, late = (tmp_path / name for name in ("home", "early", "later", "late"))
    for folder in (
        home / "registry",
        early / "hallu_tasks",
        early / "hallu_models",
        later,
        late / "hallu_models",
    ):
        folder.mkdir(parents=True)
    for file in (home / "registry" / "__init__.py", early / "registry.py", later / "registry.py"):
        file.touch()
    (early / "hallu_tasks" / "__init__.py").touch()
    (late / "hallu_models" / "__init__.py").touch()
    search = [str(early), str(later), str(home), str(late)]
    assert shadows.find(search, home) == {
        "registry": early / "registry.py",
        "hallu_tasks": early / "hallu_tasks",
    }


def test_the_working_directory_counts_although_the_console_script_ignores_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "registry.py").touch()
    monkeypatch.chdir(tmp_path)
    (line,) = [line for line in doctor.shadowed() if not line.ok]
    assert line.what == "registry"
    assert str(tmp_path / "registry.py") in line.state


def test_a_report_is_well_or_counts_what_is_wrong() -> None:
    good = doctor.Report({"Versions": [doctor.Line(True, "python", "3.11")]})
    bad = doctor.Report({**good.sections, "Tasks": [doctor.Line(False, "hook", "off", "do this")]})
    assert good.ok
    assert str(good).endswith("Everything is in order.")
    assert not bad.ok
    assert str(bad).endswith("Something is wrong: 1 of the above.")
    assert "BAD  hook  off\n             fix: do this" in str(bad)
    assert bad.as_dict()["ok"] is False


def test_examine_covers_every_section_and_loads_nothing_when_asked_not_to() -> None:
    report = doctor.examine(load_plugins=False)
    assert list(report.sections) == [
        "Versions",
        "Shadowed packages",
        "Plugins",
        "Cards and families",
        "Tasks",
        "Environment",
    ]
    assert all(line.ok for line in report.sections["Cards and families"])
    assert all("loads" not in line.state for line in report.sections["Plugins"])
