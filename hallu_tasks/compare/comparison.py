"""What a comparison of runs holds: blocks of rows, each with estimates and contrasts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hallu_tasks.benchmark import Benchmark, Metric
from hallu_tasks.compare.differences import Difference
from hallu_tasks.compare.published import Harness
from hallu_tasks.runs.results import Run
from hallu_tasks.scoring import paired

__all__ = ["ALPHA", "Block", "Contrast", "MetricRow", "RunComparison"]

ALPHA = 0.05
"""What a p value must stay below after Holm's correction for a verdict."""


@dataclass(frozen=True)
class Contrast:
    """One arm against the baseline in one metric, ``arm - baseline``.

    `p_holm` is the p value after Holm's correction over the whole comparison. `verdict` is better, worse,
    higher or lower (where neither direction is better), "no difference", or ``None`` where undefined; where the
    images, or what else the benchmark resamples as `unit`, are too few for one, ``result.reasons["verdict"]`` says so.
    """

    result: paired.Comparison
    p_holm: float | None
    verdict: str | None
    unit: str = "image"


@dataclass(frozen=True)
class MetricRow:
    """One metric: an estimate an arm, and a contrast an arm after the baseline."""

    metric: Metric
    estimates: tuple[paired.Estimate, ...]
    contrasts: tuple[Contrast, ...]


@dataclass(frozen=True)
class Block:
    """One task, or a group of `tasks` under its own name.

    `limited` holds, where a run was cut short by ``--limit`` or ``--offset``, how many documents are compared and how
    many the task has.
    """

    task: str
    benchmark: Benchmark
    documents_count: int
    images_count: int
    rows: tuple[MetricRow, ...]
    tasks: tuple[str, ...] = ()
    limited: tuple[int, int] | None = None


@dataclass(frozen=True)
class RunComparison:
    """Everything that is printed. The first of `arms` is the baseline; `runs` are in the same order.

    `tasks` are all that the arms share, also those that are only shown as parts of a group. `allowed` are the
    differences that were accepted, `warnings` are what must not be overlooked, `notes` say what was left out and why,
    `published` are the numbers of papers where they were asked for.
    """

    arms: tuple[str, ...]
    runs: tuple[Run, ...]
    tasks: Mapping[str, Benchmark]
    blocks: tuple[Block, ...]
    allowed: tuple[Difference, ...]
    notes: tuple[str, ...]
    resamples: int
    seed: int
    warnings: tuple[str, ...] = ()
    published: tuple[Harness, ...] | None = None

    @property
    def p_values_count(self) -> int:
        """How many p values Holm's correction is over."""
        contrasts = (contrast for block in self.blocks for row in block.rows for contrast in row.contrasts)
        return sum(contrast.p_holm is not None for contrast in contrasts)

    @property
    def units_for_a_verdict(self) -> int:
        """The fewest images on which the exact test's p value could pass the first step of Holm's correction."""
        return paired.units_for(ALPHA / max(1, self.p_values_count))
