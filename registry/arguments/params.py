"""A method's arguments: coerced to its fields' types, checked against its card, written down in one way."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, get_type_hints

from registry.arguments import convert
from registry.cards import layers
from registry.cards.card import Card
from registry.cards.parameter import show
from registry.errors import BadArgument, did_you_mean, near
from registry.plugins import lazy

__all__ = ["BadArgument", "argument_names", "canonical", "check", "coerce", "split_arguments", "typed"]


def coerce(cls: type[Any], values: Mapping[str, object], *, card: Card | None, method: str) -> dict[str, Any]:
    """The given arguments with the types of the dataclass ``cls``; fields that are not given are left out.

    With a card that describes the argument, the value is also checked against it. Raises ``BadArgument``
    naming the method, the argument, the value and what is allowed.
    """
    hints = get_type_hints(cls, include_extras=True)
    names = _field_names(cls)
    coerced: dict[str, Any] = {}
    for name, value in values.items():
        if name not in names:
            raise BadArgument(_unknown(method, name, value, names, card, hints))
        parameter = card.parameter(name) if card else None
        try:
            coerced[name] = convert.convert(value, hints[name])
        except convert.Mismatch as mismatch:
            if parameter:
                raise BadArgument(parameter.refusal(value, str(mismatch), method)) from None
            allowed = convert.describe(hints[name])
            raise BadArgument(f"{method}: {name}={show(value)} {mismatch}; allowed: {allowed}") from None
        if parameter:
            parameter.require(coerced[name], method)
    return coerced


def typed(values: Mapping[str, object], hints: Mapping[str, Any], title: str) -> dict[str, Any]:
    """The values as the annotations `hints` have them, in the order given.

    Raises ``BadArgument``, which begins with `title`, for a value of another type, and for text that lmms-eval has
    read as a number with a fraction or an exponent: what was written is lost.
    """
    found: dict[str, Any] = {}
    for name, value in values.items():
        try:
            found[name] = convert.convert(value, hints[name])
        except convert.Mismatch as mismatch:
            allowed = convert.describe(hints[name])
            raise BadArgument(f"{title}: {name}={show(value)} {mismatch}; allowed: {allowed}") from None
        if isinstance(value, float) and isinstance(found[name], str):
            raise BadArgument(
                f"{title}: {name} was read as the number {show(value)}; write it in quotes, {name}='\"...\"'"
            )
    return found


def check(method: str, values: Mapping[str, object], card: Card | None) -> None:
    """Check values that have their types already, as a dataclass does in ``__post_init__``.

    Names the card does not describe are passed over. Raises the same ``BadArgument`` as ``coerce``.
    """
    for name, value in values.items():
        if card and (parameter := card.parameter(name)):
            parameter.require(value, method)


def split_arguments(
    values: Mapping[str, object], method: str | None, reserved: Iterable[str]
) -> tuple[dict[str, dict[str, object]], dict[str, object]]:
    """Sort arguments by the method they belong to: ``(arguments per method, the reserved ones)``.

    ``method`` is a name or a composition such as ``"vhr+pai"``; None is no method. ``vhr.alpha`` belongs to
    vhr, a name in ``reserved`` to the caller, any other name to the one method that has it. Raises
    ``BadArgument`` for a name that no method or several have, or that is given twice, and what
    ``lazy.composition`` raises.
    """
    reserved = set(reserved)
    parts = lazy.composition(method) if method else ()
    known = {part: argument_names(part) for part in parts}
    title = method or "no method"
    chosen: dict[str, dict[str, object]] = {part: {} for part in parts}
    rest: dict[str, object] = {}
    for key, value in values.items():
        if key in reserved:
            rest[key] = value
            continue
        prefix, dot, name = key.rpartition(".")
        if dot and prefix not in known:
            raise BadArgument(f"{title}: {key}={show(value)}: {prefix} is not among the methods in use")
        owners = [prefix] if dot else [part for part in parts if name in known[part]]
        if len(owners) > 1:
            spellings = " or ".join(f"{owner}.{name}" for owner in owners)
            raise BadArgument(f"{title}: {key}={show(value)} could belong to several methods; write {spellings}")
        if not owners or name not in known[owners[0]]:
            raise BadArgument(_unplaced(title, key, value, known, reserved))
        if name in chosen[owners[0]]:
            raise BadArgument(f"{title}: {name} of {owners[0]} is given twice, with and without the prefix")
        chosen[owners[0]][name] = value
    return chosen, rest


def canonical(values: Mapping[str, object]) -> str:
    """Settings as one stable text, ``alpha=2,layers=1+18-31``: sorted names, numbers without noise.

    Layer numbers are spelled as ranges, text is quoted where it holds commas or brackets.
    """
    return ",".join(f"{name}={_text(name, values[name])}" for name in sorted(values))


def _text(name: str, value: object) -> str:
    if isinstance(value, str):
        return convert.quoted(value)
    if name.endswith("layers") and isinstance(value, Sequence):
        return layers.spell(value)
    return show(value)


def _field_names(cls: type[Any]) -> list[str]:
    if not dataclasses.is_dataclass(cls):
        raise TypeError(f"{cls.__qualname__} is not a dataclass; a method's arguments are its fields")
    return [field.name for field in dataclasses.fields(cls) if field.init and not field.name.startswith("_")]


def argument_names(method: str) -> list[str]:
    """The names of a method's arguments, by its card, without one by its fields."""
    parameters = lazy.card(method).parameters
    return [parameter.name for parameter in parameters] or _field_names(lazy.resolve(method))


def _unknown(
    method: str, name: str, value: object, names: list[str], card: Card | None, hints: Mapping[str, Any]
) -> str:
    allowed = []
    for known in names:
        parameter = card.parameter(known) if card else None
        allowed.append(f"{known}: {parameter.in_short if parameter else convert.describe(hints[known])}")
    return (
        f"{method}: unknown argument {name}={show(value)}{did_you_mean(near(name, names))}; "
        f"allowed: {'; '.join(allowed) or 'no arguments'}"
    )


def _unplaced(title: str, key: str, value: object, known: Mapping[str, list[str]], reserved: set[str]) -> str:
    names = sorted({*reserved, *(name for arguments in known.values() for name in arguments)})
    allowed = [f"{part} takes {', '.join(arguments)}" for part, arguments in known.items()]
    if reserved:
        allowed.append(f"every model takes {', '.join(sorted(reserved))}")
    return (
        f"{title}: unknown argument {key}={show(value)}{did_you_mean(near(key.rpartition('.')[2], names))}; "
        f"allowed: {'; '.join(allowed) or 'no arguments'}"
    )
