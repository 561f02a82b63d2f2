"""``hallu_models.models.<model id>``: the class that lmms-eval instantiates for an id.

lmms-eval does not tell a class which id was asked for, so every id is a class of its own, made on first use.
"""

from __future__ import annotations

import functools

from hallu_models.adapter import HalluModel
from registry.plugins import model_ids


@functools.cache
def __getattr__(name: str) -> type[HalluModel]:
    if name.startswith("_"):
        raise AttributeError(name)
    try:
        family, method = model_ids.split(name)
    except ValueError as error:
        raise AttributeError(str(error)) from error
    return type(name, (HalluModel,), {"__module__": __name__, "model_id": name, "family": family, "method": method})
