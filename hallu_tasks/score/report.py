"""The result of ``hallu score`` as text or JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence

from hallu_tasks.estimates.bootstrap import Estimated, Result

__all__ = ["as_json", "as_text"]


def as_json(result: Result) -> str:
    """Everything, unrounded; each `Estimated` as an object, ``null`` where a value is undefined, with its reason."""
    return json.dumps(result, indent=2, ensure_ascii=False, allow_nan=False, default=_plain)


def as_text(result: Result, lines: Sequence[str]) -> str:
    """The headline, the files, what was counted, and the other `lines` of the benchmark."""
    files = result["files"]
    width = max(map(len, files))
    named = [f"{what.ljust(width)}  {', '.join(paths)}" for what, paths in files.items()]
    notes = [f"Warning: {warning}" for warning in result["warnings"]] + [f"Note: {note}" for note in result["notes"]]
    return "\n".join([*lines[:1], *named, "Values with 95 % intervals over images.", *notes, "", *lines[1:]])


def _plain(value: object) -> object:
    if not isinstance(value, Estimated):
        raise TypeError(f"{value!r} has no JSON form")
    return {
        "value": value.estimate.value,
        "interval": value.estimate.interval,
        "method": value.estimate.method,
        "unit": value.metric.unit,
        "better": value.metric.direction,
        "reasons": value.estimate.reasons,
    }
