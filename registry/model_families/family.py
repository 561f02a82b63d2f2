"""Model families: what shares a checkpoint layout, a prompt and the papers' settings."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from registry.cards import built_in
from registry.cards.card import USES, Card
from registry.files import data_file

IMAGES = ("any", "by prompt", "all or none", "one")
"""How many images a prompt may have, and how the processor takes them."""

ANYTHING = "anything"
"""The use that every method has."""

Status = Literal["works", "limited", "refused"]


@dataclass(frozen=True)
class Cell:
    """Whether a method works on a family; ``reason`` is the limit, or why it is refused."""

    status: Status
    reason: str


WORKS = Cell("works", "")


@dataclass(frozen=True)
class Family:
    """``checkpoint`` and ``revision`` are the default weights (Hub id; None is the newest revision).

    ``auto``, which takes any checkpoint, has neither these nor ``model_types``.
    ``model_types`` are the ``model_type`` values of transformers configurations that belong here. ``prompt`` is the
    chat template for checkpoints without one. ``images`` tells how the processor takes them: ``any`` number a prompt,
    as one list; ``by prompt``, a list for each prompt; ``all or none``, likewise, but in every prompt of a batch or in
    none; ``one`` for every prompt. ``limits`` are the known limits of the
    models themselves. ``uses`` holds what is limited or refused here of what methods use, the keys of
    :data:`registry.cards.card.USES`, and under :data:`ANYTHING` what holds for every method.
    """

    id: str
    title: str
    checkpoint: str | None
    revision: str | None
    model_types: tuple[str, ...]
    prompt: str | None
    images: str
    limits: tuple[str, ...]
    uses: Mapping[str, Cell]

    def cell(self, method: Card) -> Cell:
        """Whether a method works here, by what it uses: a refusal counts before a limit."""
        found = [self.uses[use] for use in (*method.uses, ANYTHING) if use in self.uses]
        return next((cell for cell in found if cell.status == "refused"), found[0] if found else WORKS)

    @property
    def cells(self) -> dict[str, Cell]:
        """The built-in methods that are limited or refused here."""
        cells = {name: self.cell(built_in.load(name)) for name in built_in.names()}
        return {name: cell for name, cell in cells.items() if cell.status != "works"}


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
            uses={one.name: _cell(one) for one in section.sections("uses", required=False)},
        )
        for use in family.uses:
            if use not in (*USES, ANYTHING):
                section.fail(f"uses.{use}", f"is not one of {', '.join((*USES, ANYTHING))}")
        section.finish()
        for model_type in family.model_types:
            if model_type in owner:
                section.fail("model_types", f"{model_type} belongs to {owner[model_type]} already")
            owner[model_type] = name
        found[name] = family
    return found


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
