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


def requirement() -> str:
    """What pip is given to install this distribution again: where it came from, or its name if that was an index."""
    import json
    import shlex
    from importlib import metadata
    from urllib.parse import unquote, urlsplit

    try:
        origin = json.loads(metadata.distribution(NAME).read_text("direct_url.json") or "{}")
    except metadata.PackageNotFoundError:
        return f"--editable {shlex.quote(str(root()))}" if (root() / "setup.cfg").is_file() else NAME
    address = origin.get("url", "")
    if (control := origin.get("vcs_info")) is not None:
        return shlex.quote(f"{control['vcs']}+{address}@{control['commit_id']}")
    if not address.startswith("file:"):
        return shlex.quote(address) if address else NAME
    folder = shlex.quote(unquote(urlsplit(address).path))
    return f"--editable {folder}" if origin.get("dir_info", {}).get("editable") else folder


def root() -> Path:
    """The folder that holds our packages."""
    from pathlib import Path

    return Path(__file__).resolve().parents[2]
