"""Which decoder layers a method edits, written as text that fits into ``--model_args``.

Terms are joined by ``+``. Layers count from 0; ranges include both ends.

======================  ==================================================================
``7``                   layer 7
``18-31``               layers 18 to 31
``-1``                  the last layer, ``-2`` the one before it (not together with other terms)
``last:14/32``          the last 14 of 32 layers; another depth is scaled: round(14/32 x depth), at least 1
``5/32-18/32``          layers 5 to 18 of 32; another depth is scaled: floor(a/32 x depth) at both ends
``all``                 every layer
(empty) or ``none``     no layer
======================  ==================================================================
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable
from typing import Annotated

from registry.errors import BadArgument

AUTO = "auto"
"""The card's setting for the model family. Replace it (``Card.settings``) before ``resolve``."""

LayerSpec = Annotated[str, "layers"]
"""Annotation of a method's field that holds a layer list."""

GRAMMAR = "layers as 7, 18-31, last:14/32 or 5/32-18/32, joined by +; or -1, or all, or empty for none"

_SHARE = r"(\d+)/(\d+)"
_NUMBER = re.compile(r"(\d+)")
_RANGE = re.compile(r"(\d+)-(\d+)")
_NEGATIVE = re.compile(r"-(\d+)")
_LAST = re.compile(f"last:{_SHARE}")
_SCALED = re.compile(f"{_SHARE}-{_SHARE}")


class Malformed(ValueError):
    """Text outside the grammar; the message is the rest of a sentence that begins with the text."""


def resolve(spec: object, depth: int, *, argument: str = "layers", method: str = "method") -> tuple[int, ...]:
    """Layer numbers, sorted and without repetition, of a decoder with ``depth`` layers.

    ``spec`` is text, a number, or a sequence of numbers.
    ``argument`` and ``method`` only name the setting in messages. Raises ``BadArgument`` for text outside
    the grammar, for a layer the model does not have and for ``"auto"``.
    """
    try:
        text = parse(spec)
    except Malformed as problem:
        raise BadArgument(f"{method}: {argument}={spec} {problem}; allowed: {GRAMMAR}") from None
    if text == AUTO:
        raise BadArgument(
            f"{method}: {argument}=auto stands for the method card's layers and has to be replaced by them first; "
            f"write the layers, for example {argument}={_example(depth)}"
        )
    chosen: set[int] = set()
    for term in _terms(text):
        span = _span(term)(depth)
        if span.start < 0 or span.stop > depth:
            missing = term if span.start < 0 else str(max(span.start, depth))
            raise BadArgument(
                f"{method}: {argument}={text}: layer {missing} does not exist, this model has layers "
                f"0-{depth - 1}; write for example {argument}={_example(depth)}"
            )
        chosen.update(span)
    return tuple(sorted(chosen))


def scaled(spec: object, depth: int, *, method: str = "method") -> str | None:
    """A sentence on layers that come from a rule for another depth; None where the rule is for this one or none."""
    text = parse(spec)
    wholes = {int(whole) for whole in re.findall(r"/(\d+)", text)}
    if not wholes or wholes == {depth}:
        return None
    given = " and ".join(map(str, sorted(wholes)))
    return (
        f"{method}: layers={text} is a rule for {given} layers; of this model's {depth} they are "
        f"{spell(resolve(text, depth, method=method))}"
    )


def parse(spec: object) -> str:
    """The specification as text without spaces, its grammar checked; ``"auto"`` passes.

    Undoes what lmms-eval does to ``--model_args``: ``1``, ``1.0`` and ``"[1,2]"`` become ``"1"``, ``"1"``
    and ``"1+2"``. Raises ``Malformed``.
    """
    text = _as_text(spec)
    terms = _terms(text)
    for term in terms:
        _span(term)
    if len(terms) > 1 and any(_NEGATIVE.fullmatch(term) for term in terms):
        raise Malformed("joins a negative layer to others; write last:1/32 for the last layer")
    return text


def spell(layers: Iterable[int]) -> str:
    """The one spelling of a set of layers, ``(1, 18, 19, 20)`` as ``"1+18-20"``; ``resolve`` undoes it."""
    runs: list[list[int]] = []
    for layer in sorted(set(layers)):
        if runs and layer == runs[-1][1] + 1:
            runs[-1][1] = layer
        else:
            runs.append([layer, layer])
    return "+".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


def _as_text(spec: object) -> str:
    if isinstance(spec, str):
        text = re.sub(r"\s+", "", spec)
        if re.fullmatch(r"\[.*\]|\(.*\)", text):
            text = text[1:-1].strip(",").replace(",", "+")
        return "" if text.lower() == "none" else text
    if isinstance(spec, bool) or spec is None:
        raise Malformed("is not a list of layers")
    if isinstance(spec, float):
        if not spec.is_integer():
            raise Malformed("is not a whole number")
        return str(int(spec))
    if isinstance(spec, Iterable):
        numbers = [_as_text(item) for item in spec]
        return numbers[0] if len(numbers) == 1 else "+".join(numbers)
    try:
        return str(operator.index(spec))  # type: ignore[arg-type]
    except TypeError:
        raise Malformed("is not a list of layers") from None


def _terms(text: str) -> list[str]:
    return [] if text in ("", AUTO) else text.split("+")


def _span(term: str) -> Callable[[int], range]:
    """The layers of one term as a function of the depth."""
    if term == "all":
        return range
    if match := _NUMBER.fullmatch(term):
        number = int(match[1])
        return lambda depth: range(number, number + 1)
    if match := _NEGATIVE.fullmatch(term):
        back = int(match[1])
        return lambda depth: range(depth - back, depth - back + 1)
    if match := _RANGE.fullmatch(term):
        first, last = int(match[1]), int(match[2])
        if first > last:
            raise Malformed(f"runs backwards in {term}, write {last}-{first}")
        return lambda depth: range(first, last + 1)
    if match := _LAST.fullmatch(term):
        part, whole = _share(match[1], match[2])
        if not 0 < part <= whole:
            raise Malformed(f"holds {term}, whose fraction is not above 0 and at most 1")
        return lambda depth: range(depth - max(1, round(part * depth / whole)), depth)
    if match := _SCALED.fullmatch(term):
        (start, whole), (end, whole_of_end) = _share(match[1], match[2]), _share(match[3], match[4])
        if start * whole_of_end > end * whole or end >= whole_of_end:
            raise Malformed(f"holds {term}, whose ends do not rise and stay below 1")
        return lambda depth: range(start * depth // whole, end * depth // whole_of_end + 1)
    raise Malformed(f"holds {term!r}, which is no layer" if term else "lacks a term beside +")


def _share(numerator: str, denominator: str) -> tuple[int, int]:
    if int(denominator) == 0:
        raise Malformed(f"holds {numerator}/0, which is no fraction")
    return int(numerator), int(denominator)


def _example(depth: int) -> str:
    return spell([1, *range(depth * 9 // 16, depth)]) if depth > 3 else "0"
