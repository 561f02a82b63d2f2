"""The wheel, built from a clean copy: everything that runs is in it and nothing else."""

from __future__ import annotations

import configparser
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

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
