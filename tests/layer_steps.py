"""Hooks of a method called by hand, and a whole method in another precision."""

from __future__ import annotations

import copy
from typing import Any

import torch
from conftest import MIXED, prompts, tiny_llava
from torch import Tensor

import hallu_models
from hallu_models.engines.step import LayerStep, Recorder, State
from hallu_models.layout import Layout


def layout(*rows: str) -> Layout:
    """Rows of columns: "." padding, "t" text, "i" image."""
    kinds = [[letter == kind for letter in row] for kind in "i." for row in rows]
    image, padding = torch.tensor(kinds).chunk(2)
    return Layout(image, padding)


def at(found: Layout, *, step: int = 0, layer: int = 0, **kept: Any) -> LayerStep:
    """The place of a method in one layer and forward; ``kept`` is what it kept in its generation."""
    length, rows = found.padding.shape[1] + step, found.rows
    generation = State("method", rows)
    generation.update(kept)
    return LayerStep(layer, step, found, found.columns(length), State("method", rows), generation, {}, Recorder())


def logits(dtype: torch.dtype, method: str, **parameters: Any) -> Tensor:
    """(B, T, V) of a tiny model in this precision."""
    model = copy.deepcopy(tiny_llava(2)).to(dtype)
    batch = prompts(MIXED)
    batch["pixel_values"] = batch["pixel_values"].to(dtype)
    with torch.no_grad(), hallu_models.attach(model, method, check=False, **parameters):
        output = model.generate(**batch, max_new_tokens=6, return_dict_in_generate=True, output_logits=True)
    return torch.stack(output.logits, dim=1)
