"""lmms-eval as a program: how it is started, and the function that makes one evaluation.

It catches what an evaluation raises, logs "Error during evaluation" and ends with status 0.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from registry.errors import UnknownName
from registry.runner.mismatch import RunnerMismatch, member, part, require_parameters
from registry.runner.mismatch import module as _module

Evaluate = Callable[[argparse.Namespace], Any]

_ONE = "cli_evaluate_single"


def watch(watched: Callable[[Evaluate], Evaluate]) -> None:
    """Put ``watched(evaluate)`` in the place of the function that makes one evaluation.

    Whoever looks it up afterwards, as lmms-eval's loop over evaluations does at each call, gets that. Raises
    `RunnerMismatch` where there is none.
    """
    main = _module("__main__")
    original = member(main, _ONE, "the module __main__")
    require_parameters(original, ["args"], _ONE)
    setattr(main, _ONE, watched(original))


def start() -> None:
    """Run the program with the command line of this process. Raises `RunnerMismatch`, and what the program raises."""
    part("cli.dispatch", "main")()


def wanted(arguments: argparse.Namespace, name: str) -> Any:
    """An option of an evaluation. Raises `RunnerMismatch` where the parsed command line does not have it."""
    return member(arguments, name, "the parsed command line")


def require_model(name: str | None) -> None:
    """Raise `UnknownName`, with near matches, for a model that lmms-eval does not have.

    Its own error lists some eight hundred names. It is left to that where its list is not as it is known.
    """
    try:
        known = part("models", "list_available_models")(include_aliases=True)
    except (RunnerMismatch, TypeError):
        return
    if name and name not in known:
        raise UnknownName("model", name, known, "hallu models")
