"""The fields that every_eval_ever demands, checked before anything is written. The schemas themselves demand more."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["check_aggregate", "check_sample"]

_TEXT, _NUMBER, _FLAG, _LIST = (str,), (int, float), (bool,), (list,)

# A place with [] stands for every item of the list.
_AGGREGATE = {
    "schema_version": _TEXT,
    "evaluation_id": _TEXT,
    "retrieved_timestamp": _TEXT,
    "source_metadata.source_type": _TEXT,
    "source_metadata.source_organization_name": _TEXT,
    "source_metadata.evaluator_relationship": _TEXT,
    "eval_library.name": _TEXT,
    "eval_library.version": _TEXT,
    "model_info.name": _TEXT,
    "model_info.id": _TEXT,
    "model_info.additional_details.deployment_type": _TEXT,
    "model_info.additional_details.model_availability": _TEXT,
    "evaluation_results": _LIST,
    "evaluation_results[].evaluation_name": _TEXT,
    "evaluation_results[].source_data.dataset_name": _TEXT,
    "evaluation_results[].source_data.source_type": _TEXT,
    "evaluation_results[].metric_config.lower_is_better": _FLAG,
    "evaluation_results[].score_details.score": _NUMBER,
}
_SAMPLE = {
    "schema_version": _TEXT,
    "evaluation_id": _TEXT,
    "model_id": _TEXT,
    "evaluation_name": _TEXT,
    "sample_id": _TEXT,
    "interaction_type": _TEXT,
    "input.raw": _TEXT,
    "input.reference": _LIST,
    "output.raw": _LIST,
    "answer_attribution": _LIST,
    "answer_attribution[].turn_idx": _NUMBER,
    "answer_attribution[].source": _TEXT,
    "answer_attribution[].extracted_value": _TEXT,
    "answer_attribution[].extraction_method": _TEXT,
    "answer_attribution[].is_terminal": _FLAG,
    "evaluation.score": _NUMBER,
    "evaluation.is_correct": _FLAG,
}


def check_aggregate(value: Mapping[str, Any]) -> None:
    """Raise `ValueError` naming the first field that is missing or of another kind."""
    _check(value, _AGGREGATE, "the every_eval_ever record")


def check_sample(value: Mapping[str, Any]) -> None:
    """Raise `ValueError` naming the first field that is missing or of another kind."""
    _check(value, _SAMPLE, f"the every_eval_ever sample {value.get('sample_id')}")


def _check(value: Mapping[str, Any], fields: Mapping[str, tuple[type, ...]], what: str) -> None:
    for place, kinds in fields.items():
        for found in _at(value, place.split(".")):
            # True is an int to Python.
            if not isinstance(found, kinds) or (isinstance(found, bool) and bool not in kinds):
                allowed = " or ".join(kind.__name__ for kind in kinds)
                raise ValueError(f"{what}: {place} is {found!r}; it takes {allowed}")
    if (first := next(_loose_details(value), None)) is not None:
        raise ValueError(f"{what}: {first} is no text; additional_details holds texts only")


def _at(value: Any, path: list[str]) -> Iterator[Any]:
    if not path:
        yield value
        return
    name, rest = path[0], path[1:]
    inside = value.get(name.removesuffix("[]")) if isinstance(value, Mapping) else None
    if name.endswith("[]"):
        for item in inside if isinstance(inside, list) else []:
            yield from _at(item, rest)
    else:
        yield from _at(inside, rest)


def _loose_details(value: Any, place: str = "") -> Iterator[str]:
    if isinstance(value, list):
        for item in value:
            yield from _loose_details(item, place)
    if isinstance(value, Mapping):
        for name, inside in value.items():
            here = f"{place}.{name}" if place else name
            if name == "additional_details":
                yield from (f"{here}.{key}" for key, text in inside.items() if not isinstance(text, str))
            else:
                yield from _loose_details(inside, here)
