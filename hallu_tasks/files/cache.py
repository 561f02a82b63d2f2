"""Where this package keeps what can be made again."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["folder"]


def folder(name: str) -> Path:
    """The folder `name` in ``$HALLU_CACHE``, by default in ``hallu`` in the user's cache folder.

    That is ``$XDG_CACHE_HOME``, else ``~/.cache``. The folder may be deleted at any time.
    """
    user = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("HALLU_CACHE") or user / "hallu") / name
