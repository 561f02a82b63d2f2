"""Nothing that is loaded can run code: no pickle, no eval, no YAML beyond the safe loader, no shell."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import pytest
import yaml

import registry
from hallu_models import loading
from hallu_models.adapter import HalluModel
from registry.files import yaml_files

ROOT = Path(registry.__file__).parents[1]
FILES = sorted(
    path for package in ("registry", "hallu_models", "hallu_tasks") for path in (ROOT / package).rglob("*.py")
)
MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
NAMES = {"eval", "exec", "compile", "__import__"}
YAML = {"load", "load_all", "unsafe_load", "unsafe_load_all", "full_load", "full_load_all"}


def unsafe(source: str) -> list[str]:
    """What could run code that a file brings, with its line."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            found += [(node.lineno, name) for name in names if name.split(".")[0] in MODULES]
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            keywords = {word.arg: ast.unparse(word.value) for word in node.keywords}
            loader = keywords.get("Loader") or (ast.unparse(node.args[1]) if len(node.args) > 1 else "")
            if (
                called in NAMES
                or (called in {f"yaml.{name}" for name in YAML} and not _safe(loader))
                or (called == "torch.load" and keywords.get("weights_only") != "True")
                or (called in ("numpy.load", "np.load") and keywords.get("allow_pickle", "False") != "False")
                or keywords.get("shell", "False") != "False"
                or called == "os.system"
                or keywords.get("trust_remote_code") == "True"
            ):
                found.append((node.lineno, called))
    return [f"{line}: {what}" for line, what in sorted(found)]


def _safe(loader: str) -> bool:
    # The loader of registry/files/yaml_files.py is looked at below.
    return loader in ("yaml.SafeLoader", "yaml.CSafeLoader", "_loader()")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_loaded_can_run_code(path: Path) -> None:
    assert unsafe(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "def late():\n    from joblib import load",
        "eval(text)",
        "yaml.load(file)",
        "yaml.load(file, Loader=yaml.Loader)",
        "yaml.unsafe_load(file)",
        "torch.load(path)",
        "np.load(path, allow_pickle=True)",
        "subprocess.run(text, shell=True)",
        "AutoModel.from_pretrained(name, trust_remote_code=True)",
    ],
)
def test_what_could_run_code_is_seen(source: str) -> None:
    assert len(unsafe(source)) == 1


def test_the_loader_of_our_yaml_files_is_a_safe_one() -> None:
    constructors = set(yaml_files._loader().yaml_constructors)
    assert constructors == set(yaml.SafeLoader.yaml_constructors)


def test_a_tag_that_names_code_is_nothing(tmp_path: Path) -> None:
    file = tmp_path / "card.yaml"
    file.write_text("a: !!python/object/apply:os.system ['true']\n", encoding="utf-8")
    with pytest.raises(ValueError, match="could not determine a constructor"):
        yaml_files.read(file)
    file.write_text("a: !function module.name\n", encoding="utf-8")
    assert yaml_files.read(file) == {"a": None}


def test_code_of_a_checkpoint_is_off_until_it_is_asked_for() -> None:
    for function in (loading.load, HalluModel.__init__):
        assert inspect.signature(function).parameters["trust_remote_code"].default is False
