"""The runs of ``--methods``: the control arm, and each method at its card's settings."""

from __future__ import annotations

from hallu_tasks.sweep.grid import Cell, assignments, require_arguments
from registry.arguments.model_args import joined
from registry.errors import BadArgument
from registry.model_families import matrix
from registry.plugins import lazy, model_ids, shams

__all__ = ["ALL", "cells"]

ALL = "all"


def cells(model: str, model_args: str, methods: str, controls: bool = False) -> list[Cell]:
    """The control arm, then each of the methods: names with commas between them, or ``all`` that run on the family.

    With `controls` their shams follow, each with the arguments of the method that it is like. ``all`` has none of them.

    `model` is a control arm (``llava_base``) or the generic id. An argument with a method's name in front
    (``vhr.alpha=3``) goes to that method's runs alone. Raises `ValueError` naming what is not known.
    """
    family_id, method = model_ids.split(model)
    given = assignments(model_args)
    if method is not None or "method" in given:
        control = f"--model {family_id}_{model_ids.CONTROL}" if family_id else "no method= in --model_args"
        raise BadArgument(f"--methods runs each of the methods and the plain model; give {control}")
    names = _chosen(methods, family_id)
    if controls:
        names = list(dict.fromkeys([*names, *(sham for name in names for sham in shams.of(name, family_id))]))
    parts = {name: lazy.composition(name) for name in names}
    shared = {key: value for key, value in given.items() if "." not in key}
    for key, value in given.items():
        if key not in shared and not any(key.partition(".")[0] in owners for owners in parts.values()):
            raise BadArgument(f"--model_args {key}={value}: {key.partition('.')[0]} is none of --methods {methods}")
    owned: dict[str, dict[str, str]] = {}
    for key, value in given.items():
        owner, _, parameter = key.rpartition(".")
        owned.setdefault(owner, {})[parameter] = value
    found = [Cell(model, joined(shared))]
    for name, owners in parts.items():
        # A single method's parameters are its run's only ones, so they need no name in front.
        own = {
            key.partition(".")[2] if len(owners) == 1 else key: value
            for key, value in given.items()
            if key.partition(".")[0] in owners and key not in shared
        }
        if controls and shams.is_control(name):
            own = {**shams.settings(name, owned), **own}
        generic = {} if family_id and len(owners) == 1 else {"method": name}
        cell = Cell(model_ids.GENERIC if generic else f"{family_id}_{name}", joined({**shared, **generic, **own}), name)
        require_arguments(cell.model, name, assignments(cell.model_args))
        found.append(cell)
    return found


def _chosen(methods: str, family_id: str | None) -> list[str]:
    if methods == ALL:
        known = list(lazy.interventions().names())
        row = matrix.table(map(lazy.card, known))[family_id] if family_id else {}
        return [
            name
            for name in known
            if (family_id is None or row[name].status != "refused") and not shams.is_control(name)
        ]
    names = [name.strip() for name in methods.split(",")]
    if twice := [name for place, name in enumerate(names) if name in names[:place]]:
        raise BadArgument(f"--methods {methods}: {twice[0]} is there twice")
    return names
