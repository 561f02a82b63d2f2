"""A method in another distribution gets model ids with no further code, and a broken neighbour hides nobody."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

METHOD = """
from dataclasses import dataclass
from typing import ClassVar

from hallu_models.interventions import Intervention


@dataclass(frozen=True)
class Louder(Intervention):
    name: ClassVar[str] = "louder"
    factor: float = 2.0

    def head_outputs(self, outputs, at):
        return outputs * self.factor
"""

PROGRAM = """
import registry, hallu_models
from hallu_models import models
model = models.llava_louder(pretrained="demo", device="cpu", factor="3", layers="1+2")
print(model.run["parameters"])
host = model.host
question = [hallu_models.conversation(None, "a")]
from PIL import Image
question = [hallu_models.conversation(Image.new("RGB", (64, 64)), "Describe this image.")]
plain = host.generate(question, max_new_tokens=8)[0].text
same = host.generate(question, "louder", factor=1.0, max_new_tokens=8)[0].text
other = host.generate(question, "louder", factor=-9.0, max_new_tokens=8)[0].text
print(plain == same, plain == other, "llava_broken" in registry.models())
try:
    models.llava_broken(pretrained="demo", device="cpu")
except Exception as error:
    print(type(error).__name__)
"""


def distribution(folder, name, code, entry):
    (folder / f"{name}.py").write_text(code)
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[hallu.interventions]\n{entry}\n")


def test_a_method_of_another_distribution(tmp_path):
    distribution(tmp_path, "their_method", METHOD, "louder = their_method:Louder")
    distribution(tmp_path, "broken_method", "raise OSError('no such library')", "broken = broken_method:Broken")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    printed = done.stdout.strip().splitlines()
    assert printed[0] == "factor=3,layers=1-2"
    assert printed[1] == "True False True"
    assert printed[2] == "LoadError"
