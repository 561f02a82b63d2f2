"""Names of the host libraries are known in the contact layer alone."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import hallu_models

ROOT = Path(hallu_models.__file__).parent
LAYER = ROOT / "hosts"
APART = {ROOT / "demo" / "train.py"}
"""Builds a model of transformers' classes from nothing, and ships no method."""

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
