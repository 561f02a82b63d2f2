"""The runs behind a card's published rows: a control arm and a method's, each an ordinary run of lmms-eval."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from hallu_tasks.reproduce import setting
from hallu_tasks.reproduce.setting import Setting
from hallu_tasks.sweep import grid
from hallu_tasks.sweep.grid import Cell
from registry.arguments import model_args as common
from registry.arguments import params
from registry.cards import layers
from registry.cards.card import Card, Published
from registry.errors import BadArgument, UnknownName
from registry.model_families import family, published
from registry.model_families.published import PublishedModel
from registry.plugins import lazy, model_ids
from registry.runs import source

__all__ = ["DEMO", "Arm", "Entry", "chosen", "entries", "is_demo", "prepared"]

DEMO = "demo"


@dataclass(frozen=True)
class Arm(Cell):
    """One run; `name` is its folder below the output, `arguments` what lmms-eval gets beside model and tasks.

    `options` are its ``--gen_kwargs``, `own` the method's parameters.
    """

    name: str = ""
    tasks: str = ""
    options: Mapping[str, str] = field(default_factory=dict)
    own: Mapping[str, object] = field(default_factory=dict)
    arguments: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        return self.name

    @property
    def folder(self) -> str:
        return self.name

    def command(self, output: Path) -> str:
        """The line for a shell."""
        words = ["hallu", "run", "--model", self.model, "--model_args", self.model_args, "--tasks", self.tasks]
        return shlex.join([*words, *self.arguments, "--output_path", str(output / self.folder), "--log_samples"])


@dataclass(frozen=True)
class Entry:
    """A published row with its number on the card, its model (``None`` for a name that is not known) and its runs.

    `arms` are the control arm and the method's, and empty where the setting cannot be expressed or was not prepared.
    """

    number: int
    method: str
    row: Published
    model: PublishedModel | None
    setting: Setting
    arms: tuple[Arm, ...] = ()

    @property
    def problems(self) -> tuple[str, ...]:
        """Why it cannot be run, each naming a field."""
        if self.model is not None:
            return self.setting.problems
        known = ", ".join(published.load())
        return (f"model: {self.row.model} is not a published name that is known here ({known})", *self.setting.problems)

    def compare(self, output: Path) -> str:
        """The line for a shell that compares its arms."""
        control, method = self.arms
        folders = [str(output / arm.folder) for arm in self.arms]
        differing = control.options != method.options
        return shlex.join(["hallu", "compare", *folders, *(["--allow-different", "decoding"] if differing else [])])


def is_demo(model_args: str) -> bool:
    """Whether ``--model_args`` puts the demo model in the place of the published ones."""
    return grid.assignments(model_args).get("pretrained") == DEMO


def entries(card: Card, *, demo: bool = False) -> list[Entry]:
    """Every published row of a card, in its order, numbered from 1."""
    models = published.load()
    return [
        Entry(number, card.name, row, models.get(row.model), setting.of(row, card, demo=demo))
        for number, row in enumerate(card.published, 1)
    ]


def chosen(found: Sequence[Entry], family_id: str, only: str | None) -> list[Entry]:
    """The rows of a family, or those of them that ``--only`` numbers, and rows whose model is not known.

    Raises `UnknownName` for a family that does not exist, and `ValueError` for one without published numbers and for
    numbers that are not among its rows.
    """
    if family_id not in family.load():
        raise UnknownName("family", family_id, family.load(), "hallu families")
    method = found[0].method
    own = [entry for entry in found if entry.model is not None and entry.model.family == family_id]
    if not own:
        there = ", ".join(dict.fromkeys(entry.model.family for entry in found if entry.model is not None))
        raise ValueError(
            f"--on {family_id}: the card of {method} has no published numbers of this family; "
            f"it has them of: {there or 'models of no family here'}, which `hallu reproduce {method}` lists"
        )
    if only is None:
        return [entry for entry in found if entry in own or entry.model is None]
    numbers = {str(entry.number): entry for entry in own}
    if wrong := [text for text in only.split(",") if text.strip() not in numbers]:
        raise ValueError(
            f"--only {only}: {wrong[0]!r} is no row of {method} on {family_id}; it has {', '.join(numbers)}"
        )
    return [entry for number, entry in numbers.items() if number in map(str.strip, only.split(","))]


def prepared(entry: Entry, model_args: str, more: Sequence[str]) -> Entry:
    """The entry with its arms, unchanged where it cannot be run.

    `more` are further arguments of lmms-eval, for both arms. Raises `BadArgument` for a name in `model_args` that is
    none of the model's: the method's parameters are the publication's.
    """
    given = grid.assignments(model_args)
    if wrong := [name for name in given if name not in common.MODEL]:
        raise BadArgument(
            f"--model_args {wrong[0]}={given[wrong[0]]}: what is reproduced sets the method's parameters itself; "
            f"allowed: {', '.join(common.MODEL)}"
        )
    if entry.problems or entry.model is None:
        return entry
    one, host = entry.setting, entry.model.family
    if is_demo(model_args):
        host, depth = _demo()
        if problem := _layers(entry, depth):
            return replace(entry, setting=replace(one, problems=(f"parameters: {problem}",)))
    shared = {"pretrained": entry.model.checkpoint, **given}
    above = f"{Path(shared['pretrained']).name}/{one.name}"

    def arm(method: str, options: Mapping[str, str], own: Mapping[str, object]) -> Arm:
        text = params.canonical(own)
        spelled = ",".join([*(f"{name}={value}" for name, value in shared.items()), *filter(None, [text])])
        generation = ",".join(f"{name}={value}" for name, value in options.items())
        arguments = [
            *(["--gen_kwargs", generation] if generation else []),
            *(["--seed", one.seed] if one.seed else []),
            *more,
        ]
        folder = "+".join([method, *filter(None, [text.replace(",", "+")])])
        return Arm(
            model=f"{host}_{method}",
            model_args=spelled,
            method=method,
            name=f"{above}/{folder}",
            tasks=",".join(one.tasks),
            options=options,
            own=own,
            arguments=tuple(arguments),
        )

    arms = (arm(model_ids.CONTROL, one.options, {}), arm(entry.method, one.method_options, one.method_args))
    return replace(entry, arms=arms)


def _demo() -> tuple[str, int]:
    """The demo model's family and its number of layers."""
    folder = source.checkpoint_folder(DEMO)
    assert folder is not None
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    kind = family.by_model_type(config["model_type"])
    assert kind is not None
    return kind.id, config["text_config"]["num_hidden_layers"]


def _layers(entry: Entry, depth: int) -> str:
    """Why the row's layers are not there in a model of this depth, else empty."""
    for name, value in entry.setting.method_args.items():
        parameter = lazy.card(entry.method).parameter(name)
        if parameter is not None and parameter.kind == "layers":
            try:
                layers.resolve(str(value), depth, argument=name, method=entry.method)
            except BadArgument as error:
                return str(error)
    return ""
