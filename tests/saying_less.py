"""How often the comparison with saying less is right: made-up captions whose truth is known.

``python tests/saying_less.py`` prints the table of the scorers' README (about half an hour on one core). Captions are
drawn mention by mention, with rates near those of LLaVA-1.5's greedy captions of 500 COCO images: 7.5 mentions, CHAIR_s
44, CHAIR_i 12, recall 75, hallucinations that come late and in some images more than in others. The truth of a scenario
is that of a million images.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hallu_tasks.compare.comparison import VS_CUT
from hallu_tasks.compare.compute import compare
from hallu_tasks.runs.results import Run, Sample, TaskRun
from hallu_tasks.scoring.frontier import frontier
from hallu_tasks.scoring.rate_ratio import rate_ratio

MOST = 24
"""Mentions of a caption, at most."""

NOTHING, HALLUCINATED, NEW, AGAIN = -1, 0, 1, 2
Captions = NDArray[np.int8]
"""What each mention is, of shape (images, `MOST`); `NOTHING` behind the last one."""


class Images(NamedTuple):
    """Per image: true objects, those that a caption may find, how prone to hallucination and to talk it is."""

    truth: NDArray[np.int64]
    visible: NDArray[np.int64]
    prone: NDArray[np.float64]
    talk: NDArray[np.float64]


def drawn(count: int, seed: int) -> Images:
    generator = np.random.default_rng([seed, 0])
    truth = 1 + np.minimum(generator.poisson(generator.gamma(1.6, 2.05 / 1.6, count)), 11)
    found = generator.random((count, 12)) < 0.96
    found[:, 0] = True
    visible = (found & (np.arange(12) < truth[:, None])).sum(axis=1)
    return Images(truth, visible, generator.gamma(1.3, 1 / 1.3, count), generator.gamma(8, 1 / 8, count))


def captions(images: Images, seed: int, hallucinating: float = 1.0, talking: float = 1.0) -> Captions:
    """One caption an image; the factors are on the rate of hallucinations and on the number of mentions."""
    generator = np.random.default_rng([seed, 1])
    count = len(images.truth)
    sizes = np.minimum(2 + generator.poisson(talking * images.talk * (2.3 + 1.05 * images.truth)), MOST)
    named = np.zeros(count, np.int64)
    result = np.full((count, MOST), NOTHING, np.int8)
    for place in range(MOST):
        rate = np.minimum(hallucinating * images.prone * min(0.014 + 0.030 * place, 0.22), 0.9)
        wrong = generator.random(count) < rate
        left = (images.visible - named) / images.visible
        new = (generator.random(count) < left * (0.85 if place < 3 else 0.65)) | (named == 0)
        kind = np.where(wrong, HALLUCINATED, np.where(new, NEW, AGAIN))
        shown = place < sizes
        result[shown, place] = kind[shown]
        named += shown & (kind == NEW)
    return result


def cut(given: Captions, size: int) -> Captions:
    """The captions after their first mentions."""
    result = given.copy()
    result[:, size:] = NOTHING
    return result


def thinned(given: Captions, share: float, seed: int) -> Captions:
    """The captions without a random share of their hallucinations; recall stays."""
    generator = np.random.default_rng([seed, 2])
    dropped = (given == HALLUCINATED) & (generator.random(given.shape) < share)
    # A stable sort moves what is dropped behind what stays.
    kept = np.where(dropped, NOTHING, given)
    order = np.argsort(kept == NOTHING, axis=1, kind="stable")
    return np.take_along_axis(kept, order, axis=1)


def records(images: Images, given: Captions) -> dict[int, dict[str, Any]]:
    """What `chair.record` would make of the captions."""
    counts = {kind: (given == kind).sum(axis=1) for kind in (HALLUCINATED, NEW, AGAIN)}
    mentions = counts[HALLUCINATED] + counts[NEW] + counts[AGAIN]
    return {
        image: {
            "captions": 1,
            "captions_hallucinated": int(wrong > 0),
            "captions_without_objects": int(size == 0),
            "mentions": int(size),
            "hallucinated": int(wrong),
            "distinct": int(correct + wrong),
            "correct": int(correct),
            "truth": int(truth),
            "length": int(12 + 11 * size + image % 7),
            "mode": "reference",
        }
        for image, (wrong, correct, size, truth) in enumerate(
            zip(counts[HALLUCINATED], counts[NEW], mentions, images.truth)
        )
    }


def said(given: Captions) -> dict[int, list[tuple[int, int]]]:
    return {
        image: [(int(kind == HALLUCINATED), int(kind == NEW)) for kind in row[row != NOTHING]]
        for image, row in enumerate(given)
    }


# Scenarios: what the arm is, given the images, the control's captions, and a seed

SCENARIOS: dict[str, Callable[[Images, Captions, int], Captions]] = {
    "another seed": lambda images, control, seed: captions(images, seed),
    "another seed, cut after 5 mentions": lambda images, control, seed: cut(captions(images, seed), 5),
    "three tenths fewer mentions": lambda images, control, seed: captions(images, seed, talking=0.7),
    "three tenths fewer hallucinations": lambda images, control, seed: captions(images, seed, hallucinating=0.7),
    "a tenth of the hallucinations removed": lambda images, control, seed: thinned(control, 0.1, seed),
}


class Truth(NamedTuple):
    """Differences in points, and the ratio."""

    chair_i: float
    chair_s: float
    ratio: float


KNOWN = {
    "another seed": Truth(0.0, 0.0, 1.0),
    "another seed, cut after 5 mentions": Truth(0.0, 0.0, 0.80),
    "three tenths fewer mentions": Truth(0.30, -4.12, 0.976),
    "three tenths fewer hallucinations": Truth(-3.57, -8.01, 0.703),
    "a tenth of the hallucinations removed": Truth(-1.07, -2.39, 0.919),
}
"""`truth` of each scenario, which takes minutes."""


def truth(scenario: str, images: int = 1_000_000, fitted: int = 200_000) -> Truth:
    """The differences to the curve, and the ratio, where chance plays no part."""
    everywhere = drawn(images, 10**6)
    control = captions(everywhere, 10**6 + 1)
    arm = SCENARIOS[scenario](everywhere, control, 10**6 + 2)

    def sums(given: Captions) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        wrong, mentions = (np.cumsum(part, axis=1) for part in (given == HALLUCINATED, given != NOTHING))
        correct = np.cumsum(given == NEW, axis=1).sum(axis=0)
        return correct, 100 * wrong.sum(axis=0) / mentions.sum(axis=0), 100 * (wrong > 0).mean(axis=0)

    recalls, chair_i, chair_s = sums(control)
    recall, *scores = (part[-1] for part in sums(arm))
    differences = [score - np.interp(recall, recalls, curve) for score, curve in zip(scores, (chair_i, chair_s))]
    some = Images(*(part[:fitted] for part in everywhere))
    ratio = rate_ratio(records(some, control[:fitted]), records(some, arm[:fitted])).ratio
    assert ratio is not None
    return Truth(float(differences[0]), float(differences[1]), ratio)


@dataclass
class Found:
    """Of so many runs: intervals that miss the truth, those of CHAIR_i on either side of 0, and runs without one."""

    runs: int
    missed: dict[str, int] = field(default_factory=lambda: {"CHAIR_i vs cut": 0, "CHAIR_s vs cut": 0, "ratio": 0})
    beats: int = 0
    worse: int = 0
    outside: int = 0

    def covered(self, name: str) -> float:
        """Percent of the intervals that hold the truth."""
        count = self.runs - (0 if name == "ratio" else self.outside)
        return 100 - 100 * self.missed[name] / count


def simulated(scenario: str, runs: int, images: int, resamples: int) -> Found:
    known = KNOWN[scenario]
    found = Found(runs)
    for run in range(runs):
        those = drawn(images, run)
        control = captions(those, 2 * run + 7)
        arm = records(those, SCENARIOS[scenario](those, control, 2 * run + 8))
        base = records(those, control)
        result = frontier(said(control), base, [arm], resamples=resamples)
        assert result is not None
        (one,) = result.arms
        ratio = rate_ratio(base, arm)
        if one.chair_i.interval is None:
            found.outside += 1
        for name, interval, value in (
            ("CHAIR_i vs cut", one.chair_i.interval, known.chair_i),
            ("CHAIR_s vs cut", one.chair_s.interval, known.chair_s),
            ("ratio", ratio.interval, known.ratio),
        ):
            found.missed[name] += interval is not None and not interval[0] <= value <= interval[1]
        low, high = one.chair_i.interval or (0.0, 0.0)
        found.beats += high < 0
        found.worse += low > 0
    return found


# Verdicts as the page gives them, with Holm's correction over all rows of CHAIR


def verdicts(scenario: str, runs: int, images: int, resamples: int) -> dict[str, int]:
    """How often ``hallu compare`` gives which verdict in the row CHAIR_i vs cut."""
    counts: dict[str, int] = dict.fromkeys([*VS_CUT.values(), "none"], 0)
    for run in range(runs):
        those = drawn(images, run)
        control = captions(those, 2 * run + 7)
        arm = SCENARIOS[scenario](those, control, 2 * run + 8)
        arms = [_run(name, those, given) for name, given in (("base", control), ("arm", arm))]
        (block,) = compare(arms, resamples=resamples).blocks
        (row,) = (row for row in block.rows if row.kind == "cut")
        counts[row.contrasts[0].verdict or "none"] += 1
    return counts


def _run(name: str, images: Images, given: Captions) -> Run:
    samples = {}
    for image, record in records(images, given).items():
        kinds = given[image][given[image] != NOTHING]
        names: list[str] = []
        for kind in kinds:
            names.append("wrong" if kind == HALLUCINATED else f"right {(kinds[: len(names) + 1] == NEW).sum()}")
        listed = {
            **record,
            "image_id": image,
            "objects": names,
            "hallucinated_objects": [n for n in names if n == "wrong"],
        }
        samples[image] = Sample("", "", "", {"chair_i": listed}, f"line {image}")
    tasks = {"hallu_chair_s0": TaskRun("hallu_chair_s0", {}, samples)}
    return Run(name, Path(name), 1, name, {}, {"config": {}}, tasks)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--resamples", type=int, default=1000)
    given = parser.parse_args()
    settings = {"runs": given.runs, "images": given.images, "resamples": given.resamples}
    print("| arm | truth | CHAIR_i vs cut | CHAIR_s vs cut | length-adjusted | interval below 0 | above 0 | no cut |")
    print("|---|---|---|---|---|---|---|---|")
    for scenario in SCENARIOS:
        known, found = truth(scenario), simulated(scenario, **settings)
        assert np.allclose(known, KNOWN[scenario], atol=0.06), f"KNOWN is {tuple(known)} for {scenario}"
        shares = [f"{found.covered(name):.1f}" for name in found.missed]
        sides = [f"{100 * count / found.runs:.1f}" for count in (found.beats, found.worse, found.outside)]
        told = f"{known.chair_i:+.2f}, {known.chair_s:+.2f}, ×{known.ratio:.2f}"
        print(f"| {scenario} | {told} | {' | '.join([*shares, *sides])} |", flush=True)
    print()
    for scenario in ("another seed", "a tenth of the hallucinations removed"):
        shares = {name: f"{100 * count / given.runs:.1f}" for name, count in verdicts(scenario, **settings).items()}
        print(scenario, shares, flush=True)


if __name__ == "__main__":
    main()
