"""What a method is written with comes from one place, and our own methods take no other way."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

from hallu_models import interventions
from hallu_models.interventions import base

FOLDER = Path(interventions.__file__).parent
METHODS = [path for path in sorted(FOLDER.glob("*.py")) if path.stem not in ("__init__", "base")]


@pytest.mark.parametrize("path", METHODS, ids=lambda path: path.stem)
def test_a_method_imports_nothing_else(path):
    found = [
        node.module if isinstance(node, ast.ImportFrom) else alias.name
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    ]
    siblings = {f"hallu_models.interventions.{other.stem}" for other in METHODS}
    allowed = {"torch", *sys.stdlib_module_names}
    others = {name for name in found if name.split(".")[0] not in allowed}
    assert "hallu_models.interventions" in others
    assert others - siblings == {"hallu_models.interventions"}


def test_every_type_in_a_hooks_signature_is_there():
    tree = ast.parse(Path(base.__file__).read_text(encoding="utf-8"))
    imported = {
        alias.asname or alias.name for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    (contract,) = (node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Intervention")
    hooks = [node for node in contract.body if isinstance(node, ast.FunctionDef) and not node.decorator_list]
    named = {
        name.id
        for hook in hooks
        for annotation in [one.annotation for one in hook.args.args] + [hook.returns]
        if annotation is not None
        for name in ast.walk(annotation)
        if isinstance(name, ast.Name)
    }
    ours = (named & imported) - {"Tensor", "Mapping", "Any", "Self"} | {"Prompt", "Answer", "Recorder"}
    assert {"LayerStep", "Maps", "Decoding"} <= ours
    assert ours <= set(interventions.__all__)
    assert all(hasattr(interventions, name) for name in interventions.__all__)
