"""Whether samples hold what the scorers of their benchmark write, so that a damaged record gets no score."""

from __future__ import annotations

import reprlib
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

__all__ = ["Placed", "require"]

Record = Mapping[str, Any]
Placed = tuple[str, Record]
"""A record, and where it was read."""

_TEXTS = frozenset({"set_id", "figure_id", "question_id", "subcategory", "prediction", "question", "split"})
_LISTS = frozenset({"objects", "hallucinated_objects", "hallucinated_nouns"})
_LIST = "a list of texts"
_KINDS = ("a count", "text", _LIST)
_MOST = 2**53
_FIX = "it was edited or damaged, so rerun lmms-eval"


def require(
    records: Sequence[Placed], image: str, columns: Collection[str], allowed: Mapping[str, Sequence[Any]]
) -> None:
    """Raise `ValueError` that names file and line of the first record that no scorer of the benchmark writes.

    `image` is the field that holds the image, `columns` are fields that all records have, `allowed` are the values of
    fields that take few. What neither says is taken from what most of the records hold.
    """
    held = [record for _, record in records]
    counted = Counter(name for record in held for name in record)
    kinds = {name: _kind(name, image, columns, allowed, held) for name in counted}
    # Lists stand in the records of some metrics only.
    usual = [name for name, count in counted.items() if 2 * count >= len(held) and kinds[name] != _LIST]
    for place, record in records:
        for name in usual:
            if name not in record:
                raise ValueError(f"{place}: its record has no {name}, as others of the task do; {_FIX}")
        for name, value in record.items():
            if name in allowed:
                if isinstance(value, bool) or value not in allowed[name]:
                    options = ", ".join(map(str, allowed[name]))
                    raise ValueError(f"{place}: {name} is {reprlib.repr(value)}; allowed: {options}; {_FIX}")
            elif not _is(value, kinds[name]):
                raise ValueError(f"{place}: {name} is {reprlib.repr(value)}, not {kinds[name]}; {_FIX}")


def _kind(
    name: str, image: str, columns: Collection[str], allowed: Mapping[str, Sequence[Any]], records: Iterable[Record]
) -> str:
    if name == image:
        return "text or a whole number"
    if name in _TEXTS:
        return "text"
    if name in _LISTS:
        return _LIST
    if name in columns or name in allowed:
        return "a count"
    held = Counter(next((kind for kind in _KINDS if _is(record.get(name), kind)), "") for record in records)
    return held.most_common(1)[0][0]


def _is(value: Any, kind: str) -> bool:
    """An empty kind is anything: a field that no scorer of ours writes."""
    if kind == "text":
        return isinstance(value, str)
    if kind == _LIST:
        return isinstance(value, list) and all(isinstance(one, str) for one in value)
    whole = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST
    return not kind or whole or (kind == "text or a whole number" and isinstance(value, str))
