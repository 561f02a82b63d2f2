"""A method in a package of its own: installed by pip, found by lmms-eval and `hallu`, and gone with the package."""

from __future__ import annotations

import importlib.util
import json
import math
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
import torch
from conftest import IMAGE, MIXED, prompts, take

import hallu_models
from hallu_models.testing import dense

pytestmark = pytest.mark.slow

PACKAGE = Path(__file__).parent / "plugin_package"
RUN = ("-m", "lmms_eval", "--model", "llava_beacon", "--tasks", "hallu_demo_mme", "--limit", "4")


class Environment:
    """A virtual environment that sees everything this one has, and in which packages come and go."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.python = folder / "venv" / "bin" / "python"
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True)
        (site,) = (folder / "venv" / "lib").glob("python*/site-packages")
        # addsitedir also follows the .pth files there, such as an editable installation's.
        (site / "host.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")

    def pip(self, *arguments: str | Path) -> None:
        quiet = ("--quiet", "--disable-pip-version-check")
        command = [sys.executable, "-m", "pip", "--python", self.python, *arguments, *quiet]
        subprocess.run(command, check=True, timeout=300)

    def __call__(self, *arguments: str) -> str:
        """What a Python command prints, on both streams, line breaks as spaces."""
        variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        done = subprocess.run(
            [self.python, *arguments],
            capture_output=True,
            text=True,
            cwd=self.folder,
            env={**variables, "HF_HUB_OFFLINE": "1"},
            timeout=600,
        )
        return (done.stdout + done.stderr).replace("\n", " ")


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    return Environment(tmp_path_factory.mktemp("environment"))


@pytest.fixture(scope="module")
def installed(environment):
    """The environment with the package, built from a copy because a build leaves files beside the sources."""
    source = environment.folder / "source"
    shutil.copytree(PACKAGE, source, ignore=shutil.ignore_patterns("__pycache__"))
    environment.pip("install", "--no-index", "--no-deps", "--no-build-isolation", source)
    return environment


def beacon():
    """The package's class without an installation."""
    name = "hallu_beacon"
    spec = importlib.util.spec_from_file_location(name, PACKAGE / f"{name}.py")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Beacon


def test_hallu_lists_the_method_and_its_models(installed):
    assert "beacon  third-party    from the distribution hallu-beacon 1.0" in installed(
        "-m", "registry.commands.cli", "methods"
    )
    models = installed("-m", "registry.commands.cli", "models").split()
    assert {"llava_beacon", "qwen2_5_vl_beacon", "auto_beacon"} <= set(models)
    assert "ok   hallu.interventions: beacon" in installed("-m", "registry.commands.cli", "doctor")


def test_lmms_eval_runs_it_and_records_whose_it_is(installed):
    printed = installed(*RUN, "--model_args", "pretrained=demo,gain=2,layers=4-7", "--output_path", "results")
    (file,) = (installed.folder / "results").rglob("*_results.json")
    results = json.loads(file.read_text())
    assert "existence" in printed and "existence,none" in results["results"]["hallu_demo_mme"]
    run = results["config"]["resolved_cli_args"]["hallu"]
    assert (run["method"], run["parameters"]) == ("beacon", "gain=2,layers=4-7")
    assert run["cards"] == {"beacon": "hallu-beacon 1.0"}


def test_its_arguments_are_checked(installed):
    messages = {
        "gain=bright": "beacon: gain=bright is not a number; allowed: a number",
        "gain=-2": "beacon: gain=-2.0 is not above 0 and finite; 1 is the plain model",
        "gian=2": "beacon: unknown argument gian=2 (did you mean gain?)",
    }
    program = (
        "import sys; from hallu_models import models\n"
        "for argument in sys.argv[1:]:\n"
        "    try: models.llava_beacon(pretrained='demo', device='cpu', **dict([argument.split('=')]))\n"
        "    except ValueError as error: print(error)"
    )
    printed = installed("-c", program, *messages)
    for argument, message in messages.items():
        assert message in printed, argument


def test_it_is_gone_with_its_package(installed):
    installed.pip("uninstall", "--yes", "hallu-beacon")
    assert "beacon" not in installed("-m", "registry.commands.cli", "methods")
    assert "Model 'llava_beacon' not found in available models" in installed(*RUN)
    generic = ("-c", "from registry.plugins import lazy; lazy.resolve('beacon')")
    # Methods that are called alike may be suggested.
    said = installed(*generic)
    assert "unknown method 'beacon'" in said and "`hallu methods` lists all of them" in said


def test_it_does_what_its_description_says(plain_heads):
    """Against the definition: with gain g, attention to image columns is g a / (g a_image + a_text)."""
    batch, steps, gain = prompts(MIXED), 4, 3.0
    with torch.no_grad(), hallu_models.attach(plain_heads, beacon()(gain=gain)):
        output = plain_heads.generate(
            **batch, max_new_tokens=steps, do_sample=False, return_dict_in_generate=True, output_logits=True
        )
    for row in range(len(MIXED)):
        single = take(batch, row)
        prompt = single["input_ids"].shape[1]
        ids = torch.cat([single["input_ids"][0], output.sequences[row, -steps:]])
        image = torch.nn.functional.pad(single["input_ids"][0] == IMAGE, (0, steps))
        edited = torch.arange(len(ids)) >= prompt - 1

        def attend(layer, scores, image=image, edited=edited):
            plain = scores.softmax(dim=-1)
            weighted = torch.where(image, gain, 1.0) * plain
            return torch.where(edited[:, None], weighted / weighted.sum(dim=-1, keepdim=True), plain)

        with torch.no_grad():
            logits = dense.forward(
                plain_heads, dense.embeddings(plain_heads, ids, single["pixel_values"]), attend=attend
            )
        for step in range(steps):
            torch.testing.assert_close(output.logits[step][row], logits[prompt - 1 + step], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("gain", [0.0, math.inf])
def test_it_refuses_what_is_no_factor(gain):
    with pytest.raises(ValueError, match="1 is the plain model"):
        beacon()(gain=gain)
