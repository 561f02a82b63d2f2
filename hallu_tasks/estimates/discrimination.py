"""AUROC of answers from files that carry their margins."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import replace
from typing import Any

from hallu_tasks.benchmark import Metric
from hallu_tasks.estimates.bootstrap import Bootstrap, Estimated
from hallu_tasks.scoring import margins
from hallu_tasks.scoring.units import Array
from hallu_tasks.scoring.yesno import YesNo

__all__ = ["HELP", "MARGIN", "auroc", "whole"]

MARGIN = 'a margin is {"margin": 1.25}, log p(yes) - log p(no) at the first token of the answer'

HELP = """
Where every answer also has a "margin", log p(yes) - log p(no) at its first token, AUROC is shown too: how well margins
tell the right answers apart, wherever the threshold lies.
"""


def whole(given: Mapping[Any, float | None], source: str) -> dict[Any, float]:
    """The margins of all answers of a file, or none; `ValueError` where some of them have one."""
    found = {key: margin for key, margin in given.items() if margin is not None}
    if found and len(found) < len(given):
        raise ValueError(
            f"{source}: {len(found)} of {len(given)} answers have a margin; write one into every line or into none"
        )
    return found


def auroc(
    labels: Mapping[Any, YesNo], given: Mapping[Any, float], images: Mapping[Any, Hashable] | None, bootstrap: Bootstrap
) -> dict[str, Estimated]:
    """The AUROC under its name, with an interval over `images` where these are known; nothing without margins."""
    if not given:
        return {}
    metric = Metric("auroc", "AUROC", _of_margins, "higher")
    resamples = bootstrap.resamples if images is not None else 1
    found = margins.estimate(labels, given, unit=images, resamples=resamples, seed=bootstrap.seed)
    if images is None and found.value is not None:
        found = replace(found, interval=None, reasons={"interval": "the images of the questions are not known"})
    return {metric.name: Estimated(metric, found)}


def _of_margins(sums: Mapping[str, Array]) -> Array:
    raise AssertionError("AUROC is made of margins, not of sums of records")
