"""From what a user writes (``"vhr"``, ``"eah+vhr"``, an instance) to interventions bound to a model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from hallu_models.hosts.host import UnsupportedModel
from hallu_models.interventions.base import Intervention
from registry.arguments import method_arguments, params, preset_file
from registry.arguments.method_arguments import MethodArguments
from registry.arguments.preset_file import PresetFile
from registry.cards import layers
from registry.model_families import family as families
from registry.plugins import lazy

Method = str | Intervention | None


def names(method: Method) -> tuple[str, ...]:
    """The method names in the order written; empty for None (the plain model)."""
    if method is None:
        return ()
    if isinstance(method, Intervention):
        return (type(method).name,)
    return lazy.composition(method)


def owners(method: Method, parameter: str) -> tuple[str, ...]:
    """The methods among these that have a parameter of this name."""
    if isinstance(method, Intervention):
        return names(method) if parameter in method.parameters() else ()
    return tuple(name for name in names(method) if parameter in params.argument_names(name))


def check(method: str | None, parameters: Mapping[str, Any], reserved: Iterable[str] = ()) -> dict[str, dict[str, Any]]:
    """Parameters per method, coerced to their types: all that can be checked without a model.

    ``parameters`` may name their method ("vhr.alpha") where a composition needs it, and ``preset`` a file whose values
    the other parameters overlay (:mod:`registry.arguments.preset_file`). ``reserved`` are names that the caller takes
    itself, for messages. Raises ValueError subclasses for unknown methods and parameters, and for values that are
    malformed or out of range.
    """
    return {name: dict(values) for name, values in parse(method, parameters, reserved).values.items()}


def parse(
    method: str | None, parameters: Mapping[str, Any] | MethodArguments, reserved: Iterable[str] = ()
) -> MethodArguments:
    """As :func:`check`, for :func:`build` and :func:`scaled_layers`, which take what is parsed as it is."""
    if isinstance(parameters, MethodArguments):
        return parameters
    return method_arguments.parse(method, parameters, reserved)


def build(
    method: Method,
    family: str | None,
    depth: int,
    parameters: Mapping[str, Any] | MethodArguments,
    checkpoint: Path | None = None,
) -> tuple[Intervention, ...]:
    """Interventions for a model of this family and number of layers: the card's preset, overlaid by ``parameters``.

    The values of a preset file stand between the two: the one that is named, else the one in ``checkpoint``, the folder
    that the model was loaded from.

    Raises what :func:`check` raises, and ValueError for a layer the model does not have and for parameters beside an
    instance (which carries its own), and for a preset file of a model with another number of layers.
    """
    if isinstance(method, Intervention):
        if parameters:
            given = parameters.values if isinstance(parameters, MethodArguments) else parameters
            raise params.BadArgument(
                f"{', '.join(given)}: the intervention {method!r} carries its own parameters; set them there"
            )
        return (method.bind(family, depth),)
    parsed = parse(method, parameters)
    parsed.require_depth(depth)
    return tuple(item.bind(family, depth) for item in _built(parsed, family, depth, checkpoint))


def found_beside(method: Method, parameters: Mapping[str, Any] | MethodArguments, checkpoint: Path | None) -> list[str]:
    """A sentence for each method that takes a preset file in the checkpoint's folder."""
    if isinstance(method, Intervention):
        return []
    found = {name: _beside(name, parse(method, parameters), checkpoint) for name in names(method)}
    return [
        f"{name}: {params.canonical(preset.parameters)} from {preset_file.FOLDER}/ in the checkpoint's folder, where "
        "the arguments say nothing else"
        for name, preset in found.items()
        if preset
    ]


def _beside(name: str, parsed: MethodArguments, checkpoint: Path | None) -> PresetFile | None:
    named = parsed.preset is not None and parsed.preset.method == name
    return None if named else preset_file.beside(checkpoint, name)


def scaled_layers(
    method: Method,
    family: str | None,
    depth: int,
    parameters: Mapping[str, Any] | MethodArguments,
    checkpoint: Path | None = None,
) -> list[str]:
    """A sentence for each method whose layers follow a rule made for a model of another depth."""
    items = (
        (method,) if isinstance(method, Intervention) else _built(parse(method, parameters), family, depth, checkpoint)
    )
    said = (layers.scaled(item.layer_rule(family), depth, method=item.name) for item in items)
    return [sentence for sentence in said if sentence]


def _built(
    parsed: MethodArguments, family: str | None, depth: int, checkpoint: Path | None = None
) -> tuple[Intervention, ...]:
    """Interventions at the presets of card and checkpoint, overlaid by what is given, not bound to a depth yet."""
    built = []
    for name, values in parsed.values.items():
        cls = lazy.resolve(name)
        card = cls.card()
        # bind() resolves layers="auto" from the same preset.
        preset = (
            {key: value for key, value in card.presets.get(family or "", {}).items() if key != "layers"} if card else {}
        )
        if (beside := _beside(name, parsed, checkpoint)) is not None:
            beside.require_depth(depth)
            preset |= params.coerce(cls, beside.parameters, card=card, method=name)
        _refuse_cell(family, name)
        built.append(cls(**{**preset, **values}))
    return tuple(built)


def _refuse_cell(known: str | None, method: str) -> None:
    row = families.load().get(known or "")
    if row is not None and (found := row.cell(lazy.card(method))).status == "refused":
        works = [name for name in lazy.interventions().names() if row.cell(lazy.card(name)).status != "refused"]
        raise UnsupportedModel(
            f"{method} is refused on the family {known}: {found.reason}; allowed there: {', '.join(works) or 'none'}"
        )


def canonical(interventions: tuple[Intervention, ...]) -> dict[str, Any]:
    """All parameters of bound interventions as one mapping; prefixed by the method where there are several."""
    prefix = len(interventions) > 1
    return {
        f"{item.name}.{key}" if prefix else key: value
        for item in interventions
        for key, value in item.parameters().items()
    }
