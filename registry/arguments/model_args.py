"""What every model takes in ``--model_args`` beside a method's parameters, and the types of these arguments."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

from registry.arguments import params
from registry.errors import BadArgument

__all__ = ["LOADING", "MODEL", "assignments", "joined", "loading", "loading_of", "pairs"]

LOADING: Mapping[str, Any] = {
    "pretrained": str | None,
    "device": str | None,
    "dtype": Literal["auto", "float32", "bfloat16", "float16", "float64"] | None,
    "revision": str | None,
    "attn_implementation": str | None,
    "device_map": str | None,
    "trust_remote_code": bool,
}
"""How a checkpoint is loaded; none is what holds where the argument is not given."""

MODEL: Mapping[str, Any] = {
    "branch": Literal["paired", "sequential"],
    "seed": int,
    **LOADING,
    "system_prompt": str | None,
    "images": int | str,
    "quantization": str | None,
}
"""What lmms-eval's model class takes."""


def pairs(model_args: str) -> dict[str, str]:
    """What ``--model_args`` sets, by name. Raises ``BadArgument`` for a part without a name."""
    parts = [part for part in model_args.split(",") if part]
    if wrong := [part for part in parts if "=" not in part]:
        raise BadArgument(f"--model_args {wrong[0]}: expected name=value, e.g. pretrained=demo,alpha=2")
    return dict(part.split("=", 1) for part in parts)


def assignments(model_args: str) -> dict[str, str]:
    """As :func:`pairs`, with commas in values: a comma inside a value is followed by no name with ``=``."""
    parts = (part.partition("=") for part in re.split(r",(?=\s*[\w.]+=)", model_args) if part.strip())
    return {name.strip(): value.strip() for name, _, value in parts}


def joined(given: Mapping[str, str]) -> str:
    """The ``--model_args`` that set this."""
    return ",".join(f"{key}={value}" for key, value in given.items())


def loading_of(model_args: str) -> dict[str, Any]:
    """The arguments of :func:`hallu_models.load` in ``--model_args``, which may hold nothing else.

    Raises ``BadArgument`` for another name, and for a value of another type.
    """
    given = pairs(model_args)
    if other := [name for name in given if name not in LOADING]:
        raise BadArgument(f"--model_args {other[0]}={given[other[0]]}: allowed are {', '.join(LOADING)}")
    return loading(given, "--model_args")


def loading(values: Mapping[str, object], title: str) -> dict[str, Any]:
    """The arguments of :func:`hallu_models.load` among `values`, without those that are none.

    Raises ``BadArgument``, which begins with `title`, for a value of another type.
    """
    own = {name: value for name, value in values.items() if name in LOADING}
    return {name: value for name, value in params.typed(own, LOADING, title).items() if value is not None}
