"""CHAIR's truth, kept between runs: reading COCO's annotation files takes long, what is true fits in a few megabytes.

The file is ``truth/<key>.json`` in the folder of `hallu_tasks.files.cache`. The key is made of the SHA-256 of
both annotation files, the mode, and the code and tables that turn captions into objects: when one of them changes, the
truth is built anew.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.metadata
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hallu_tasks.files import cache, whole_file
from hallu_tasks.scoring import chair, vocabulary, words

__all__ = ["folder", "truth"]


def folder() -> Path:
    """``truth`` in the cache folder."""
    return cache.folder("truth")


def truth(
    instances: str | os.PathLike[str], captions: str | os.PathLike[str], mode: str = "reference"
) -> dict[int, set[str]]:
    """Return `chair.truth_from_coco` of two annotation files, from the cache where it was built before.

    A damaged cache file is built anew, and a cache folder that cannot be written to is left alone. Raises
    `ValueError`, `RuntimeError` and `OSError` as `chair.check` and `chair.truth_from_coco` do.
    """
    chair.check(mode)
    sources = {
        "instances_sha256": _sha256(instances),
        "captions_sha256": _sha256(captions),
        "mode": mode,
        "rule_sha256": _rule(mode),
    }
    file = folder() / f"{hashlib.sha256(json.dumps(sources).encode()).hexdigest()[:32]}.json"
    kept = _kept(file, sources)
    if kept is not None:
        return {int(image): set(objects) for image, objects in kept.items()}
    built = chair.truth_from_coco(instances, captions, mode)
    _keep(file, sources, {str(image): sorted(objects) for image, objects in built.items()})
    return built


def _sha256(path: str | os.PathLike[str]) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


@functools.cache
def _rule(mode: str) -> str:
    """The SHA-256 of what turns a caption into objects: the code, the word tables and, where it is used, NLTK."""
    parts = [_sha256(str(module.__file__)) for module in (chair, words, vocabulary)]
    parts += [vocabulary.SHA256, importlib.metadata.version("nltk") if mode == "nltk" else ""]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _content_sha256(objects: Any) -> str:
    return hashlib.sha256(json.dumps(objects).encode()).hexdigest()


def _kept(file: Path, sources: Mapping[str, str]) -> dict[str, list[str]] | None:
    """The truth of a cache file; ``None`` where there is none, or it was not written whole by `_keep`."""
    try:
        content = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return None
    if not isinstance(content, dict) or content.get("sources") != sources:
        return None
    objects = content.get("truth")
    return objects if content.get("truth_sha256") == _content_sha256(objects) else None


def _keep(file: Path, sources: Mapping[str, str], objects: Mapping[str, list[str]]) -> None:
    content = json.dumps({"sources": sources, "truth_sha256": _content_sha256(objects), "truth": objects})
    # A cache that cannot be written to costs time, not the score.
    with contextlib.suppress(OSError, ValueError):
        whole_file.write(file, content)
