"""Names of the host libraries are known in the contact layers alone: transformers' and lmms-eval's."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import hallu_models
import hallu_tasks
import registry

ROOT = Path(hallu_models.__file__).parent
LAYER = ROOT / "hosts"
TINY = ROOT / "testing"
APART = {
    ROOT / "demo" / "train.py",
    *(TINY / name for name in ("dense.py", "dense_row.py", "tiny_llava.py")),
    *(TINY / "families").glob("*.py"),
}
"""Build models of transformers' classes from nothing, or write them out from their equations."""

FILES = [path for path in sorted(ROOT.rglob("*.py")) if LAYER not in path.parents and path not in APART]

TEXTS = frozenset(
    "input_ids attention_mask token_type_ids inputs_embeds position_ids past_key_values cache use_cache "
    "mm_encoder_outputs pixel_values cross_attention_states deepstack_visual_embeds visual_pos_masks "
    "sliding_window softcap scaling eos_token_id generation_config disable_compile image_token_id".split()
)
"""Arguments and settings that are read by name."""

ATTRIBUTES = frozenset(
    "config generation_config get_text_config get_seq_length reorder_cache is_compileable rope_deltas logits "
    "last_hidden_state _attn_implementation set_attn_implementation tokenizer image_processor chat_template "
    "apply_chat_template batch_decode sliding_window softcap options".split()
)
"""What objects of the host libraries are asked for."""


def contacts(source: str) -> list[str]:
    """What a source knows of the host libraries, with its line."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            found += [(node.lineno, f"import {name}") for name in names if name.split(".")[0] == "transformers"]
        elif isinstance(node, ast.Constant) and node.value in TEXTS:
            found.append((node.lineno, repr(node.value)))
        elif isinstance(node, ast.Attribute) and node.attr in ATTRIBUTES:
            found.append((node.lineno, f".{node.attr}"))
        elif isinstance(node, ast.keyword) and node.arg in TEXTS:
            found.append((node.value.lineno, f"{node.arg}="))
    return [f"{line}: {what}" for line, what in sorted(found)]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_contact_outside_the_layer(path):
    assert contacts(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("kwargs.get('past_key_values')", "1: 'past_key_values'"),
        ("model(use_cache=False)", "1: use_cache="),
        ("def late():\n    from transformers import DynamicCache", "2: import transformers"),
        ("decoder.config", "1: .config"),
        ("cache.get_seq_length()", "1: .get_seq_length"),
    ],
)
def test_a_contact_is_seen(source, expected):
    assert contacts(source) == [expected]


# lmms-eval

PACKAGES = [Path(package.__file__).parent for package in (hallu_models, hallu_tasks, registry)]
RUNNER = PACKAGES[-1] / "runner"
RUNNER_FILES = [path for package in PACKAGES for path in sorted(package.rglob("*.py")) if RUNNER not in path.parents]

RUNNER_NAMES = frozenset(
    "GenerationResult TokenCounts unwrap_generation_output ModelManifest TaskManager get_task_dict ResponseCache "
    "EvaluationTracker save_results_aggregated save_results_samples cli_evaluate cli_evaluate_single log_metrics "
    "initialize_tasks match_tasks load_task_or_group task_index _get_config all_subtasks _cache_root "
    "_model_fingerprint_hash _global_rank audit_path db_path general_config_tracker model_name_sanitized "
    "token_counts _results.json".split()
)
"""What lmms-eval's modules and objects are asked for."""

REQUESTS = frozenset("request requests batch instance".split())
"""What requests are called where they are read."""


def runner_contacts(source: str) -> list[str]:
    """What a source knows of lmms-eval, with its line. Docstrings and texts for users are left alone."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else [one.name for one in node.names]
            found += [(node.lineno, f"import {name}") for name in modules if name.split(".")[0] == "lmms_eval"]
            found += [(node.lineno, f"import {one.name}") for one in node.names if one.name in RUNNER_NAMES]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            if re.fullmatch(r"lmms_eval([./:]\w+)*", node.value) or node.value in RUNNER_NAMES:
                found.append((node.lineno, repr(node.value)))
        elif isinstance(node, ast.Attribute) and (
            node.attr in RUNNER_NAMES or (node.attr == "args" and _names(node.value) & REQUESTS)
        ):
            found.append((node.lineno, f".{node.attr}"))
        elif isinstance(node, ast.Name) and node.id in RUNNER_NAMES:
            found.append((node.lineno, node.id))
    return [f"{line}: {what}" for line, what in sorted(found)]


def _names(node: ast.expr) -> set[str]:
    return {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}


@pytest.mark.parametrize("path", RUNNER_FILES, ids=lambda path: path.relative_to(ROOT.parent).as_posix())
def test_no_contact_with_lmms_eval_outside_its_layer(path):
    assert runner_contacts(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("from lmms_eval.api.model import lmms", ["1: import lmms_eval.api.model"]),
        ("def late():\n    import lmms_eval", ["2: import lmms_eval"]),
        ("if typing.TYPE_CHECKING:\n    from lmms_eval import tasks", ["2: import lmms_eval"]),
        ("importlib.import_module('lmms_eval.models')", ["1: 'lmms_eval.models'"]),
        ("find_spec('lmms_eval')", ["1: 'lmms_eval'"]),
        ("Path('lmms_eval/tasks')", ["1: 'lmms_eval/tasks'"]),
        ("getattr(tracker, 'save_results_samples')", ["1: 'save_results_samples'"]),
        ("cache._cache_root", ["1: ._cache_root"]),
        ("_, _, options, *_ = request.args", ["1: .args"]),
        ("requests[0].args[2]", ["1: .args"]),
        ("error.args", []),
        ('"""As lmms_eval.tasks does."""', []),
        ("print('python -m lmms_eval --tasks hallu_demo')", []),
    ],
)
def test_a_contact_with_lmms_eval_is_seen(source, expected):
    assert runner_contacts(source) == expected


def test_the_layer_has_a_room_for_each_line_of_its_page():
    page = (RUNNER / "README.md").read_text(encoding="utf-8")
    rooms = {path.name for path in RUNNER.glob("*.py")} - {"__init__.py"}
    assert rooms == set(re.findall(r"`(\w+\.py)`", page.partition("## When")[0])) - {"results.py"}
