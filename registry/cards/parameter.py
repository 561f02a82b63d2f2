"""One parameter of a method: its default, what it may be, and where that is published."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from registry.cards import layers
from registry.errors import BadArgument

Kind = Literal["number", "whole", "flag", "text", "layers", "list"]
KINDS: tuple[str, ...] = get_args(Kind)

SOURCES: Mapping[str, str] = {
    "P": "the paper's text",
    "C": "the authors' released code",
    "3": "a third-party port or note",
    "?": "a reconstruction of the card's author",
}

_NAMES = {
    "number": "a number",
    "whole": "a whole number",
    "flag": "true or false",
    "text": "text",
    "layers": layers.GRAMMAR,
    "list": "a list such as [1,2]",
}
_REASONS = {
    "number": "is not a number",
    "whole": "is not a whole number",
    "flag": "is neither true nor false",
    "text": "is not text",
    "list": "is not a list",
}


@dataclass(frozen=True)
class Parameter:
    """A hyper-parameter as its method's card describes it.

    ``choices`` are words (or values) beside the kind's own values; where they are of that kind themselves
    they are the only values, unless there is a range: then they are allowed beside it, as -1 may be beside
    numbers >= 0. ``low`` and ``high`` bound a number, the ends belong to the range unless ``low_open`` or
    ``high_open``; infinity is a value only where it is such an end. ``source`` holds the keys of
    ``SOURCES``, ``confidence`` (percent) belongs to ``"?"``. ``allowed`` says all this in words.
    """

    name: str
    default: object
    kind: Kind
    source: tuple[str, ...]
    text: str
    confidence: int | None = None
    low: float | None = None
    high: float | None = None
    low_open: bool = False
    high_open: bool = False
    choices: tuple[object, ...] = ()
    allowed: str = ""

    def __post_init__(self) -> None:
        if not self.allowed:
            object.__setattr__(self, "allowed", self._in_words())

    @property
    def provenance(self) -> str:
        """The source as the documentation writes it, such as ``[P, C]`` or ``[? 45 %]``."""
        tags = ", ".join(self.source)
        return f"[{tags}]" if self.confidence is None else f"[{tags} {self.confidence} %]"

    def problem(self, value: object) -> str | None:
        """Why ``value`` is not allowed, as the rest of a sentence; None where it is."""
        if any(self._is_choice(value, choice) for choice in self.choices):
            return None
        if value is None and self.default is None:
            return None
        if self.kind == "layers":
            return _layers_problem(value)
        if not _is_kind(self.kind, value):
            return "is not one of the choices" if self._closed() else _REASONS[self.kind]
        if self._closed():
            return "is not one of the choices"
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return None if self._in_range(value) else "is out of range"
        return None

    def require(self, value: object, method: str) -> None:
        """Raise ``BadArgument`` unless ``value`` is allowed."""
        if reason := self.problem(value):
            raise BadArgument(self.refusal(value, reason, method))

    def refusal(self, value: object, reason: str, method: str) -> str:
        """The message: method, argument, value, reason, allowed values, default."""
        return f"{method}: {self.name}={show(value)} {reason}; allowed: {self.in_short}"

    @property
    def in_short(self) -> str:
        """Allowed values and default, such as ``a number >= 0 (default 2)``."""
        return f"{self.allowed} (default {show(self.default) or 'empty'})"

    def _is_choice(self, value: object, choice: object) -> bool:
        # Where any number will do, -1 is -1.0; True is never 1.
        same_type = type(value) is type(choice) or (self.kind == "number" and _is_kind("number", value))
        return same_type and value == choice

    def _closed(self) -> bool:
        ranged = self.low is not None or self.high is not None
        return bool(self.choices) and not ranged and all(_is_kind(self.kind, choice) for choice in self.choices)

    def _in_range(self, value: float) -> bool:
        if math.isinf(value):
            end, is_open = (self.high, self.high_open) if value > 0 else (self.low, self.low_open)
            return end == value and not is_open
        above = self.low is None or value > self.low or (value == self.low and not self.low_open)
        below = self.high is None or value < self.high or (value == self.high and not self.high_open)
        return above and below

    def _in_words(self) -> str:
        words = [show(choice) for choice in self.choices]
        if self.kind == "flag":
            words = []
        if self._closed() and words:
            return listing(words)
        return listing([*words, _NAMES[self.kind] + self._range_in_words()])

    def _range_in_words(self) -> str:
        infinite = any(end is not None and math.isinf(end) for end in (self.low, self.high))
        low = None if self.low is None or math.isinf(self.low) else self.low
        high = None if self.high is None or math.isinf(self.high) else self.high
        if low is not None and high is not None and not (self.low_open or self.high_open):
            return f" from {show(low)} to {show(high)}"
        bounds = []
        if low is not None:
            bounds.append(f"{'>' if self.low_open else '>='} {show(low)}")
        if high is not None:
            bounds.append(f"{'<' if self.high_open else '<='} {show(high)}")
        return " " * bool(bounds) + " and ".join(bounds) + (", inf included" if infinite else "")


def show(value: object) -> str:
    """A setting as text: ``true``, ``none``, ``2`` for 2.0, ``0.3`` for 0.30000000000000004, ``[1,2]``."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "none"
    if isinstance(value, float):
        return repr(float(f"{value:.12g}")).removesuffix(".0")
    if isinstance(value, Mapping):
        return json.dumps({str(key): show(item) for key, item in value.items()}, ensure_ascii=False)
    if isinstance(value, (list, tuple, set, frozenset)):
        return f"[{','.join(show(item) for item in value)}]"
    return str(value)


def listing(words: Iterable[str]) -> str:
    """``a, b or c``."""
    *head, last = words
    return f"{', '.join(head)} or {last}" if head else last


def _is_kind(kind: Kind, value: object) -> bool:
    if kind == "flag":
        return isinstance(value, bool)
    if kind == "whole":
        return isinstance(value, int) and not isinstance(value, bool)
    if kind == "number":
        return isinstance(value, (int, float)) and not isinstance(value, bool) and not math.isnan(value)
    if kind == "list":
        return isinstance(value, (list, tuple))
    return isinstance(value, str)


def _layers_problem(value: object) -> str | None:
    try:
        layers.parse(value)
    except layers.Malformed as problem:
        return str(problem)
    return None
