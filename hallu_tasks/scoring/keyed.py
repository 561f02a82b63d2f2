"""Documents by key: matching two collections by what they are called, never by where they stand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Hashable, Iterable, Mapping
from typing import Any

__all__ = ["indexed", "name_some", "repeated", "require_same_keys"]


def name_some(items: Iterable[object], limit: int = 5) -> str:
    """Return the first items for an error message, and how many more there are."""
    listed = list(items)
    more = f" and {len(listed) - limit} more" if len(listed) > limit else ""
    return ", ".join(repr(item) for item in listed[:limit]) + more


def repeated(keys: Iterable[Hashable]) -> list[Hashable]:
    """Return the keys that occur more than once, in order of first occurrence."""
    return [key for key, count in Counter(keys).items() if count > 1]


def indexed(values: Mapping[Any, Any] | Iterable[Any], what: str) -> tuple[dict[Hashable, Any], bool]:
    """Return `values` as a dictionary, and whether the keys are mere positions.

    `values` is a mapping, (key, value) pairs, or plain values, whose keys are then 0, 1, ... A key that
    occurs twice is a `ValueError` that names it.
    """
    if isinstance(values, Mapping):
        return dict(values), False
    listed = list(values)
    if listed and all(isinstance(item, tuple) and len(item) == 2 for item in listed):
        twice = repeated(key for key, _ in listed)
        if twice:
            raise ValueError(f"{what} hold a key more than once: {name_some(twice)}; keep one of each")
        return dict(listed), False
    return dict(enumerate(listed)), True


def require_same_keys(a: Collection[Hashable], b: Collection[Hashable], a_name: str, b_name: str, fix: str) -> None:
    """Raise a `ValueError` that counts and names the keys only one side has."""
    only_a = [key for key in a if key not in b]
    only_b = [key for key in b if key not in a]
    if only_a or only_b:
        parts = [f"{len(a)} {a_name} do not match {len(b)} {b_name}"]
        if only_a:
            parts.append(f"only in {a_name}: {name_some(only_a)}")
        if only_b:
            parts.append(f"only in {b_name}: {name_some(only_b)}")
        raise ValueError(f"{'; '.join(parts)}; {fix}")
