"""A request as lmms-eval makes it for a model that takes conversations, and the command line behind it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from loguru import logger

from registry.installation import ranges
from registry.runner.mismatch import RunnerMismatch
from registry.runner.names import DISTRIBUTION, is_program

RECORD = "hallu"
"""The entry of the command line's record that holds what this package says of a run."""


class Instance(Protocol):
    """A request of lmms-eval. Its arguments are read with `read` alone."""

    @property
    def args(self) -> tuple[Any, ...]: ...


class Request(NamedTuple):
    """What is asked: a prompt's text, its messages by document, generation options, and which document it is of."""

    context: str
    messages: Callable[[Any], list[dict[str, Any]]]
    generation: Mapping[str, Any]
    document: Any
    task: str
    split: str


_KINDS: tuple[tuple[str, Callable[[Any], bool]], ...] = (
    ("context", lambda value: isinstance(value, str)),
    ("doc_to_messages", callable),
    ("gen_kwargs", lambda value: isinstance(value, Mapping)),
    ("doc_id", lambda value: not callable(value) and not isinstance(value, Mapping)),
    ("task", lambda value: isinstance(value, str)),
    ("split", lambda value: isinstance(value, str)),
)


def read(instance: Instance) -> Request:
    """A request's arguments. Raises `RunnerMismatch` where they are laid out otherwise."""
    found = getattr(instance, "args", None)
    kinds = [type(value).__name__ for value in found] if isinstance(found, tuple) else type(found).__name__
    if not isinstance(found, tuple) or len(found) != len(_KINDS):
        what = "are"
    elif wrong := [name for (name, fits), value in zip(_KINDS, found) if not fits(value)]:
        what = f"have something else in the place of {', '.join(wrong)}:"
    else:
        return Request(*found)
    expected = ", ".join(name for name, _ in _KINDS)
    raise RunnerMismatch(f"the arguments of lmms-eval's requests {what} {kinds}, and known is ({expected})")


def record(requests: Sequence[Instance], run: Mapping[str, Any]) -> Any:
    """Put a run's settings into the results file, as ``config.resolved_cli_args.hallu``.

    lmms-eval stores its parsed command line there, and tasks hold a reference to it. Returns that; None where the
    evaluation was not started by a command line. Where it was and none is found, a warning says what is lost. Raises
    `RunnerMismatch` for requests that cannot be read.
    """
    for instance in requests:
        task = getattr(read(instance).messages, "__self__", None)
        arguments = getattr(task, "args", None)
        if arguments is not None:
            setattr(arguments, RECORD, run)
            return arguments
    if requests and is_program(sys.argv):
        logger.warning(
            "the tasks of this lmms-eval hold no command line, so the results will not say what made them: no "
            "settings, code, versions and questions for hallu compare, and finished answers go before the results are "
            f"written\n{ranges.advice((DISTRIBUTION,))}"
        )
    return None


def is_recorded(results: Mapping[str, Any]) -> bool:
    """Whether results, as they go into the file, hold what `record` put in."""
    config = results.get("config")
    arguments = config.get("resolved_cli_args") if isinstance(config, Mapping) else None
    return isinstance(arguments, Mapping) and bool(arguments.get(RECORD))


def option(arguments: Any, name: str) -> Any:
    """An option of the parsed command line; None where it has none of the name, or there is no command line."""
    return getattr(arguments, name, None)
