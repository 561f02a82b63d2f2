"""What every model takes in ``--model_args`` beside a method's parameters, and the types of these arguments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from registry import params

__all__ = ["LOADING", "MODEL", "loading"]

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


def loading(values: Mapping[str, object], title: str) -> dict[str, Any]:
    """The arguments of :func:`hallu_models.load` among `values`, without those that are none.

    Raises ``BadArgument``, which begins with `title`, for a value of another type.
    """
    own = {name: value for name, value in values.items() if name in LOADING}
    return {name: value for name, value in params.typed(own, LOADING, title).items() if value is not None}
