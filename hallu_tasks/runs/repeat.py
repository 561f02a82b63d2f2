"""How a run is repeated: the code it needs, and the command."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hallu_tasks.runs.results import Run
from registry import DISTRIBUTION
from registry.runner.names import MODULE, OPTIONS, PROGRAMS
from registry.runs.command_line import REDACTED

__all__ = ["Repeat", "repeat", "started_by"]


@dataclass(frozen=True)
class Repeat:
    """Shell lines: `setup` brings the code, `command` starts the run. `warnings` say why it may come out otherwise."""

    setup: tuple[str, ...]
    command: str
    warnings: tuple[str, ...]


def repeat(run: Run) -> Repeat:
    """The way to repeat a run, from what its results record."""
    hallu, warnings = run.hallu, []
    arguments = started_by(run)
    if not hallu.get("command"):
        warnings.append("the command was not recorded; it is put together from lmms-eval's record of its arguments")
    if any(REDACTED in part for part in arguments):
        warnings.append(f"{REDACTED} stands for a secret that was not recorded")
    started = next((program for program in PROGRAMS if arguments[: len(program)] == program), None)
    environment = dict(hallu.get("environment") or {})
    processes, machines = int(hallu.get("processes") or 1), int(hallu.get("machines") or 1)
    if started is not None and processes > 1:
        launcher = ["accelerate", "launch", "--num_processes", str(processes)]
        if hallu.get("device") == "cpu":
            # On a CPU accelerate starts one process, whatever it is told.
            environment["ACCELERATE_USE_CPU"] = "true"
            launcher = ["torchrun", "--nproc_per_node", str(processes // machines)]
        if machines > 1:
            launcher += ["--num_machines" if launcher[0] == "accelerate" else "--nnodes", str(machines)]
            warnings.append(f"{machines} machines took part; add each one's rank and the address of the first")
        arguments = [*launcher, *MODULE, *arguments[len(started) :]]
    setup, problems = _setup(hallu)
    assignments = [f"{name}={shlex.quote(value)}" for name, value in environment.items()]
    return Repeat(setup, " ".join([*assignments, *map(shlex.quote, arguments)]), (*warnings, *problems))


def started_by(run: Run) -> list[str]:
    """The program and its arguments as recorded, else put together from lmms-eval's record of its arguments."""
    recorded = [str(part) for part in run.hallu.get("command") or ()]
    return recorded or [*PROGRAMS[0], *_rebuilt(run.results["config"])]


def _setup(hallu: Mapping[str, Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The lines that bring the code, and what is wrong with them."""
    git, versions = hallu.get("git"), hallu.get("versions") or {}
    if not versions:
        return (), ("the versions of the packages were not recorded",)
    pinned = [f"{name}=={version}" for name, version in versions.items()]
    if not git:
        return ("pip install " + " ".join(pinned),), ()
    install = "pip install --editable . " + " ".join(one for one in pinned if not one.startswith(f"{DISTRIBUTION}=="))
    if git.get("dirty"):
        return (install,), (
            f"the package's code differed from commit {git['commit']} by changes that no commit holds, "
            "so this run cannot be repeated exactly",
        )
    return (f"git checkout {git['commit']}  # in a checkout of {DISTRIBUTION}", install), ()


def _rebuilt(config: Mapping[str, Any]) -> list[str]:
    given = config.get("resolved_cli_args") or config
    arguments = []
    for name, default in OPTIONS.items():
        value = given.get(name)
        if value is None or value == default or str(value) == str(default):
            continue
        arguments.append(f"--{name}")
        if isinstance(value, list):
            arguments.append(",".join(map(str, value)))
        elif value is not True:
            arguments.append(str(value))
    return arguments
