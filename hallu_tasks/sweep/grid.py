"""The settings of a sweep: what ``--grid`` says, checked against the method's card before anything runs."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from registry.arguments import convert, model_args, params, preset_file
from registry.arguments.model_args import assignments
from registry.cards import layers
from registry.cards.layers import LayerSpec
from registry.cards.parameter import Parameter, show
from registry.errors import BadArgument
from registry.model_families import family
from registry.plugins import lazy, model_ids
from registry.runs import source

__all__ = ["Cell", "assignments", "cells", "checkpoint_of", "method_of", "require_arguments"]

_HINTS: Mapping[str, object] = {
    "number": float, "whole": int, "flag": bool, "text": str, "layers": LayerSpec, "list": tuple[float, ...],
}  # fmt: skip


@dataclass(frozen=True)
class Cell:
    """One run: `model` and `model_args` as lmms-eval takes them; `values` those of the grid, in its order."""

    model: str
    model_args: str
    method: str = model_ids.CONTROL
    values: Mapping[str, str] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """``alpha=2,layers=1+4-7``, or the method where no parameter is swept."""
        return ",".join(f"{name}={value}" for name, value in self.values.items()) or self.method

    @property
    def folder(self) -> str:
        """``alpha=2+layers=1+4-7``, with a hash where characters had to be replaced; or the method.

        No comma, at which lmms-eval would cut ``--output_path``.
        """
        parts = {name: re.sub(r"[^\w.+-]", "_", value) for name, value in self.values.items()}
        safe = "+".join(f"{name}={value}" for name, value in parts.items()) or self.method
        return safe if parts == self.values else f"{safe}~{hashlib.sha256(self.text.encode()).hexdigest()[:6]}"


def cells(model: str, model_args: str, grid: Sequence[str]) -> list[Cell]:
    """Every combination of the values, the last parameter changing fastest.

    `grid` holds texts such as ``alpha=0.5,1,2``. They and `model_args` are checked against the cards of the method in
    `model` or, for the generic id, in `model_args`, layers also against a checkpoint whose folder is at hand; values of
    methods without a card are left to the run. Raises `ValueError` naming the parameter, the value and what is allowed.
    """
    method, given = _swept(model, model_args), assignments(model_args)
    axes: dict[str, list[str]] = {}
    for text in grid:
        name, equals, values = text.partition("=")
        if not equals or not name.strip() or not values.strip():
            raise BadArgument(f"--grid {text}: expected name=value,value, e.g. --grid alpha=0.5,1,2")
        name = name.strip()
        if name in axes:
            raise BadArgument(f"--grid {text}: {name} is there twice; give all its values in one --grid")
        axes[name] = _values(method, name, values)
    if taken := [name for name in axes if name in given]:
        raise BadArgument(f"--grid {taken[0]}: it is in --model_args too; leave it out there")
    require_arguments(model, method, given)
    for depth in _depths(checkpoint_of(model, model_args)):
        for name, chosen in (*axes.items(), *((name, [value]) for name, value in given.items())):
            _require_layers(method, name, chosen, depth)
    found = (Cell(model, "", method, dict(zip(axes, values))) for values in itertools.product(*axes.values()))
    return [replace(cell, model_args=",".join(filter(None, (model_args, cell.text)))) for cell in found]


def checkpoint_of(model: str, model_args: str) -> str:
    """The checkpoint that runs load: what the arguments name, else the family's; empty for a generic id without one."""
    name, _ = model_ids.split(model)
    default = family.load()[name].checkpoint if name else None
    return assignments(model_args).get("pretrained") or default or ""


def require_arguments(model: str, method: str, given: Mapping[str, str]) -> None:
    """Raise `BadArgument` for a name in ``--model_args`` that the model does not take, or a value out of its range."""
    own = {name: value for name, value in given.items() if not (model == model_ids.GENERIC and name == "method")}
    _, rest = preset_file.taken(own, lazy.composition(method))
    split, _ = params.split_arguments(rest, method, model_args.MODEL)
    for owner, values in split.items():
        for name, value in values.items():
            if (parameter := lazy.card(owner).parameter(name)) is not None:
                _spelled(owner, parameter, str(value))


def _depths(checkpoint: str) -> list[int]:
    """The number of layers of a checkpoint whose folder is at hand, else nothing."""
    folder = source.checkpoint_folder(checkpoint)
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8")) if folder else {}
        depth = (config.get("text_config") or config).get("num_hidden_layers")
    except (OSError, ValueError, AttributeError):
        return []
    return [depth] if isinstance(depth, int) else []


def _require_layers(method: str, name: str, values: Sequence[str], depth: int) -> None:
    for part in lazy.composition(method):
        prefix, _, own = name.rpartition(".")
        parameter = lazy.card(part).parameter(own) if prefix in ("", part) else None
        if parameter is not None and parameter.kind == "layers":
            for value in values:
                if value != layers.AUTO:
                    layers.resolve(value, depth, argument=own, method=part)


def method_of(model: str, model_args: str) -> str | None:
    """The method of the runs, None for the plain model."""
    _, method = model_ids.split(model)
    return assignments(model_args).get("method") if model == model_ids.GENERIC else method


def _swept(model: str, model_args: str) -> str:
    method = method_of(model, model_args)
    if method is None:
        raise BadArgument(
            f"--model {model} runs without a method, so it has no parameter to sweep; "
            "name a method, e.g. --model llava_vhr (`hallu models` lists all)"
        )
    return method


def _values(method: str, name: str, text: str) -> list[str]:
    """The values of one parameter in their one spelling."""
    given = [value.strip() for value in re.findall(r'(?:\[[^\]]*\]|"[^"]*"|[^,\["])+', text)]
    split, _ = params.split_arguments({name: ",".join(given)}, method, ())
    owner = next(part for part, own in split.items() if own)
    parameter = lazy.card(owner).parameter(name.rpartition(".")[2])
    spelled = [_spelled(owner, parameter, value) if parameter else value for value in given]
    if repeated := [value for place, value in enumerate(spelled) if value in spelled[:place]]:
        raise BadArgument(f"--grid {name}: {name}={repeated[0]} is there twice")
    return spelled


def _spelled(method: str, parameter: Parameter, text: str) -> str:
    """A value after the checks that the run will make."""
    if (choice := next((one for one in parameter.choices if show(one) == text), None)) is not None:
        value: object = choice
    elif text.lower() == "none" and parameter.default is None:
        value = None
    else:
        try:
            value = convert.convert(text, _HINTS[parameter.kind])
        except convert.Mismatch as mismatch:
            raise BadArgument(parameter.refusal(text, str(mismatch), method)) from None
        parameter.require(value, method)
    return params.canonical({parameter.name: value}).partition("=")[2] or "none"
