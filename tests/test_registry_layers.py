"""Layer lists: what the text means, what is refused, and that spelling and reading are inverse."""

from __future__ import annotations

import pytest

from registry.cards import layers
from registry.errors import BadArgument


@pytest.mark.parametrize(
    ("spec", "depth", "expected"),
    [
        ("7", 32, (7,)),
        ("18-31", 32, tuple(range(18, 32))),
        ("1+18-31", 32, (1, *range(18, 32))),
        ("1 + 18 - 20", 32, (1, 18, 19, 20)),
        ("3+1+1-3", 32, (1, 2, 3)),
        ("-1", 32, (31,)),
        ("-32", 32, (0,)),
        ("all", 4, (0, 1, 2, 3)),
        ("", 32, ()),
        ("none", 32, ()),
        ("1+last:14/32", 32, (1, *range(18, 32))),
        ("1+last:14/32", 8, (1, 4, 5, 6, 7)),
        ("last:18/32", 32, tuple(range(14, 32))),
        ("last:1/32", 8, (7,)),
        ("last:32/32", 3, (0, 1, 2)),
        ("5/32-18/32", 32, tuple(range(5, 19))),
        ("5/32-18/32", 8, (1, 2, 3, 4)),
        ("5/32-18/32", 40, tuple(range(6, 23))),
        ("0/4-3/4", 28, tuple(range(22))),
    ],
)
def test_text_names_layers(spec: str, depth: int, expected: tuple[int, ...]) -> None:
    assert layers.resolve(spec, depth) == expected


@pytest.mark.parametrize(
    ("mangled", "expected"),
    [
        (1, (1,)),
        (1.0, (1,)),
        (-1, (7,)),
        (-1.0, (7,)),
        ("[1,2]", (1, 2)),
        ("[1, 4-5]", (1, 4, 5)),
        ("[]", ()),
    ],
)
def test_values_as_lmms_eval_hands_them_over(mangled: object, expected: tuple[int, ...]) -> None:
    assert layers.resolve(mangled, 8) == expected


@pytest.mark.parametrize(
    ("spec", "expected"), [([5, 1, 1], (1, 5)), ((0, 7), (0, 7)), ([-1], (7,)), (range(2), (0, 1)), ([], ())]
)
def test_python_sequences(spec: list[int], expected: tuple[int, ...]) -> None:
    assert layers.resolve(spec, 8) == expected


@pytest.mark.parametrize(
    ("spec", "depth", "missing", "example"),
    [
        ("40", 32, "layer 40", "layers=1+18-31"),
        ("30-40", 32, "layer 32", "layers=1+18-31"),
        ("-40", 32, "layer -40", "layers=1+18-31"),
        ("18-31", 8, "layer 18", "layers=1+4-7"),
        ("2", 2, "layer 2", "layers=0"),
    ],
)
def test_a_layer_the_model_does_not_have(spec: str, depth: int, missing: str, example: str) -> None:
    with pytest.raises(BadArgument) as caught:
        layers.resolve(spec, depth)
    assert str(caught.value) == (
        f"method: layers={spec}: {missing} does not exist, this model has layers 0-{depth - 1}; "
        f"write for example {example}"
    )
    layers.resolve(example.removeprefix("layers="), depth)


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ("abc", "'abc', which is no layer"),
        ("1++2", "lacks a term beside +"),
        ("1+", "lacks a term beside +"),
        ("31-18", "write 18-31"),
        ("1+-1", "write last:1/32"),
        ("last:14", "which is no layer"),
        ("last:0/32", "whose fraction"),
        ("last:33/32", "whose fraction"),
        ("last:1/0", "which is no fraction"),
        ("5/32", "which is no layer"),
        ("5-18/32", "which is no layer"),
        ("18/32-5/32", "whose ends"),
        ("0/32-32/32", "whose ends"),
        (1.5, "is not a whole number"),
        (True, "is not a list of layers"),
        (None, "is not a list of layers"),
        ([1, "x"], "'x', which is no layer"),
    ],
)
def test_malformed_text_teaches_the_grammar(spec: object, reason: str) -> None:
    with pytest.raises(BadArgument) as caught:
        layers.resolve(spec, 32, argument="edited", method="pai")
    message = str(caught.value)
    assert message.startswith(f"pai: edited={spec} ")
    assert reason in message
    assert layers.GRAMMAR in message


def test_auto_has_to_be_replaced_by_the_card_first() -> None:
    assert layers.parse(layers.AUTO) == layers.AUTO
    with pytest.raises(BadArgument, match=r"layers=auto stands for the method card's layers.*layers=1\+18-31"):
        layers.resolve(layers.AUTO, 32)


@pytest.mark.parametrize(
    ("chosen", "text"),
    [
        ((), ""),
        ((7,), "7"),
        ((1, *range(18, 32)), "1+18-31"),
        ((3, 1, 2, 2), "1-3"),
        ((0, 2, 4, 5), "0+2+4-5"),
    ],
)
def test_spelling_is_canonical_and_undone_by_resolve(chosen: tuple[int, ...], text: str) -> None:
    assert layers.spell(chosen) == text
    assert layers.resolve(text, 32) == tuple(sorted(set(chosen)))
