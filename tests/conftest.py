"""Shared fixtures: a tiny random LLaVA in float32, with and without grouped heads."""

from __future__ import annotations

import os
import runpy
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# Interpreters that tests start read YAML faster.
os.environ["PYTHONPATH"] = os.pathsep.join(
    filter(None, [str(Path(__file__).parent / "quick"), os.environ.get("PYTHONPATH")])
)

import pytest
import yaml
from transformers import LlavaForConditionalGeneration

from hallu_models.testing.tiny_llava import IMAGE, IMAGE_TOKENS, MIXED, prompts, take, tiny_llava

runpy.run_path(str(Path(__file__).parent / "quick" / "sitecustomize.py"))["with_libyaml"](yaml)

__all__ = ["IMAGE", "IMAGE_TOKENS", "MIXED", "prompts", "take", "tiny_llava"]


@pytest.fixture(scope="session", autouse=True)
def _own_recovery_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Answers that another run of the tests has kept are none of this one's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HALLU_RECOVERY", str(tmp_path_factory.mktemp("recovery")))
        yield


@pytest.fixture(scope="session", params=[4, 2], ids=["heads", "grouped"])
def model(request: pytest.FixtureRequest) -> LlavaForConditionalGeneration:
    return tiny_llava(request.param)


@pytest.fixture(scope="session")
def plain_heads() -> LlavaForConditionalGeneration:
    return tiny_llava(4)
