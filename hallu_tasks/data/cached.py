"""Whether a data set of the Hub is on this machine, said without importing the library that loads it."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["is_cached", "offline"]

_TRUE = ("1", "ON", "YES", "TRUE")


def offline() -> str | None:
    """The environment variable that keeps ``datasets`` from the network, ``None`` when nothing does."""
    if "HF_DATASETS_OFFLINE" in os.environ:
        names = ["HF_DATASETS_OFFLINE"]
    else:
        names = [name for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE") if os.environ.get(name)][:1]
    return next((name for name in names if os.environ[name].upper() in _TRUE), None)


def is_cached(repository: str) -> bool:
    """Whether the cache of ``datasets`` holds a data set, written to the end; offline, this alone is read."""
    default = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")) / "huggingface"
    home = Path(os.environ.get("HF_HOME", default))
    cache = Path(os.path.expanduser(os.environ.get("HF_DATASETS_CACHE", home / "datasets")))
    owner, name = repository.split("/")
    # The folder is <owner>___<name in snake case>/<configuration>/<version>/<hash>.
    return any(
        place.name.partition("___")[2].replace("_", "") == name.lower()
        and any(info.parent.suffix != ".incomplete" for info in place.glob("*/*/*/dataset_info.json"))
        for place in cache.glob(f"{owner}___*")
    )
