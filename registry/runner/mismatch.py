"""The error of an lmms-eval that is not as this release knows it, and the look-ups that raise it."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterable
from typing import Any

from registry.installation import ranges
from registry.runner.names import DISTRIBUTION, PACKAGE


class RunnerMismatch(RuntimeError):
    """lmms-eval has a name or a shape that this release does not know, where a run needs it.

    The message says what does not hold, what is installed, what it is known to hold with, and how to get that.
    """

    def __init__(self, what: str) -> None:
        super().__init__(f"{what}\n{ranges.advice((DISTRIBUTION,))}")
        self.what = what


def module(name: str) -> Any:
    """The module ``lmms_eval.<name>``.

    Raises `RunnerMismatch` where it is not there, and whatever its own import raises.
    """
    path = f"{PACKAGE}.{name}"
    try:
        return importlib.import_module(path)
    except ModuleNotFoundError as error:
        # A package that lmms-eval itself misses is another matter.
        if error.name is None or not f"{path}.".startswith(f"{error.name}."):
            raise
        raise RunnerMismatch(f"lmms-eval has no module {path}") from error


def part(name: str, attribute: str) -> Any:
    """``attribute`` of the module ``lmms_eval.<name>``. Raises `RunnerMismatch` where either is not there."""
    found = module(name)
    try:
        return getattr(found, attribute)
    except AttributeError as error:
        raise RunnerMismatch(f"lmms-eval has no {PACKAGE}.{name}.{attribute}") from error


def member(owner: Any, attribute: str, of: str) -> Any:
    """``attribute`` of an object of lmms-eval that messages call ``of``. Raises `RunnerMismatch`."""
    try:
        return getattr(owner, attribute)
    except AttributeError as error:
        raise RunnerMismatch(f"{of} of lmms-eval has no {attribute}") from error


def parameters(function: Callable[..., object]) -> tuple[str, ...]:
    """Names of a function's parameters."""
    return tuple(inspect.signature(function).parameters)


def require_parameters(function: Callable[..., object], wanted: Iterable[str], of: str) -> None:
    """Raises `RunnerMismatch` where a function of lmms-eval has not all these parameters."""
    have = parameters(function)
    if missing := [name for name in wanted if name not in have]:
        raise RunnerMismatch(f"{of} of lmms-eval has no parameter {', '.join(missing)}; it has {', '.join(have)}")
