"""JSON files of answers and questions: a list or an object a line, each row with the place that an error names."""

from __future__ import annotations

import json
import math
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Row", "read", "text"]


@dataclass(frozen=True)
class Row:
    """One object of a file. `place` is ``answers.jsonl, line 3`` or ``answers.json, entry 3``."""

    place: str
    fields: Mapping[str, Any]

    def get(self, key: str, fix: str) -> Any:
        """The value under `key`; `ValueError` with the keys there are and the fix when it is missing."""
        if key not in self.fields:
            raise ValueError(f"{self.place} has no {key!r}; its keys: {', '.join(self.fields) or 'none'}; {fix}")
        return self.fields[key]

    def words(self, key: str, fix: str) -> str:
        """The text under `key`; `ValueError` when it is missing or no text."""
        value = self.get(key, fix)
        if not isinstance(value, str):
            raise ValueError(f"{self.place}: the value of {key!r} must be text, got {value!r}; {fix}")
        return value

    def number(self, key: str, fix: str) -> float | None:
        """The number under `key`, maybe infinite (``Infinity``, or ``"inf"`` as text); ``None`` where there is none.

        Raises `ValueError` for what is no number.
        """
        value = self.fields.get(key)
        if value is None:
            return None
        try:
            found = float(value)
            if isinstance(value, bool) or math.isnan(found):
                raise ValueError(value)
        except (TypeError, ValueError, OverflowError):
            raise ValueError(f"{self.place}: {key!r} must be a number, got {reprlib.repr(value)}; {fix}") from None
        return found


def text(path: str, wanted: str) -> str:
    """The content of a text file in UTF-8, line ends as they are; `wanted` says what was expected there.

    Raises `ValueError` for a file that is missing, a folder, unreadable, or in another encoding.
    """
    if not Path(path).exists():
        raise ValueError(f"{path} does not exist; {wanted}")
    if Path(path).is_dir():
        raise ValueError(f"{path} is a folder; {wanted}")
    try:
        return Path(path).read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text (byte {error.start}); save it as UTF-8") from None


def read(path: str, wanted: str, again: str = "write it again") -> list[Row]:
    """The rows of a JSON list, however it is broken into lines, or of a file with one JSON object a line.

    `again` is the fix for a damaged file. Raises `ValueError` as `text` does, and for an empty file, invalid JSON, what
    Python refuses to read (very deep nesting, numbers of thousands of digits), and entries that are no objects.
    """
    content = text(path, wanted)
    if content.lstrip().startswith("["):
        entries = enumerate(_parsed(content, path, again), start=1)
        named = ((f"{path}, entry {number}", value) for number, value in entries)
    else:
        lines = _lines(content, path, wanted, again)
        named = ((place, _parsed(line, path, again, place)) for place, line in lines)
    rows = []
    for place, value in named:
        if not isinstance(value, dict):
            raise ValueError(f"{place} is a JSON {type(value).__name__}, not an object; {wanted}")
        rows.append(Row(place, value))
    if not rows:
        raise ValueError(f"{path} is empty; {wanted}")
    return rows


def _lines(content: str, path: str, wanted: str, again: str) -> list[tuple[str, str]]:
    first, *more = content.strip().split("\n", 1)
    whole = _parsed(content, path, again) if first.strip() == "{" else _one_object(content) if more else None
    if whole is not None:
        keys = ", ".join(list(whole)[:5])
        raise ValueError(f"{path} is one JSON object with the keys {keys}; {wanted}")
    # Other line separators than this one may stand unescaped inside a JSON text.
    lines = enumerate(content.split("\n"), start=1)
    return [(f"{path}, line {number}", line) for number, line in lines if line.strip()]


def _one_object(content: str) -> dict[str, Any] | None:
    """The object that a file of several lines holds, ``None`` where the first line is one of its own."""
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _parsed(content: str, path: str, again: str, place: str = "") -> Any:
    try:
        return json.loads(content)
    except json.JSONDecodeError as error:
        where = place or f"{path}, line {error.lineno}"
        raise ValueError(f"{where}: not valid JSON ({error.msg}); it was cut off or edited, so {again}") from None
    except RecursionError:
        raise ValueError(f"{place or path} is nested too deeply to be read; it was edited, so {again}") from None
    except ValueError as error:
        raise ValueError(
            f"{place or path} holds a number that cannot be read ({error}); it was edited, so {again}"
        ) from None
