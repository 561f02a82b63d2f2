"""Reading a card's YAML file, every key checked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import cast

from registry.cards.card import (
    BENCHMARKS,
    DECODINGS,
    FIDELITIES,
    STRATEGIES,
    USES,
    Card,
    Fidelity,
    Paper,
    Protocol,
    Published,
)
from registry.cards.parameter import KINDS, SOURCES, Kind, Parameter
from registry.files.data_file import Section, open_file

_BUILT_IN_FIDELITIES = tuple(fidelity for fidelity in FIDELITIES if fidelity != "third-party")
_TAG = re.compile(r"\[([^\[\]]+)\]")
_STEP = re.compile(r"\[[PC3?][^\[\]]*\]\.?$")
_CONFIDENCE = re.compile(r"\? (\d+) %")


def read(path: Path, *, own: bool = True) -> Card:
    """The card in ``path``; see ``registry.cards.card.Card`` for the keys.

    Raises ``CardError`` naming file and key: unknown or missing keys, wrong types, a default, preset or
    identity value outside its parameter's range, a step without provenance, ``fidelity: reconstructed``
    without a parameter marked ``[?]``, shams of a control. Controls, and methods of another distribution (not ``own``),
    need not have a paper.
    """
    top = open_file(path)
    control = top.flag("control")
    parameters = tuple(_parameter(section) for section in top.sections("parameters"))
    card = Card(
        name=path.stem,
        title=top.text("title"),
        paper=_paper(top.section("paper")) if (own and not control) or "paper" in top.all() else None,
        fidelity=cast(Fidelity, top.choice("fidelity", _BUILT_IN_FIDELITIES)),
        summary=top.text("summary"),
        mechanism=top.texts("mechanism"),
        cost=top.text("cost"),
        implementation=top.text("implementation"),
        identity=top.mapping("identity"),
        parameters=parameters,
        presets={family.name: family.all() for family in top.sections("presets", required=False)},
        deviations=top.texts("deviations", required=False),
        notes=top.texts("notes", required=False),
        published=tuple(_published(section) for section in top.items("published")),
        version=top.whole("version"),
        uses=top.texts("uses", required=False),
        strong=top.mapping("strong", required=False),
        control=control,
        shams=top.texts("shams", required=False),
        like=top.optional_text("like"),
    )
    top.finish()
    _check(card, top)
    return card


def _paper(section: Section) -> Paper:
    arxiv = section.optional_text("arxiv")
    paper = Paper(
        title=section.text("title"),
        url=section.optional_text("url") or (f"https://arxiv.org/abs/{arxiv}" if arxiv else section.text("url")),
        venue=section.text("venue"),
        year=section.whole("year"),
        arxiv=arxiv,
        code=section.optional_text("code"),
    )
    section.finish()
    return paper


def _parameter(section: Section) -> Parameter:
    default = section.value("default")
    low, high = section.number("low"), section.number("high")
    source, confidence = _source(section)
    parameter = Parameter(
        name=section.name,
        default=default,
        kind=cast(Kind, section.choice("kind", KINDS, _kind(section.name, default, low, high))),
        source=source,
        text=section.text("text"),
        confidence=confidence,
        low=low,
        high=high,
        low_open=section.flag("low_open"),
        high_open=section.flag("high_open"),
        choices=section.values("choices"),
        allowed=section.optional_text("allowed") or "",
    )
    if not section.name.isidentifier():
        section.fail("", "a parameter's name is a Python identifier")
    if reason := parameter.problem(default):
        section.fail("default", f"{default!r} {reason}; allowed: {parameter.allowed}")
    section.finish()
    return parameter


def _kind(name: str, default: object, low: float | None, high: float | None) -> str:
    if isinstance(default, bool):
        return "flag"
    if isinstance(default, int):
        return "whole"
    if isinstance(default, float) or low is not None or high is not None:
        return "number"
    if isinstance(default, list):
        return "list"
    return "layers" if name.endswith("layers") else "text"


def _source(section: Section) -> tuple[tuple[str, ...], int | None]:
    text = section.text("source")
    match = _TAG.fullmatch(text)
    tags = [tag.strip() for tag in match[1].split(",")] if match else []
    confidence = None
    for index, tag in enumerate(tags):
        if found := _CONFIDENCE.fullmatch(tag):
            confidence, tags[index] = int(found[1]), "?"
    if not tags or any(tag not in SOURCES for tag in tags):
        section.fail("source", f'{text!r} is not a source; write "[P]", "[P, C]", "[3]", "[?]" or "[? 45 %]" in quotes')
    return tuple(tags), confidence


def _published(section: Section) -> Published:
    published = Published(
        source=section.text("source"),
        model=section.text("model"),
        setting=section.text("setting"),
        numbers=section.numbers("numbers"),
        baseline=section.numbers("baseline", required=False),
        protocol=_protocol(section.section("protocol")) if "protocol" in section.all() else Protocol(),
    )
    section.finish()
    return published


def _protocol(section: Section) -> Protocol:
    protocol = Protocol(
        benchmark=section.optional_choice("benchmark", BENCHMARKS),
        questions=section.optional_choice("questions", ("coco", "aokvqa", "gqa")),
        strategy=section.optional_choice("strategy", STRATEGIES),
        images=_count(section, "images"),
        seeds=_count(section, "seeds"),
        decoding=section.optional_choice("decoding", DECODINGS),
        beams=_count(section, "beams"),
        max_new_tokens=_count(section, "max_new_tokens"),
        prompt=section.optional_text("prompt"),
        parameters=section.mapping("parameters", required=False),
        unsupported=section.optional_text("unsupported"),
    )
    section.finish()
    for key in ("questions", "strategy"):
        if getattr(protocol, key) is not None and protocol.benchmark != "pope":
            section.fail(key, "is for benchmark: pope alone")
    if protocol.beams is not None and protocol.decoding != "beams":
        section.fail("beams", "is for decoding: beams alone")
    return protocol


def _count(section: Section, key: str) -> int | None:
    """A whole number of at least 1, None where the key is missing."""
    value = section.whole(key) if key in section.all() else None
    if value is not None and value < 1:
        section.fail(key, f"{value} is below 1")
    return value


def _check(card: Card, top: Section) -> None:
    if not re.fullmatch(r"[\w.]+:\w+", card.implementation):
        top.fail("implementation", f"{card.implementation!r} is not of the form package.module:Class")
    if card.fidelity == "reconstructed" and not any("?" in parameter.source for parameter in card.parameters):
        top.fail("fidelity", 'reconstructed asks for at least one parameter with source "[?]"')
    if card.fidelity == "ours" and not card.control:
        top.fail("fidelity", "ours is for controls; a method has a paper, or code of others, to be held to")
    if card.control and card.shams:
        top.fail("shams", "a control is a sham itself and has none")
    if card.like is not None and not card.control:
        top.fail("like", "is for controls; a method names its controls under shams")
    for number, use in enumerate(card.uses):
        if use not in USES:
            top.fail(f"uses[{number}]", f"{use!r} is not one of {', '.join(USES)}")
    for number, step in enumerate(card.mechanism):
        if not _STEP.search(step):
            top.fail(f"mechanism[{number}]", "end the step with where it comes from: [P], [C], [3] or [?]")
    _check_values(card, card.identity, "identity", top)
    _check_values(card, card.strong, "strong", top)
    for family, preset in card.presets.items():
        _check_values(card, preset, f"presets.{family}", top)
    for number, row in enumerate(card.published):
        _check_values(card, row.protocol.parameters, f"published[{number}].protocol.parameters", top)


def _check_values(card: Card, values: Mapping[str, object], key: str, top: Section) -> None:
    for name, value in values.items():
        parameter = card.parameter(name)
        if parameter is None:
            known = ", ".join(parameter.name for parameter in card.parameters)
            top.fail(f"{key}.{name}", f"is not a parameter of this method; it has: {known}")
        elif reason := parameter.problem(value):
            top.fail(f"{key}.{name}", f"{value!r} {reason}; allowed: {parameter.allowed}")
