"""CONTRIBUTING.md's code: its package is the one that is tested, its commands exist, its examples run."""

from __future__ import annotations

import re
import shlex
import subprocess
import textwrap
from pathlib import Path

import pytest
from test_plugin_package import PACKAGE

import hallu_models
import hallu_tasks
import registry
from hallu_models.demo import held_out
from hallu_models.hosts.checkpoints import DEMO
from registry.commands import cli
from registry.task_search import task_folders

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
PROMPTS = ["Please describe this image in detail.", "Is there a dog in the image? Please answer yes or no."]


def block(title):
    """The code under ``<!-- title -->``, without the indentation of a list."""
    found = re.search(rf"^( *)<!-- {re.escape(title)} -->\n *```\w+\n(.*?)\n *```$", TEXT, re.MULTILINE | re.DOTALL)
    assert found, f"CONTRIBUTING.md has no block under <!-- {title} -->"
    return textwrap.dedent(found[2])


def example(title, **given):
    """The names that an example leaves behind, run on the demo model."""
    code = block(f"example: {title}").replace("llava-hf/llava-1.5-7b-hf", str(DEMO))
    exec(compile(code, f"CONTRIBUTING.md, {title}", "exec"), given)
    return given


@pytest.fixture(scope="module")
def images():
    from PIL import Image

    return [Image.fromarray(scene.picture) for scene in held_out.held_out(number=5)]


def expected(images, prompts, method):
    """The texts of ``Host.generate``, one prompt at a time."""
    host = hallu_models.load("demo", device="cpu")
    asked = [hallu_models.conversation(image, prompt) for image, prompt in zip(images, prompts)]
    parameters = {"alpha": 2.0} if method else {}
    return [host.generate([one], method, max_new_tokens=64, **parameters)[0].text for one in asked]


@pytest.mark.parametrize("name", ["pyproject.toml", "setup.cfg", "hallu_beacon.py"])
def test_the_guide_s_package_is_the_tested_one(name):
    assert block(name) == (PACKAGE / name).read_text(encoding="utf-8").strip()


def test_the_guide_has_six_steps():
    guide = TEXT[TEXT.index("## Add a method in six steps") : TEXT.index("### Into this repository")]
    assert re.findall(r"^(\d)\. \*\*", guide, re.MULTILINE) == list("123456")


def test_authors_import_from_one_place():
    examples = [*PACKAGE.rglob("*.py"), *ROOT.glob("*.md"), *(ROOT / "hallu_models").rglob("*.md")]
    assert [path.name for path in examples if "interventions.base" in path.read_text(encoding="utf-8")] == []


def test_its_commands_and_files_exist():
    assert set(re.findall(r"(?:`|^ *)hallu ([a-z-]+)", TEXT, re.MULTILINE)) <= set(cli.COMMANDS)
    ids = set(re.findall(r"--model (\w+)", TEXT)) - {"llava_spotlight", "llava_beacon"}
    assert ids and ids <= registry.models().keys()
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert {target for line in re.findall(r"`make ([a-z ]+)`", TEXT) for target in line.split()} <= targets
    for path in re.findall(r"`((?:tests|registry|hallu_models|hallu_tasks)/[\w./]+)`", TEXT):
        assert (ROOT / path).exists(), path


def test_its_hooks_are_hooks():
    from hallu_models.interventions import Intervention

    table = TEXT[TEXT.index("| the paper |") : TEXT.index("If none fits")]
    rows = [row.split("|") for row in table.splitlines()[2:] if "|" in row]
    hooks = [name for row in rows for name in re.findall(r"`(\w+)`", row[2])]
    assert len(hooks) > 12 and all(callable(getattr(Intervention, name)) for name in hooks)
    assert [name for row in rows for name in re.findall(r"`(\w+)`", row[3]) if name not in registry.methods()] == []


def test_the_pipeline_of_transformers(images):
    texts = example("pipeline", images=images)["texts"]
    assert [text.strip() for text in texts] == expected(images, PROMPTS[:1] * 5, "vhr")
    assert [text.strip() for text in texts] != expected(images, PROMPTS[:1] * 5, None)


def test_an_evaluation_loop(images):
    prompts = [PROMPTS[number % 2] for number in range(5)]  # Rows of a batch differ in length.
    found = example("loop", questions=list(zip(images, prompts)))
    assert [text.strip() for text in found["plain"]] == expected(images, prompts, None)
    assert [text.strip() for text in found["with_method"]] == expected(images, prompts, "vhr")
    assert found["plain"] != found["with_method"]
    assert found["answers"](found["questions"]) == found["plain"], "the method is still on the model"


@pytest.mark.parametrize("title", ["eight GPUs", "SLURM"])
def test_a_recipe_is_a_script_whose_commands_exist(title):
    """bash reads it, accelerate knows its options, and the model and the task are there."""
    from accelerate.commands.launch import launch_command_parser

    script = block(f"recipe: {title}")
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)
    command = re.search(r"accelerate launch (.*?)'?$", script, re.DOTALL)[1].replace("\\\n", " ")
    numbers = {"$SLURM_NNODES": "2", "$((8 * SLURM_NNODES))": "16", "$SLURM_NODEID": "1", "$MAIN": "node1"}
    for name, value in numbers.items():
        command = command.replace(f'"{name}"', value)
    launched = launch_command_parser().parse_args(shlex.split(command))
    assert launched.module and launched.training_script == "registry.evaluation"
    assert launched.num_processes == 8 * launched.num_machines
    given = dict(zip(launched.training_script_args[::2], launched.training_script_args[1::2]))
    assert given["--model"] in registry.models()
    assert given["--tasks"] in {task.name for task in task_folders.scan(Path(hallu_tasks.path()))[0]}
