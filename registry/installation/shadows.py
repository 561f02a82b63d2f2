"""Files in the working directory or early on sys.path that hide a package of ours."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from registry.installation import distribution

PACKAGES = ("registry", "hallu_models", "hallu_tasks")


def find(search: Sequence[str] | None = None, home: Path | None = None) -> dict[str, Path]:
    """Package name to the file or folder that is imported in its place.

    ``search`` are the folders to look through, up to ``home``, the folder that holds our packages. The
    default is the working directory, which ``python -m`` and ``accelerate launch -m`` put first, and then
    ``sys.path``. A folder without ``__init__.py`` hides nothing.
    """
    home = (home or distribution.root()).resolve()
    found: dict[str, Path] = {}
    for entry in [".", *sys.path] if search is None else search:
        folder = Path(entry or ".").resolve()
        if folder == home:
            break
        for name in PACKAGES:
            for candidate in (folder / name / "__init__.py", folder / f"{name}.py"):
                if candidate.is_file():
                    found.setdefault(name, candidate if candidate.stem == name else candidate.parent)
    return found
