"""The settings of a sweep: what ``--grid`` says, checked against the method's card before anything runs."""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from registry import convert, lazy, model_ids, params
from registry.errors import BadArgument
from registry.layers import LayerSpec
from registry.parameter import Parameter, show

__all__ = ["Cell", "cells", "names"]

_HINTS: Mapping[str, object] = {
    "number": float, "whole": int, "flag": bool, "text": str, "layers": LayerSpec, "list": tuple[float, ...],
}  # fmt: skip


@dataclass(frozen=True)
class Cell:
    """One setting. `values` are in the order of the grid, as ``--model_args`` takes them."""

    values: Mapping[str, str]

    @property
    def text(self) -> str:
        """``alpha=2,layers=1+4-7``."""
        return ",".join(f"{name}={value}" for name, value in self.values.items())

    @property
    def folder(self) -> str:
        """The text as a folder's name, with a hash where characters had to be replaced."""
        safe = re.sub(r"[^\w.+=,-]", "_", self.text)
        return safe if safe == self.text else f"{safe}~{hashlib.sha256(self.text.encode()).hexdigest()[:6]}"


def cells(model: str, model_args: str, grid: Sequence[str]) -> list[Cell]:
    """Every combination of the values, the last parameter changing fastest.

    `grid` holds texts such as ``alpha=0.5,1,2``. Values are checked against the cards of the method in `model` or,
    for the generic id, in `model_args`; those of methods without a card are left to the run. Raises `ValueError`
    naming the parameter, the value and what is allowed.
    """
    method = _method(model, model_args)
    axes: dict[str, list[str]] = {}
    for text in grid:
        name, equals, values = text.partition("=")
        if not equals or not name.strip() or not values.strip():
            raise BadArgument(f"--grid {text}: expected name=value,value, e.g. --grid alpha=0.5,1,2")
        name = name.strip()
        if name in axes:
            raise BadArgument(f"--grid {text}: {name} is there twice; give all its values in one --grid")
        axes[name] = _values(method, name, values)
    if taken := [name for name in axes if name in names(model_args)]:
        raise BadArgument(f"--grid {taken[0]}: it is in --model_args too; leave it out there")
    return [Cell(dict(zip(axes, values))) for values in itertools.product(*axes.values())]


def names(model_args: str) -> list[str]:
    """The names that ``--model_args`` sets."""
    return re.findall(r"(?:^|,)\s*([\w.]+)=", model_args)


def _method(model: str, model_args: str) -> str:
    _, method = model_ids.split(model)
    if model == model_ids.GENERIC:
        found = re.search(r"(?:^|,)\s*method=([^,]+)", model_args)
        method = found[1].strip() if found else None
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
