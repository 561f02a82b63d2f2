"""Entry points of other distributions, each kept apart from the others.

A broken one costs a warning that names its distribution and is remembered for ``hallu doctor``.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from importlib import metadata
from typing import Any


class PluginWarning(UserWarning):
    """An entry point of another distribution that is left out."""


@dataclass(frozen=True)
class Plugin:
    """An entry point: ``name = value``, declared in ``group`` by ``distribution`` (name and version)."""

    group: str
    name: str
    value: str
    distribution: str

    @property
    def module(self) -> str:
        """The module of ``value``."""
        return self.value.partition(":")[0].strip()

    @property
    def attribute(self) -> str:
        """The attribute of ``value``, empty where it names a module only."""
        return self.value.partition(":")[2].partition("[")[0].strip()

    def load(self) -> Any:
        """Import what the entry point names. Raises whatever that import raises."""
        return metadata.EntryPoint(self.name, self.value, self.group).load()

    def __str__(self) -> str:
        return f"{self.name} = {self.value} in group {self.group} of {self.distribution}"


@dataclass(frozen=True)
class Problem:
    """A plugin that is left out, and why."""

    plugin: Plugin
    error: str

    def __str__(self) -> str:
        return f"plugin {self.plugin} is left out: {self.error}"


_problems: dict[Problem, None] = {}


def plugins(group: str) -> list[Plugin]:
    """The entry points of a group, in the order in which the installed distributions are found."""
    try:
        return [_plugin(entry) for entry in metadata.entry_points(group=group)]
    # One unreadable entry_points.txt makes the common scan fail for every distribution.
    except Exception:
        return _one_by_one(group)


def report(plugin: Plugin, error: Exception | str) -> None:
    """Remember that a plugin is left out, and warn the first time."""
    text = error if isinstance(error, str) else f"{type(error).__name__}: {error}"
    problem = Problem(plugin, text)
    if problem not in _problems:
        _problems[problem] = None
        warnings.warn(f"{problem}; `hallu doctor` shows the details", PluginWarning, stacklevel=3)


def problems() -> tuple[Problem, ...]:
    """What was reported in this process so far."""
    return tuple(_problems)


def _one_by_one(group: str) -> list[Plugin]:
    found: dict[str, list[Plugin]] = {}
    for distribution in metadata.distributions():
        name = str(distribution.metadata["Name"])
        try:
            entries = [entry for entry in distribution.entry_points if entry.group == group]
            # Of two installations of a distribution the first one on sys.path counts.
            found.setdefault(name, [_plugin(entry) for entry in entries])
        # Its text is another party's: leave this distribution out and keep the others.
        except Exception as error:
            report(Plugin(group, "(entry_points.txt)", "unreadable", name), error)
    return [plugin for group_of_one in found.values() for plugin in group_of_one]


def _plugin(entry: metadata.EntryPoint) -> Plugin:
    origin = entry.dist
    distribution = f"{origin.name} {origin.version}" if origin is not None else "an unnamed distribution"
    return Plugin(group=entry.group, name=entry.name, value=entry.value, distribution=distribution)
