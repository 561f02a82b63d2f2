"""Which arms are shams of which, which shams are missing, and the commands that run these."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import PurePath

from hallu_tasks.compare.arms import parameters
from hallu_tasks.compare.comparison import MissingSham
from hallu_tasks.runs.repeat import started_by
from hallu_tasks.runs.results import Run
from registry.arguments import model_args
from registry.arguments.model_args import assignments, joined
from registry.plugins import lazy, model_ids, shams

__all__ = ["beside", "missing"]


def beside(runs: Sequence[Run]) -> list[tuple[int, ...]]:
    """For each arm that is a sham of others its number, then theirs."""
    found = []
    for number, run in enumerate(runs):
        arms = [other for other, one in enumerate(runs) if _is_sham_of(run, one)]
        if arms:
            found.append((number, *arms))
    return found


def missing(runs: Sequence[Run]) -> tuple[MissingSham, ...]:
    """The shams of the arms' methods that are no arm, each with the command that runs it as its arm was run."""
    found: dict[tuple[str, str, str], list[int]] = {}
    for number, run in enumerate(runs):
        for sham in shams.of(_method(run), _family(run)):
            if not any(_method(other) == sham and _is_sham_of(other, run) for other in runs):
                found.setdefault((sham, *_command(run, sham)), []).append(number)
    return tuple(MissingSham(sham, tuple(arms), command, output) for (sham, command, output), arms in found.items())


def _method(run: Run) -> str | None:
    return run.hallu.get("method")


def _family(run: Run) -> str | None:
    row = model_ids.table().get(run.model)
    return row.family if row else None


def _is_sham_of(run: Run, other: Run) -> bool:
    """Whether a run is one of a sham of another's method, with its settings where the sham is like this method."""
    sham = _method(run)
    if sham is None or sham not in shams.of(_method(other)):
        return False
    theirs = shams.settings(sham, _by_method(parameters(other), _method(other)))
    own = parameters(run)
    return all(own.get(name, value) == value for name, value in theirs.items())


def _by_method(given: Mapping[str, str], method: str | None) -> dict[str, dict[str, str]]:
    """Arguments by method; those of a single method may have no name in front."""
    found: dict[str, dict[str, str]] = {}
    parts = lazy.composition(method) if method else ()
    for key, value in given.items():
        owner, _, name = key.rpartition(".")
        for part in parts if not owner else [owner]:
            found.setdefault(part, {})[name] = value
    return found


def _command(run: Run, sham: str) -> tuple[str, str]:
    """The run's command for a sham of its method, the same checkpoint, tasks and options, and the folder beside it."""
    started = started_by(run)
    arguments = started[next((place for place, part in enumerate(started) if part.startswith("--")), len(started)) :]
    given = assignments(_value(arguments, "--model_args"))
    model = {name: value for name, value in given.items() if name in model_args.MODEL}
    theirs = {name: value for name, value in given.items() if name not in (*model, "method")}
    own = shams.settings(sham, _by_method(theirs, _method(run)))
    family = _family(run)
    generic = {} if family else {"method": sham}
    named = f"{family}_{sham}" if family else sham
    given_folder = PurePath(run.given)
    # A sweep calls its folders by the method alone, and finds this run again.
    folder = "+".join(
        [
            sham if given_folder.name == _method(run) else named,
            *(re.sub(r"[^\w.+=-]", "_", f"{name}={value}") for name, value in own.items()),
        ]
    )
    changed = {
        "--model": named if family else model_ids.GENERIC,
        "--model_args": joined({**model, **generic, **own}),
        "--output_path": str(given_folder.parent / folder),
    }
    for option, value in changed.items():
        arguments = _with_value(arguments, option, value)
    return shlex.join(["hallu", "run", *arguments]), changed["--output_path"]


def _value(arguments: Sequence[str], option: str) -> str:
    """What an option is given, ``--name value`` or ``--name=value``; empty where it is not there."""
    for place, part in enumerate(arguments):
        if part == option and place + 1 < len(arguments):
            return arguments[place + 1]
        if part.startswith(f"{option}="):
            return part.partition("=")[2]
    return ""


def _with_value(arguments: Sequence[str], option: str, value: str) -> list[str]:
    """The arguments with another value of an option, in its place or at the end; without the option for no value."""
    found: list[str] = []
    given = iter(arguments)
    there = False
    for part in given:
        if part == option or part.startswith(f"{option}="):
            if part == option:
                next(given, None)
            found += [option, value] if value and not there else []
            there = True
        else:
            found.append(part)
    return found if there or not value else [*found, option, value]
