"""What AMBER's tasks call: one record a response or answer, and the scores of all records.

A document needs ``id``, ``query``, ``image_id`` and ``truth``; the generative half also ``hallu``, the
discriminative half ``type``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from hallu_tasks.amber import data
from hallu_tasks.scoring import amber

Record = Mapping[str, Any]

GENERATIVE = ("chair", "cover", "hal", "cog", "mean_length")
DISCRIMINATIVE = ("accuracy", "precision", "recall", "f1", "always_no_accuracy", "always_no_f1", "unparsed_count")


def query(doc: Mapping[str, Any], lmms_eval_specific_kwargs: Mapping[str, str] | None = None) -> str:
    return str(doc["query"])


def process_response(doc: Mapping[str, Any], results: list[str]) -> dict[str, Record]:
    """The response's record under every metric."""
    scene = amber.Scene(tuple(doc["truth"]), tuple(doc["hallu"]))
    record = {"image_id": doc["image_id"], **amber.record_generative(results[0], scene, data.vocabulary())}
    return dict.fromkeys(GENERATIVE, record)


def process_answer(doc: Mapping[str, Any], results: list[str]) -> dict[str, Record]:
    """The answer's record under every metric, and under those of its groups."""
    record = {
        "image_id": doc["image_id"],
        **amber.record_discriminative(results[0], amber.Question(doc["type"], doc["truth"])),
    }
    groups = [f"{group}_{name}" for group in amber.TYPES[doc["type"]] for name in ("accuracy", "f1")]
    return dict.fromkeys([*DISCRIMINATIVE, *groups], record)


def _generative(name: str) -> Callable[[Iterable[Record]], float | None]:
    def score(records: Iterable[Record]) -> float | None:
        value: float | None = amber.aggregate_generative(records)[name]
        return value

    return score


def _discriminative(name: str, group: str = "") -> Callable[[Iterable[Record]], float | None]:
    def score(records: Iterable[Record]) -> float | None:
        result = amber.aggregate_discriminative(records)
        value: float | None = (result["groups"][group] if group else result)[name]
        return value

    return score


chair, cover, hal, cog, mean_length = map(_generative, GENERATIVE)
accuracy, precision, recall, f1, always_no_accuracy, always_no_f1, unparsed_count = map(_discriminative, DISCRIMINATIVE)
existence_accuracy, attribute_accuracy, state_accuracy, number_accuracy, action_accuracy, relation_accuracy = (
    _discriminative("accuracy", group) for group in amber.GROUPS
)
existence_f1, attribute_f1, state_f1, number_f1, action_f1, relation_f1 = (
    _discriminative("f1", group) for group in amber.GROUPS
)
