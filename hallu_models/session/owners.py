"""Which thread a model belongs to: one session at a time, used by the thread that attached it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any
from weakref import WeakKeyDictionary

_OWNERS: WeakKeyDictionary[Any, threading.Thread] = WeakKeyDictionary()
"""The thread that holds a model: nobody else may attach to it."""
_TAKING, INSPECTING = threading.Lock(), threading.Lock()


@contextlib.contextmanager
def held(model: Any) -> Iterator[None]:
    """Inside, the model is this thread's; RuntimeError where it is one's already."""
    with _TAKING:
        refuse_nesting(model)
        _OWNERS[model] = threading.current_thread()
    try:
        yield
    finally:
        del _OWNERS[model]


def refuse_nesting(model: Any) -> None:
    """Raises RuntimeError where the model has a session, of this thread or of another one, which is named."""
    owner, here = _OWNERS.get(model), threading.current_thread()
    if owner is here:
        raise RuntimeError(
            'this model has a session already; write a composition such as method="eah+vhr" instead of nesting'
        )
    if owner is not None:
        raise RuntimeError(
            f"thread {owner.name!r} has a session on this model, so thread {here.name!r} cannot attach another; wait "
            "until its block is left, hand its session.generate to this thread, or load a model for each thread"
        )
