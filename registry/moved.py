"""Modules and their names under former import paths: each works until 0.2, with a ``DeprecationWarning``."""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from importlib.machinery import ModuleSpec
from types import CodeType, ModuleType
from typing import Any

__all__ = ["NAMES", "PATHS", "former", "install"]

_ROOMS: Mapping[str, Sequence[str]] = {
    "files": ("data_file", "yaml_files"),
    "installation": ("ranges", "shadows"),
    "cards": ("card", "card_file", "card_text", "layers", "parameter"),
    "model_families": ("family", "matrix"),
    "plugins": ("lazy", "model_ids"),
    "arguments": ("convert", "params", "preset_file"),
    "task_search": ("task_folders", "task_names"),
    "runs": ("command_line", "outcome", "source"),
    "evaluation": ("launch",),
    "commands": ("cli", "completion", "doctor", "listing", "plugin_trial", "surroundings"),
}

PATHS: Mapping[str, str] = {
    f"registry.{module}": f"registry.{room}.{module}" for room, modules in _ROOMS.items() for module in modules
}
"""Today's module by its former path."""

NAMES: Mapping[str, tuple[str, str]] = {
    "registry.cards": (
        "registry.cards.built_in",
        "FIDELITIES SOURCES Card Fidelity Paper Parameter Published folder load names read third_party",
    ),
    "registry.plugins": ("registry.plugins.discovery", "Plugin PluginWarning Problem plugins problems report"),
    "registry.arguments": ("registry.arguments.model_args", "LOADING MODEL loading loading_of pairs"),
    "registry.evaluation": ("registry.evaluation.process", "FAILED main"),
    "hallu_models.generation": ("hallu_models.conversations", "Message conversation"),
    "hallu_models.hosts.host": ("hallu_models.loading", "load"),
}
"""Modules and packages that held names which are elsewhere now: where, and which these are."""


class _Finder:
    """Finds a module under its former path, and puts today's in its place."""

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> ModuleSpec | None:
        return ModuleSpec(fullname, self) if fullname in PATHS else None  # type: ignore[arg-type]

    def create_module(self, spec: ModuleSpec) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        name = module.__name__
        _warn(name, PATHS[name])
        sys.modules[name] = importlib.import_module(PATHS[name])

    def get_code(self, fullname: str) -> CodeType | None:
        """What ``python -m`` runs."""
        _warn(fullname, PATHS[fullname])
        loader: Any = importlib.import_module("importlib.util").find_spec(PATHS[fullname]).loader
        code: CodeType | None = loader.get_code(PATHS[fullname])
        return code


def install() -> None:
    """Make the former paths importable. Installing again changes nothing."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.append(_Finder())


def former(package: str) -> Callable[[str], Any]:
    """The ``__getattr__`` of a module in `NAMES`."""
    module, names = NAMES[package]

    def find(name: str) -> Any:
        if name not in names.split():
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        _warn(f"{package}.{name}", f"{module}.{name}")
        return getattr(importlib.import_module(module), name)

    return find


def _warn(before: str, now: str) -> None:
    # Frames of the import system do not count.
    warnings.warn(f"{before} is {now} now; the former path goes in 0.2", DeprecationWarning, stacklevel=3)
