"""Model families: what shares a checkpoint layout, a prompt and the papers' settings."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from registry import data_file
from registry.card import NEEDS

IMAGES = ("any", "by prompt", "all or none", "one")
"""How many images a prompt may have, and how the processor takes them."""

Status = Literal["works", "limited", "refused"]


@dataclass(frozen=True)
class Cell:
    """Whether a method works on a family; ``reason`` is the limit, or why it is refused."""

    status: Status
    reason: str


@dataclass(frozen=True)
class Family:
    """``checkpoint`` and ``revision`` are the default weights (Hub id; None is the newest revision).

    ``auto``, which takes any checkpoint, has neither these nor ``model_types``.
    ``model_types`` are the ``model_type`` values of transformers configurations that belong here. ``prompt`` is the
    chat template for checkpoints without one. ``images`` tells how the processor takes them: ``any`` number a prompt,
    as one list; ``by prompt``, a list for each prompt; ``all or none``, likewise, but in every prompt of a batch or in
    none; ``one`` for every prompt. ``limits`` are the known limits of the
    models themselves. ``cells`` holds what is limited or refused here of the
    things that methods need, by :data:`registry.card.NEEDS`; ``any`` stands for every method.
    """

    id: str
    title: str
    checkpoint: str | None
    revision: str | None
    model_types: tuple[str, ...]
    prompt: str | None
    images: str
    limits: tuple[str, ...]
    cells: Mapping[str, Cell]


@dataclass(frozen=True)
class Refused:
    """Models on which no method can act, and why."""

    id: str
    title: str
    model_types: tuple[str, ...]
    reason: str


@functools.cache
def load() -> Mapping[str, Family]:
    """Every family by id. Raises ``CardError`` for a malformed file."""
    return MappingProxyType(read(Path(__file__).with_name("families.yaml")))


def read(path: Path) -> dict[str, Family]:
    """The families in a file. Raises ``CardError`` with file and key, also for a model type claimed twice."""
    top = data_file.open_file(path)
    found: dict[str, Family] = {}
    owner: dict[str, str] = {}
    for name in top.all():
        section = top.section(name)
        checkpoint = section.optional_text("checkpoint")
        family = Family(
            id=name,
            title=section.text("title"),
            checkpoint=checkpoint,
            revision=section.optional_text("revision"),
            model_types=section.texts("model_types", required=checkpoint is not None),
            prompt=section.optional_text("prompt"),
            images=section.choice("images", IMAGES, "any"),
            limits=section.texts("limits", required=False),
            cells={_need(one): _cell(one) for one in section.sections("cells", required=False)},
        )
        section.finish()
        for model_type in family.model_types:
            if model_type in owner:
                section.fail("model_types", f"{model_type} belongs to {owner[model_type]} already")
            owner[model_type] = name
        found[name] = family
    return found


def _need(section: data_file.Section) -> str:
    if section.name not in (*NEEDS, "any"):
        section.fail("", f"is not among what methods need; allowed: {', '.join(NEEDS)}, any")
    return section.name


def _cell(section: data_file.Section) -> Cell:
    status: Status = "refused" if "refused" in section.all() else "limited"
    cell = Cell(status, section.text(status))
    section.finish()
    return cell


@functools.cache
def refused() -> Mapping[str, Refused]:
    """Models that no method can act on, by id. Raises ``CardError`` for a malformed file."""
    top = data_file.open_file(Path(__file__).with_name("refused.yaml"))
    found = {}
    for name in top.all():
        section = top.section(name)
        found[name] = Refused(name, section.text("title"), section.texts("model_types"), section.text("reason"))
        section.finish()
    return MappingProxyType(found)


def by_model_type(model_type: str) -> Family | None:
    """The family of a transformers ``config.model_type``; None where no family claims it."""
    return next((family for family in load().values() if model_type in family.model_types), None)
