"""This distribution: its name, its version, and where its packages are."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

NAME = "lmms-eval-hallu"


def version() -> str:
    """The installed version; ``0+unknown`` where the packages are used without an installation."""
    from importlib import metadata

    try:
        return metadata.version(NAME)
    except metadata.PackageNotFoundError:
        return "0+unknown"


def root() -> Path:
    """The folder that holds our packages."""
    from pathlib import Path

    return Path(__file__).resolve().parents[2]
