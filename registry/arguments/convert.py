"""Values of ``--model_args``, as lmms-eval hands them over, turned into what a field's annotation asks for.

lmms-eval guesses types: ``alpha=2`` arrives as 2, ``-1`` as -1.0, ``true`` as True, ``none``, ``[1,2]`` and
``abc`` as text, and quotes around a value stay part of it.
"""

from __future__ import annotations

import json
import math
import re
import types
from collections.abc import Sequence
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from registry.cards import layers
from registry.cards.parameter import listing, show


class Mismatch(ValueError):
    """A value that is not of a type; the text is the rest of a sentence, such as ``is not a number``."""


def convert(value: object, hint: Any) -> Any:
    """``value`` as the annotation ``hint`` has it.

    Knows bool, int, float, str, None, Literal, unions, ``tuple[X, ...]``, ``LayerSpec`` and Any; another
    annotation takes what is an instance of it already. Raises ``Mismatch``.
    """
    origin = get_origin(hint)
    if origin is Annotated:
        return _layers(value) if "layers" in hint.__metadata__ else convert(value, get_args(hint)[0])
    if origin in (Union, types.UnionType):
        return _union(value, get_args(hint))
    if origin is Literal:
        return _literal(value, get_args(hint))
    if origin is tuple:
        return tuple(convert(item, get_args(hint)[0]) for item in _items(value))
    if hint in (None, type(None)):
        return _none(value)
    if hint in _SCALARS:
        return _SCALARS[hint](value)
    if hint is Any or (isinstance(hint, type) and isinstance(value, hint)):
        return value
    raise Mismatch(f"cannot be given as text; it takes {describe(hint)}")


def describe(hint: Any) -> str:
    """What an annotation takes, in words: ``a number or none``."""
    origin, members = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return layers.GRAMMAR if "layers" in hint.__metadata__ else describe(members[0])
    if origin in (Union, types.UnionType):
        return listing([describe(member) for member in members])
    if origin is Literal:
        return listing([show(member) for member in members])
    if origin is tuple:
        return f"a list such as [1,2], each {describe(members[0])}"
    return _WORDS.get(hint, getattr(hint, "__name__", str(hint)))


def quoted(text: str) -> str:
    """``text`` in quotes where a comma, a quote or a bracket would break ``--model_args`` apart."""
    return json.dumps(text, ensure_ascii=False) if re.search(r"[,\"'{}\[\]=\n]|^\s|\s$", text) else text


def _bool(value: object) -> bool:
    if isinstance(value, str):
        value = {"true": True, "false": False}.get(value.strip().lower(), value)
    if value in (True, False) and not isinstance(value, str):
        return bool(value)
    raise Mismatch("is neither true nor false")


def _int(value: object) -> int:
    # A float holds 16 digits.
    if isinstance(value, str) and re.fullmatch(r"\s*[+-]?\d{1,100}\s*", value, re.ASCII):
        return int(value)
    try:
        number = _float(value)
        if not isinstance(value, bool) and number.is_integer():
            return value if isinstance(value, int) else int(number)
    except Mismatch:
        pass
    raise Mismatch("is not a whole number")


def _float(value: object) -> float:
    if isinstance(value, (int, float, str)) and not isinstance(value, bool):
        try:
            number = float(value)
        except (ValueError, OverflowError):
            number = math.nan
        if not math.isnan(number):
            return number
    raise Mismatch("is not a number")


def _str(value: object) -> str:
    if not isinstance(value, str):
        return show(value)
    text = value.strip()
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        try:
            return str(json.loads(text)) if text[0] == '"' else text[1:-1]
        except json.JSONDecodeError:
            return text[1:-1]
    return value


def _layers(value: object) -> str:
    try:
        return layers.parse(value)
    except layers.Malformed as problem:
        raise Mismatch(str(problem)) from None


def _none(value: object) -> None:
    if value is not None and str(value).strip().lower() != "none":
        raise Mismatch("is not none")


_SCALARS: dict[Any, Any] = {bool: _bool, int: _int, float: _float, str: _str}
_WORDS: dict[Any, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    None: "none",
    type(None): "none",
    Any: "anything",
}


def _union(value: object, members: Sequence[Any]) -> Any:
    # A value that has a member's own type keeps it: 1.0 in "int | float" is a fraction, not a count.
    if type(value) in members and not isinstance(value, str):
        return convert(value, type(value))
    # Text converts to everything, so it comes last; none is none before it is anything else.
    for member in sorted(members, key=lambda member: (member is str) - (member is type(None))):
        try:
            return convert(value, member)
        except ValueError:
            continue
    raise Mismatch(f"is not {listing([describe(member) for member in members])}")


def _literal(value: object, options: Sequence[Any]) -> Any:
    for option in options:
        try:
            if convert(value, type(option)) == option:
                return option
        except Mismatch:
            continue
    raise Mismatch("is not one of the choices")


def _items(value: object) -> list[object]:
    if isinstance(value, str):
        text = value.strip()
        if re.fullmatch(r"\[.*\]|\(.*\)", text, re.DOTALL):
            text = text[1:-1]
        separator = "," if "," in text else "+"
        return [item.strip() for item in text.split(separator) if item.strip()]
    return list(value) if isinstance(value, (list, tuple)) else [value]
