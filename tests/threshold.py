"""How often the comparison without the threshold is right: made-up margins whose truth is known.

``python tests/threshold.py`` prints the table of the scorers' README (some minutes on one core). 500 images have two
questions each, one of either label; margins are normal, and those of one image and of the two arms agree in part. The
truth of a scenario is that of the normal distribution.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from hallu_tasks.scoring.margins import Against, Answer, compare

Margins = NDArray[np.float64]
"""Of shape (images, 2): the question with the answer yes, then that with no."""

SEPARATION, SCALE = 1.8, 2.0
"""Mean of the control's margins where the answer is yes (no: its negative), and their spread: an AUROC near 82."""


@dataclass(frozen=True)
class Scenario:
    """An arm: what its margins are shifted by, what their means are multiplied by, and what share is its own noise."""

    shift: float = 0.0
    sharper: float = 1.0
    own: float = 0.3


SCENARIOS = {
    "another seed": Scenario(),
    "threshold moved": Scenario(shift=1.5, own=0.05),
    "sees better": Scenario(sharper=1.25),
    "sees better and threshold moved": Scenario(sharper=1.25, shift=-1.0),
}


def drawn(scenario: Scenario, images: int, seed: int) -> tuple[Margins, Margins]:
    """The control's margins and the arm's."""
    generator = np.random.default_rng(seed)
    sides = np.array([SEPARATION, -SEPARATION])
    image = generator.normal(size=(images, 1))
    shared = 0.5 * image + np.sqrt(0.75) * generator.normal(size=(images, 2))
    noise = [generator.normal(size=(images, 2)) for _ in range(2)]
    common, own = np.sqrt(1 - scenario.own), np.sqrt(scenario.own)
    control, arm = (SCALE * (common * shared + own * one) for one in noise)
    return sides + control, scenario.sharper * sides + arm + scenario.shift


def answers(control: Margins, arm: Margins) -> dict[tuple[int, int], Answer]:
    return {
        (image, side): Answer(
            "no" if side else "yes",
            bool(control[image, side] > 0),
            (float(control[image, side]), float(arm[image, side])),
        )
        for image in range(len(control))
        for side in (0, 1)
    }


def compared(scenario: Scenario, images: int, seed: int, resamples: int) -> Against:
    given = answers(*drawn(scenario, images, seed))
    (result,) = compare(given, unit={key: key[0] for key in given}, resamples=resamples)
    return result


def truth(scenario: Scenario) -> dict[str, float]:
    """Differences in percent of the AUROC, and of accuracy and F1 at the control's yes ratio, which is a half."""
    normal = NormalDist()

    def scores(separation: float) -> dict[str, float]:
        right = 100 * normal.cdf(separation / SCALE)
        return {"auroc": 100 * normal.cdf(2 * separation / (SCALE * np.sqrt(2))), "accuracy": right, "f1": right}

    own, control = scores(scenario.sharper * SEPARATION), scores(SEPARATION)
    return {name: own[name] - control[name] for name in own}


@dataclass
class Found:
    """Of so many runs: intervals that miss the truth, and those of AUROC and accuracy without 0."""

    runs: int
    missed: dict[str, int] = field(default_factory=lambda: {"auroc": 0, "accuracy": 0, "f1": 0})
    seen: dict[str, int] = field(default_factory=lambda: {"auroc": 0, "accuracy": 0})

    def covered(self, name: str) -> float:
        """Percent of the intervals that hold the truth."""
        return 100 - 100 * self.missed[name] / self.runs


def simulated(name: str, runs: int, images: int, resamples: int) -> Found:
    scenario, found = SCENARIOS[name], Found(runs)
    known = truth(scenario)
    for run in range(runs):
        result = compared(scenario, images, run, resamples)
        for score in found.missed:
            low, high = getattr(result, score).interval
            found.missed[score] += not low <= known[score] <= high
            if score in found.seen:
                found.seen[score] += not low <= 0 <= high
    return found


def main(show: Callable[[str], None] = print) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--resamples", type=int, default=1000)
    given = parser.parse_args()
    show("| arm | truth: AUROC, same-ratio accuracy | AUROC | accuracy | F1 | AUROC seen | accuracy seen |")
    show("|---|---|---|---|---|---|---|")
    for name, scenario in SCENARIOS.items():
        known, found = truth(scenario), simulated(name, given.runs, given.images, given.resamples)
        covered = " | ".join(f"{found.covered(score):.1f}" for score in found.missed)
        seen = " | ".join(f"{100 * count / given.runs:.1f}" for count in found.seen.values())
        show(f"| {name} | {known['auroc']:+.2f}, {known['accuracy']:+.2f} | {covered} | {seen} |")


if __name__ == "__main__":
    main()
