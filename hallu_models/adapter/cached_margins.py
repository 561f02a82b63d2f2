"""Margins beside lmms-eval's cache of answers, which keeps their texts alone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from loguru import logger

from registry.runner import answers as runner_answers
from registry.runner.answers import Margin
from registry.runner.response_cache import Cache

__all__ = ["finished"]

FILES = "hallu_margins.{}.jsonl"
"""A file for each process in the cache's folder: a line for each answer, with its request's key."""


def finished(cache: Cache, keys: Sequence[str | None], answers: Sequence[Any]) -> list[Any]:
    """The answers, those of the cache with the margins that they had when they were made; margins of new ones are kept.

    keys: of the requests, None for those that no cache answers.
    """
    texts = [index for index, answer in enumerate(answers) if isinstance(answer, str)]
    found = list(answers)
    kept = _read(cache) if texts else {}
    for index in texts:
        found[index] = runner_answers.answer(answers[index], None, None, kept.get(keys[index] or ""))
    new = {key: runner_answers.margin(answers[at]) for at, key in enumerate(keys) if key and at not in set(texts)}
    _append(cache, {key: margin for key, margin in new.items() if margin.told})
    return found


def _read(cache: Cache) -> dict[str, Margin]:
    """Those of this model id with these arguments. A line that is no margin is none: nothing but it is lost."""
    found = {}
    for file in sorted(cache.root.glob(FILES.format("*"))):
        for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                entry = json.loads(line)
                if entry["model"] == cache.key:
                    found[str(entry["key"])] = Margin.read(entry)
            except (ValueError, TypeError, KeyError):
                continue
    return found


def _append(cache: Cache, margins: dict[str, Margin]) -> None:
    lines = [json.dumps({"model": cache.key, "key": key, **one.told}) + "\n" for key, one in margins.items()]
    if not lines:
        return
    file = cache.root / FILES.format(cache.rank)
    try:
        with file.open("a", encoding="utf-8") as stream:
            stream.write("".join(lines))
    except OSError as error:
        logger.warning(f"{file}: {error.strerror or error}; runs that take these answers again will have no margins")
