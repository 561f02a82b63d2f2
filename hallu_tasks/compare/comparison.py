"""What a comparison of runs holds: blocks of rows, each with estimates and contrasts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from hallu_tasks.benchmark import Benchmark, Metric
from hallu_tasks.compare.differences import Difference
from hallu_tasks.compare.published import Harness
from hallu_tasks.runs.results import Run
from hallu_tasks.scoring import paired
from hallu_tasks.scoring.frontier import Frontier
from hallu_tasks.scoring.rate_ratio import RateRatio

__all__ = [
    "ALPHA",
    "THRESHOLD_MOVED",
    "VS_CUT",
    "BesideSham",
    "Block",
    "Contrast",
    "Controls",
    "MetricRow",
    "MissingSham",
    "RunComparison",
    "side",
]

ALPHA = 0.05
"""What a p value must stay below after Holm's correction for a verdict."""

VS_CUT = {
    "better": "beats saying less",
    "worse": "worse than saying less",
    "no difference": "no more than saying less",
}
"""Verdicts on an arm beside the baseline's texts cut short, by what they would be called elsewhere."""

THRESHOLD_MOVED = "threshold moved"
"""The verdict on an AUROC without a difference where accuracy moved: yes is said more often, or less, and no more."""

_SIDES = {**{verdict: side for side, verdict in VS_CUT.items()}, THRESHOLD_MOVED: "no difference"}


def side(verdict: str | None) -> str | None:
    """A verdict in the words of rows that have none of their own."""
    return _SIDES.get(verdict, verdict) if verdict else None


@dataclass(frozen=True)
class Contrast:
    """One arm against the baseline in one metric, ``arm - baseline``.

    `p_holm` is the p value after Holm's correction over the whole comparison. `verdict` is better, worse, higher or
    lower (where neither direction is better), "no difference", one of `VS_CUT`, `THRESHOLD_MOVED`, or ``None`` where
    undefined; where the images, or what else the benchmark resamples as `unit`, are too few for one,
    ``result.reasons["verdict"]`` says so.
    """

    result: paired.Comparison
    p_holm: float | None
    verdict: str | None
    unit: str = "image"

    @property
    def side(self) -> str | None:
        """The verdict as `side` has it."""
        return side(self.verdict)


@dataclass(frozen=True)
class MetricRow:
    """One metric: an estimate an arm, and a contrast an arm after the baseline.

    In a row of kind ``cut`` the estimate of an arm is that of the baseline's texts cut to the arm's recall, and its
    contrast is to that. A row of kind ``ratio`` has neither, but `ratios`, an arm after the baseline. One that is not
    `tested` has no p values and no verdicts, for another row has them.
    """

    metric: Metric
    estimates: tuple[paired.Estimate, ...]
    contrasts: tuple[Contrast, ...]
    kind: Literal["score", "cut", "ratio"] = "score"
    ratios: tuple[RateRatio, ...] = ()
    tested: bool = True


@dataclass(frozen=True)
class Block:
    """One task, or a group of `tasks` under its own name.

    `limited` holds, where a run was cut short by ``--limit`` or ``--offset``, how many documents are compared and how
    many the task has. `frontier` is what the rows of kind ``cut`` are made of, and `uncut` says why there is none.
    `rescored` names the task or group whose answers were scored again under other labels.
    """

    task: str
    benchmark: Benchmark
    documents_count: int
    images_count: int
    rows: tuple[MetricRow, ...]
    tasks: tuple[str, ...] = ()
    limited: tuple[int, int] | None = None
    frontier: Frontier | None = None
    uncut: str = ""
    rescored: str = ""


@dataclass(frozen=True)
class BesideSham:
    """Arms beside one of their shams, by their numbers. In `blocks` the sham is the baseline of these arms."""

    sham: int
    arms: tuple[int, ...]
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class MissingSham:
    """A sham that is not among the arms, the numbers of the `arms` whose it is, the command that runs it, and where."""

    sham: str
    arms: tuple[int, ...]
    command: str
    output: str


@dataclass(frozen=True)
class Controls:
    """What the shams of the compared methods say, and those that are missing."""

    beside: tuple[BesideSham, ...]
    missing: tuple[MissingSham, ...]


@dataclass(frozen=True)
class RunComparison:
    """Everything that is printed. The first of `arms` is the baseline; `runs` are in the same order.

    `tasks` are all that the arms share, also those that are only shown as parts of a group. `allowed` are the
    differences that were accepted, `warnings` are what must not be overlooked, `notes` say what was left out and why,
    `published` are the numbers of papers, and `controls` what the shams say, where they were asked for.
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
    controls: Controls | None = None

    @property
    def p_values_count(self) -> int:
        """How many p values Holm's correction is over."""
        beside = [block for one in self.controls.beside for block in one.blocks] if self.controls else []
        contrasts = (contrast for block in (*self.blocks, *beside) for row in block.rows for contrast in row.contrasts)
        return sum(contrast.p_holm is not None for contrast in contrasts)

    @property
    def units_for_a_verdict(self) -> int:
        """The fewest images on which the exact test's p value could pass the first step of Holm's correction."""
        return paired.units_for(ALPHA / max(1, self.p_values_count))
