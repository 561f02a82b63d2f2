"""From what a user writes (``"vhr"``, ``"eah+vhr"``, an instance) to interventions bound to a model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from hallu_models.interventions.base import Intervention
from registry import lazy, params

Method = str | Intervention | None


def names(method: Method) -> tuple[str, ...]:
    """The method names in the order written; empty for None (the plain model)."""
    if method is None:
        return ()
    if isinstance(method, Intervention):
        return (type(method).name,)
    return lazy.composition(method)


def build(
    method: Method, family: str | None, depth: int, parameters: Mapping[str, Any], reserved: Iterable[str] = ()
) -> tuple[Intervention, ...]:
    """Interventions for a model of this family and number of layers.

    ``parameters`` may name their method ("vhr.alpha") where a composition needs it. Raises ValueError subclasses for
    an unknown method, an unknown or malformed parameter, a layer the model does not have, and parameters beside an
    instance (which carries its own). ``reserved`` are names the caller takes itself, for messages only.
    """
    if isinstance(method, Intervention):
        if parameters:
            raise params.BadArgument(
                f"{', '.join(parameters)}: the intervention {method!r} carries its own parameters; set them there"
            )
        return (method.bind(family, depth),)
    split, _ = params.split_arguments(parameters, method, reserved)
    return tuple(build_one(lazy.resolve(name), family, split[name]).bind(family, depth) for name in names(method))


def build_one(cls: type[Intervention], family: str | None, values: Mapping[str, Any]) -> Intervention:
    """One intervention: dataclass defaults, overlaid by the card's preset for the family and the user's values."""
    card = cls.card()
    preset = dict(card.presets.get(family or "", {})) if card else {}
    preset.pop("layers", None)  # bind() resolves "auto" from the same preset.
    return cls(**{**preset, **params.coerce(cls, values, card=card, method=cls.name)})


def canonical(interventions: tuple[Intervention, ...]) -> dict[str, Any]:
    """All parameters of bound interventions as one mapping; prefixed by the method where there are several."""
    prefix = len(interventions) > 1
    return {
        f"{item.name}.{key}" if prefix else key: value
        for item in interventions
        for key, value in item.parameters().items()
    }
