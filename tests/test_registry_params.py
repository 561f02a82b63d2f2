"""Arguments: undoing lmms-eval's type guesses, refusing bad values with the fix, one canonical text."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

from registry.arguments import params
from registry.cards import built_in
from registry.cards.layers import LayerSpec
from registry.cards.parameter import Parameter, show
from registry.errors import BadArgument, UnknownName
from registry.plugins import lazy

VHR = built_in.load("vhr")


@dataclass(frozen=True)
class Vhr:
    alpha: float = 2.0
    layers: LayerSpec = "auto"
    variant: Literal["paper", "official"] = "paper"


@dataclass(frozen=True)
class Sample:
    flag: bool = False
    count: int = 1
    scale: float = 1.0
    role: str = ""
    mode: Literal["a", "b", 3] = "a"
    limit: float | None = None
    heads: tuple[int, ...] = ()
    shares: tuple[float, ...] = ()
    layers: LayerSpec = ""
    top: int | float | Literal["auto"] = "auto"
    state: int = field(default=0, init=False)


def coerce(values: dict[str, object]) -> dict[str, Any]:
    return params.coerce(Sample, values, card=None, method="sample")


@pytest.mark.parametrize(
    ("name", "raw", "expected"),
    [
        ("flag", True, True),
        ("flag", "False", False),
        ("flag", 0, False),
        ("flag", 1.0, True),
        ("count", 3, 3),
        ("count", -1.0, -1),
        ("count", "12", 12),
        ("count", 10**17 + 1, 10**17 + 1),
        ("count", str(10**17 + 1), 10**17 + 1),
        ("count", "-1", -1),
        ("scale", 2, 2.0),
        ("scale", "1e-3", 0.001),
        ("scale", "inf", math.inf),
        ("role", "a plain text", "a plain text"),
        ("role", '"one, two"', "one, two"),
        ("role", "'one, two'", "one, two"),
        ("role", 3, "3"),
        ("role", True, "true"),
        ("mode", "b", "b"),
        ("mode", 3.0, 3),
        ("limit", "none", None),
        ("limit", None, None),
        ("limit", 2, 2.0),
        ("heads", "[1,2]", (1, 2)),
        ("heads", "(1, 2)", (1, 2)),
        ("heads", "1+2", (1, 2)),
        ("heads", 4.0, (4,)),
        ("heads", [3, 1], (3, 1)),
        ("heads", "", ()),
        ("shares", "[0.5,1e-3]", (0.5, 0.001)),
        ("layers", 1.0, "1"),
        ("layers", "1+18-31", "1+18-31"),
        ("layers", "none", ""),
        ("layers", (1, 2), "1+2"),
        ("layers", "auto", "auto"),
        ("top", "auto", "auto"),
        ("top", 100, 100),
        ("top", 1.0, 1.0),
    ],
)
def test_a_mangled_value_gets_the_field_s_type(name: str, raw: object, expected: object) -> None:
    result = coerce({name: raw})
    assert result == {name: expected}
    assert type(result[name]) is type(expected)


@pytest.mark.parametrize(
    ("name", "raw", "message"),
    [
        ("flag", "yes", "sample: flag=yes is neither true nor false; allowed: true or false"),
        *(
            ("flag", word, f"sample: flag={word} is neither true nor false; allowed: true or false")
            for word in ("no", "off", "None", "on", "y", "", "tru")
        ),
        ("flag", 2, "sample: flag=2 is neither true nor false; allowed: true or false"),
        ("count", 1.5, "sample: count=1.5 is not a whole number; allowed: a whole number"),
        ("count", True, "sample: count=true is not a whole number; allowed: a whole number"),
        ("count", "inf", "sample: count=inf is not a whole number; allowed: a whole number"),
        ("scale", "abc", "sample: scale=abc is not a number; allowed: a number"),
        ("scale", math.nan, "sample: scale=nan is not a number; allowed: a number"),
        ("scale", "", "sample: scale= is not a number; allowed: a number"),
        ("mode", "c", "sample: mode=c is not one of the choices; allowed: a, b or 3"),
        ("limit", "much", "sample: limit=much is not a number or none; allowed: a number or none"),
        (
            "heads",
            "[1,x]",
            "sample: heads=[1,x] is not a whole number; allowed: a list such as [1,2], each a whole number",
        ),
        (
            "top",
            "best",
            "sample: top=best is not a whole number, a number or auto; allowed: a whole number, a number or auto",
        ),
    ],
)
def test_a_value_of_another_type_is_refused(name: str, raw: object, message: str) -> None:
    with pytest.raises(BadArgument) as caught:
        coerce({name: raw})
    assert str(caught.value) == message


def test_only_given_fields_come_back_and_hidden_ones_cannot_be_given() -> None:
    assert coerce({}) == {}
    with pytest.raises(BadArgument, match="unknown argument state=1"):
        coerce({"state": 1})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"alpha": "abc"}, "vhr: alpha=abc is not a number; allowed: a number >= 0 (default 2)"),
        ({"alpha": -1.0}, "vhr: alpha=-1 is out of range; allowed: a number >= 0 (default 2)"),
        ({"alpha": math.inf}, "vhr: alpha=inf is out of range; allowed: a number >= 0 (default 2)"),
        (
            {"variant": "offical"},
            "vhr: variant=offical is not one of the choices; allowed: paper or official (default paper)",
        ),
    ],
)
def test_the_card_s_ranges_bind(values: dict[str, object], message: str) -> None:
    with pytest.raises(BadArgument) as caught:
        params.coerce(Vhr, values, card=VHR, method="vhr")
    assert str(caught.value) == message


def test_malformed_layers_name_the_method_and_teach() -> None:
    with pytest.raises(BadArgument, match=r"^vhr: layers=31-18 runs backwards.*allowed: layers as 7, 18-31"):
        params.coerce(Vhr, {"layers": "31-18"}, card=VHR, method="vhr")


def test_an_unknown_argument_gets_near_matches_and_all_ranges() -> None:
    with pytest.raises(BadArgument) as caught:
        params.coerce(Vhr, {"alhpa": 2}, card=VHR, method="vhr")
    message = str(caught.value)
    assert message.startswith("vhr: unknown argument alhpa=2 (did you mean alpha?); allowed: ")
    for expected in (
        "alpha: a number >= 0 (default 2)",
        "variant: paper or official (default paper)",
        "layers: ",
    ):
        assert expected in message


@pytest.mark.parametrize("values", [{"alpha": -0.5}, {"alpha": "2"}, {"alpha": True}, {"variant": 3}, {"layers": "x"}])
def test_check_refuses_typed_values_like_coerce(values: dict[str, object]) -> None:
    (name,) = values
    with pytest.raises(BadArgument, match=f"^vhr: {name}="):
        params.check("vhr", values, VHR)


def test_check_accepts_the_card_s_own_settings_and_passes_over_other_fields() -> None:
    for family in (None, *VHR.presets):
        params.check("vhr", {**VHR.settings(family), "something_else": object()}, VHR)
    params.check("vhr", {"alpha": -1}, None)


@pytest.mark.parametrize(
    ("parameter", "allowed", "good", "bad"),
    [
        (
            {"kind": "number", "low": 0, "low_open": True, "high": 1},
            "a number > 0 and <= 1",
            [1, 0.5],
            [0, 1.1],
        ),
        (
            {"kind": "number", "low": 0, "high": math.inf},
            "a number >= 0, inf included",
            [math.inf],
            [-math.inf, math.nan],
        ),
        ({"kind": "number", "low": 0}, "a number >= 0", [7], [math.inf, "7"]),
        ({"kind": "number", "low": -1, "high": 1}, "a number from -1 to 1", [-1, 1], [-1.1]),
        ({"kind": "number"}, "a number", [-5.5], [math.inf]),
        (
            {"kind": "number", "low": 0, "choices": ("auto",)},
            "auto or a number >= 0",
            ["auto", 3],
            ["other", -3],
        ),
        (
            {"kind": "number", "low": 0, "low_open": True, "high": math.inf, "choices": ("auto",)},
            "auto or a number > 0, inf included",
            ["auto", 0.002, math.inf],
            [0, "best", -math.inf, math.nan],
        ),
        (
            {"kind": "number", "low": 0, "choices": (-1.0,)},
            "-1 or a number >= 0",
            [-1, -1.0, 0, 2.5],
            [-0.5, -2, "x", math.inf],
        ),
        ({"kind": "number", "low": 0, "choices": (-1.0, 1.0)}, "-1, 1 or a number >= 0", [1], [True]),
        ({"kind": "whole", "low": 0, "choices": (-1,)}, "-1 or a whole number >= 0", [-1, 0, 3], [-2, -1.0]),
        ({"kind": "whole", "low": 1}, "a whole number >= 1", [1], [0, 1.0, True]),
        ({"kind": "text", "choices": ("max", "mean")}, "max or mean", ["max"], ["min", 3]),
        ({"kind": "whole", "choices": (1, 2)}, "1 or 2", [1], [3, True]),
        ({"kind": "text"}, "text", [""], [3]),
        ({"kind": "flag"}, "true or false", [True], [1]),
        ({"kind": "layers"}, "layers as", ["1+2", "auto", ""], ["x"]),
        ({"kind": "list"}, "a list such as [1,2]", [[1], (1, 2)], ["1"]),
    ],
)
def test_ranges_in_words_and_in_effect(
    parameter: dict[str, Any], allowed: str, good: list[object], bad: list[object]
) -> None:
    built = Parameter(name="x", default=0, source=("P",), text="", **parameter)
    assert built.allowed.startswith(allowed)
    assert [value for value in good if built.problem(value)] == []
    assert [value for value in bad if not built.problem(value)] == []


@dataclass(frozen=True)
class Other:
    alpha: float = 0.5
    gamma: float = 1.1


@pytest.fixture
def two_methods(monkeypatch: pytest.MonkeyPatch) -> None:
    """vhr, and a method of another distribution that has ``alpha`` too."""
    registry = lazy.LazyRegistry()
    registry.register("vhr", VHR.implementation, "the built-in card vhr.yaml")
    registry.register("other", "elsewhere:Other", "a distribution")
    monkeypatch.setattr(lazy, "interventions", lambda: registry)
    monkeypatch.setattr(lazy, "resolve", {"other": Other}.__getitem__)


@pytest.mark.usefixtures("two_methods")
class TestComposition:
    def split(self, values: dict[str, object], method: str | None = "vhr+other") -> Any:
        return params.split_arguments(values, method, {"pretrained", "dtype"})

    def test_each_argument_reaches_its_method(self) -> None:
        values = {"pretrained": "x", "vhr.alpha": 2, "other.alpha": 1, "variant": "official", "gamma": 2}
        assert self.split(values) == (
            {"vhr": {"alpha": 2, "variant": "official"}, "other": {"alpha": 1, "gamma": 2}},
            {"pretrained": "x"},
        )

    def test_a_single_method_takes_names_with_and_without_prefix(self) -> None:
        assert self.split({"alpha": 3, "vhr.layers": 1}, "vhr") == ({"vhr": {"alpha": 3, "layers": 1}}, {})

    def test_no_method_takes_reserved_names_only(self) -> None:
        assert self.split({"dtype": "float32"}, None) == ({}, {"dtype": "float32"})
        with pytest.raises(
            BadArgument, match=r"no method: unknown argument alpha=2.*every model takes dtype, pretrained"
        ):
            self.split({"alpha": 2}, None)

    @pytest.mark.parametrize(
        ("values", "message"),
        [
            (
                {"alpha": 2},
                "vhr+other: alpha=2 could belong to several methods; write vhr.alpha or other.alpha",
            ),
            ({"pai.alpha": 2}, "vhr+other: pai.alpha=2: pai is not among the methods in use"),
            ({"vhr.gamma": 2}, "vhr+other: unknown argument vhr.gamma=2"),
            ({"variants": 2}, "vhr+other: unknown argument variants=2 (did you mean variant?)"),
            ({"pretraind": 2}, "vhr+other: unknown argument pretraind=2 (did you mean pretrained?)"),
            ({"gamma": 1, "other.gamma": 2}, "vhr+other: gamma of other is given twice"),
        ],
    )
    def test_a_name_without_one_owner_is_refused(self, values: dict[str, object], message: str) -> None:
        with pytest.raises(BadArgument) as caught:
            self.split(values)
        assert str(caught.value).startswith(message)

    @pytest.mark.parametrize(("method", "problem"), [("vhr+", "missing"), ("vhr+vhr", "twice")])
    def test_malformed_compositions(self, method: str, problem: str) -> None:
        with pytest.raises(ValueError, match=problem):
            self.split({}, method)

    def test_an_unknown_method_gets_near_matches(self) -> None:
        with pytest.raises(UnknownName, match=r"unknown method 'othr' \(did you mean other\?\); `hallu methods`"):
            self.split({}, "vhr+othr")


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({}, ""),
        ({"b": 1, "a": 2.0}, "a=2,b=1"),
        ({"x": 0.1 + 0.2, "y": 1e-5, "z": math.inf}, "x=0.3,y=1e-05,z=inf"),
        ({"flag": True, "nothing": None}, "flag=true,nothing=none"),
        ({"layers": (1, 18, 19, 20), "vhr.layers": [3, 2]}, "layers=1+18-20,vhr.layers=2-3"),
        ({"layers": "1+last:14/32"}, "layers=1+last:14/32"),
        ({"heads": (3, 1), "layers": ()}, "heads=[3,1],layers="),
        ({"role": "You are confused, a bit."}, 'role="You are confused, a bit."'),
        ({"role": 'say "no"'}, r'role="say \"no\""'),
    ],
)
def test_canonical_text(values: dict[str, object], text: str) -> None:
    assert params.canonical(values) == text


def test_two_spellings_of_one_setting_have_one_canonical_text() -> None:
    texts = set()
    for raw in ({"alpha": 2, "layers": " 1 + 4-7"}, {"layers": "[1,4-7]", "alpha": "2.0"}):
        texts.add(params.canonical(params.coerce(Vhr, raw, card=VHR, method="vhr")))
    assert texts == {"alpha=2,layers=1+4-7"}


@pytest.mark.parametrize("role", ["a, b", 'say "no", please', "plain", "it's", " padded "])
def test_quoted_text_survives_the_way_back(role: str) -> None:
    written = params.canonical({"role": role}).removeprefix("role=")
    assert coerce({"role": written}) == {"role": role}


def test_show_is_short_and_stable() -> None:
    assert [show(value) for value in (True, None, 2.0, 0.1 + 0.2, -math.inf, (1, 2.0), "x")] == [
        "true", "none", "2", "0.3", "-inf", "[1,2]", "x",
    ]  # fmt: skip


def test_a_class_that_is_no_dataclass_is_a_programming_error() -> None:
    with pytest.raises(TypeError, match="not a dataclass"):
        params.coerce(int, {"x": 1}, card=None, method="broken")


def test_identity_is_allowed_by_the_card() -> None:
    params.check("vhr", VHR.identity, VHR)


# Arguments that no dataclass holds

HINTS: dict[str, Any] = {"trust": bool, "seed": int, "revision": str | None, "rate": float}


def test_typed_values_keep_their_order_and_get_their_types() -> None:
    values = {"revision": "None", "trust": "False", "seed": -1.0, "rate": 2}
    found = params.typed(values, HINTS, "--model x")
    assert list(found.items()) == [("revision", None), ("trust", False), ("seed", -1), ("rate", 2.0)]
    assert type(found["seed"]) is int and type(found["rate"]) is float
    assert params.typed({"revision": 1234567}, HINTS, "--model x") == {"revision": "1234567"}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"trust": "no"}, "--model x: trust=no is neither true nor false; allowed: true or false"),
        ({"seed": "a"}, "--model x: seed=a is not a whole number; allowed: a whole number"),
        (
            {"revision": 1e5},
            "--model x: revision was read as the number 100000; write it in quotes, revision='\"...\"'",
        ),
    ],
)
def test_typed_values_that_do_not_fit_are_named(values: dict[str, object], message: str) -> None:
    with pytest.raises(BadArgument) as caught:
        params.typed(values, HINTS, "--model x")
    assert str(caught.value) == message
