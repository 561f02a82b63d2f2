"""What the arms of a comparison are called, and which of them comes first."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from hallu_tasks.runs.results import Run

__all__ = ["baseline_first", "names", "parameters"]


def names(runs: Sequence[Run]) -> list[str]:
    """A name for each arm: its model id; where arms share one, with the method or parameters that differ.

    Arms that are alike in these too are numbered.
    """
    result = []
    for run in runs:
        alike = [other for other in runs if other.model == run.model]
        if any(_method(other) != _method(run) for other in alike):
            method = [f"method={_method(run)}"]
            alike = [other for other in alike if _method(other) == _method(run)]
        else:
            method = []
        differing = [
            f"{name}={value}"
            for name, value in parameters(run).items()
            if any(parameters(other).get(name) != value for other in alike)
        ]
        result.append(" ".join([run.model, *method, *differing]))
    seen = Counter[str]()
    for index, name in enumerate(result):
        seen[name] += 1
        if seen[name] > 1:
            result[index] = f"{name} ({seen[name]})"
    return result


def baseline_first(runs: Sequence[Run], baseline: str | None) -> tuple[list[Run], list[str]]:
    """The runs and their names with the baseline in front, by default the first run.

    `baseline` is a name as `names` makes it, a model id or the path that was given. Raises `ValueError` for
    one that fits no arm or several.
    """
    arms = names(runs)
    first = 0
    if baseline is not None:
        exact = [index for index, arm in enumerate(arms) if arm == baseline]
        chosen = exact or [index for index, run in enumerate(runs) if baseline in (run.model, run.given)]
        if len(chosen) != 1:
            problem = "several arms are" if chosen else "no arm is"
            raise ValueError(f"--baseline {baseline}: {problem} called so; allowed: {', '.join(map(repr, arms))}")
        first = chosen[0]
    order = [first, *(index for index in range(len(runs)) if index != first)]
    return [runs[index] for index in order], [arms[index] for index in order]


def _method(run: Run) -> str:
    return str(run.hallu.get("method"))


def parameters(run: Run) -> dict[str, str]:
    """What a run records of its method's parameters."""
    # A comma inside a quoted text is part of the value; the next parameter begins with its name.
    settings = re.split(r",(?=[\w.]+=)", str(run.hallu.get("parameters") or ""))
    return dict(setting.split("=", 1) for setting in settings if "=" in setting)
