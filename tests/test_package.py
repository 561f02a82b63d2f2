"""The wheel, built from a clean copy: everything that runs is in it and nothing else."""

from __future__ import annotations

import configparser
import importlib.metadata
import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from registry.installation import distribution

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    source = tmp_path_factory.mktemp("source")
    for name in ("registry", "hallu_models", "hallu_tasks", "tests"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    output = tmp_path_factory.mktemp("wheel")
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        str(output),
        ".",
    ]
    subprocess.run(command, cwd=source, check=True, timeout=300)
    (file,) = output.glob("*.whl")
    return zipfile.ZipFile(file)


def test_it_holds_the_three_packages_and_nothing_else(wheel):
    top = {name.split("/")[0] for name in wheel.namelist()}
    assert {name for name in top if not name.endswith(".dist-info")} == {"registry", "hallu_models", "hallu_tasks"}


def test_every_file_that_the_packages_need_is_in_it(wheel):
    wanted = {".py", ".yaml", ".parquet", ".safetensors", ".json", ".jinja", ".typed"}
    for package in ("registry", "hallu_models", "hallu_tasks"):
        for file in (ROOT / package).rglob("*"):
            if file.is_file() and file.suffix in wanted and "__pycache__" not in file.parts:
                assert str(file.relative_to(ROOT)) in wheel.namelist()


def test_entry_points(wheel):
    (name,) = [name for name in wheel.namelist() if name.endswith("entry_points.txt")]
    found = configparser.ConfigParser()
    found.read_string(wheel.read(name).decode())
    assert dict(found["console_scripts"]) == {"hallu": "registry.commands.cli:main"}
    assert dict(found["lmms_eval.models"]) == {"hallu": "hallu_models.entry_points:manifests"}


def test_it_is_small_enough_for_the_package_index(wheel):
    assert sum(entry.compress_size for entry in wheel.infolist()) < 20_000_000


@pytest.mark.parametrize(
    ("origin", "given"),
    [
        (None, "lmms-eval-hallu"),
        ({"url": "file:///home/me/a%20clone", "dir_info": {"editable": True}}, "--editable '/home/me/a clone'"),
        ({"url": "file:///home/me/clone", "dir_info": {}}, "/home/me/clone"),
        ({"url": "https://host/a.whl", "archive_info": {}}, "https://host/a.whl"),
        ({"url": "https://host/a.git", "vcs_info": {"vcs": "git", "commit_id": "1f"}}, "git+https://host/a.git@1f"),
    ],
)
def test_to_install_again_takes_what_was_installed(origin, given, monkeypatch):
    class Installed:
        def read_text(self, name):
            assert name == "direct_url.json"
            return None if origin is None else json.dumps(origin)

    monkeypatch.setattr(importlib.metadata, "distribution", lambda name: Installed())
    assert distribution.requirement() == given
