"""Names of methods and the code behind them, imported on first use."""

from __future__ import annotations

import functools
import importlib
import re
from collections.abc import Callable, Iterator
from typing import Any

from registry.cards import built_in
from registry.cards import card as card_module
from registry.errors import BadName, CardError, LoadError, NameCollision, UnknownName
from registry.plugins.discovery import Plugin, plugins, report

__all__ = [
    "GROUP",
    "BadName",
    "LazyRegistry",
    "LoadError",
    "NameCollision",
    "UnknownName",
    "card",
    "cards",
    "composition",
    "interventions",
    "listed",
    "resolve",
    "third_party",
]

GROUP = "hallu.interventions"
RESERVED = ("base", "auto", "none")
"""Names with a meaning of their own: ``<family>_base`` is the plain model."""


class LazyRegistry:
    """Names, each with the place of its class as ``"module:attribute"``."""

    def __init__(self, kind: str = "method", listing: str = "hallu methods") -> None:
        self._kind, self._listing = kind, listing
        self._targets: dict[str, Callable[[], str]] = {}
        self._origins: dict[str, str] = {}

    def register(self, name: str, target: str | Callable[[], str], origin: str) -> None:
        """Add a name. ``target`` may be a function that looks the text up when it is needed.

        ``origin`` is the party that claims the name, for messages. Raises ``BadName`` for a name or target
        of another form and ``NameCollision``, naming both parties, for a name that is taken.
        """
        if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or name in RESERVED:
            reserved = ", ".join(RESERVED)
            raise BadName(
                f"{name!r} cannot be a {self._kind}'s name ({origin}); allowed: lower-case letters, digits and _, "
                f"a letter first, and none of {reserved}"
            )
        if isinstance(target, str) and not re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*", target):
            raise BadName(f"{target!r} is not of the form package.module:Class ({origin})")
        if name in self._targets:
            raise NameCollision(
                f"the {self._kind} {name!r} is claimed by {self._origins[name]} and by {origin}; rename one of them"
            )
        self._targets[name] = (lambda: target) if isinstance(target, str) else target
        self._origins[name] = origin

    def names(self) -> list[str]:
        """All names in the order of registration."""
        return list(self._targets)

    def target(self, name: str) -> str:
        """``"module:attribute"`` of a name. Raises ``UnknownName`` with near matches."""
        return self._targets[self._require(name)]()

    def origin(self, name: str) -> str:
        """Who registered a name. Raises ``UnknownName``."""
        return self._origins[self._require(name)]

    def resolve(self, name: str) -> type[Any]:
        """The class behind a name, imported now.

        Raises ``UnknownName`` with near matches, and ``LoadError`` where the import fails.
        """
        target = self.target(name)
        module, _, attribute = target.partition(":")
        try:
            found: object = functools.reduce(getattr, attribute.split("."), importlib.import_module(module))
        # Whatever the import of a plugin raises has to reach the user with the plugin's name on it.
        except Exception as error:
            raise LoadError(
                f"the {self._kind} {name!r} ({self._origins[name]}) cannot be loaded from {target}: "
                f"{type(error).__name__}: {error}; run `hallu doctor`"
            ) from error
        if not isinstance(found, type):
            raise LoadError(f"the {self._kind} {name!r} ({self._origins[name]}): {target} is not a class")
        return found

    def __contains__(self, name: object) -> bool:
        return name in self._targets

    def __iter__(self) -> Iterator[str]:
        return iter(self._targets)

    def __len__(self) -> int:
        return len(self._targets)

    def _require(self, name: str) -> str:
        if name not in self._targets:
            raise UnknownName(self._kind, name, self._targets, self._listing)
        return name


@functools.cache
def interventions() -> LazyRegistry:
    """The methods: those with a card, then the entry points of group ``hallu.interventions``.

    An entry point with a bad or taken name is left out with a warning.
    """
    registry = LazyRegistry()
    for name in built_in.names():
        registry.register(name, functools.partial(_implementation, name), f"the built-in card {name}.yaml")
    for plugin in third_party():
        try:
            target = f"{plugin.module}:{plugin.attribute}"
            registry.register(plugin.name, target, f"{plugin.distribution}, entry point {plugin.name}")
        except ValueError as error:
            report(plugin, error)
    return registry


def third_party() -> list[Plugin]:
    """Entry points of group ``hallu.interventions``, sorted by name."""
    return sorted(plugins(GROUP), key=lambda plugin: (plugin.name, plugin.distribution))


def resolve(name: str) -> type[Any]:
    """The class of a method, imported now. Raises ``UnknownName`` and ``LoadError``."""
    return interventions().resolve(name)


def card(name: str) -> card_module.Card:
    """The card of a method. A method of another distribution is not imported; without a card it gets a short one.

    Raises ``UnknownName``, and ``CardError`` for a malformed card.
    """
    registry = interventions()
    origin = registry.origin(name)
    if name in built_in.names():
        return built_in.load(name)
    target = registry.target(name)
    found = built_in.beside(target.partition(":")[0], name)
    return found or card_module.third_party(name, target, origin.partition(", entry point")[0])


def listed(name: str) -> card_module.Card:
    """As :func:`card`, for lists of all methods: a malformed card of another distribution costs a warning."""
    try:
        return card(name)
    except CardError as error:
        if name in built_in.names():
            raise
        (plugin,) = (plugin for plugin in third_party() if plugin.name == name)
        report(plugin, error)
        return card_module.third_party(name, interventions().target(name), plugin.distribution)


def cards() -> dict[str, card_module.Card]:
    """Card of every method by name, built-in ones first. Raises ``CardError`` for a malformed built-in card."""
    return {name: listed(name) for name in interventions().names()}


def composition(method: str) -> tuple[str, ...]:
    """The methods in ``"vhr+pai"``, in order.

    Raises ``UnknownName``, and ``BadName`` for an empty or repeated name.
    """
    names = tuple(part.strip() for part in method.split("+"))
    for index, name in enumerate(names):
        if not name or name in names[:index]:
            problem = "a name is missing beside +" if not name else f"{name} is there twice"
            raise BadName(f"method={method}: {problem}; write for example method=vhr or method=vhr+pai")
        interventions().origin(name)
    return names


def _implementation(name: str) -> str:
    return built_in.load(name).implementation
