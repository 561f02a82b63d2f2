"""VHR's layers: those whose vision-aware heads react to the image more than elsewhere in the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hallu_models.calibrate.finding import Finding
from hallu_models.diagnostics import readings
from hallu_models.diagnostics.subjects import Subject
from hallu_models.loading import Host
from registry.cards import layers

FEWEST = 8
"""Prompts below which an interval says nothing."""

STEADY = 0.9
"""Share of the prompts in which a head has to be selected to be called steady."""

RULE = (
    "At the first answer token of the plain model, a layer's score in a prompt is the mean vision-aware head "
    "divergence (VHR, eqs. 3-6) of the heads that VHR would reinforce there, divided by that of the prompt's median "
    "layer. A layer is chosen where the 95 % interval of its mean score over the prompts (1.96 standard errors to "
    "either side) lies above 1."
)


@dataclass(frozen=True)
class Standing:
    """Scores (L,) of all layers with the ends of their intervals, and per layer the heads VHR selects steadily."""

    score: np.ndarray
    low: np.ndarray
    high: np.ndarray
    steady: tuple[tuple[int, ...], ...]

    @property
    def chosen(self) -> tuple[int, ...]:
        """Layers that stand out."""
        return tuple(int(layer) for layer in np.flatnonzero(self.low > 1))

    def finding(self, prompts: int) -> Finding:
        """As a preset and a table; ``prompts`` is the number of prompts."""
        rows = [
            (
                str(layer),
                f"{self.score[layer]:.2f} [{self.low[layer]:.2f}, {self.high[layer]:.2f}]",
                "chosen" if layer in self.chosen else "",
                ", ".join(map(str, self.steady[layer])) or "none",
            )
            for layer in range(len(self.score))
        ]
        return Finding(
            {"layers": layers.spell(self.chosen)} if self.chosen else {},
            prompts,
            {f"layer {layer}": round(float(score), 3) for layer, score in enumerate(self.score)},
            ("LAYER", "SCORE", "", "STEADY HEADS"),
            rows,
        )


def find(host: Host, subjects: Sequence[Subject]) -> Finding:
    """Layers that stand out, as a preset. Raises what :func:`measure` raises."""
    return measure(host, subjects).finding(len(subjects))


def measure(host: Host, subjects: Sequence[Subject]) -> Standing:
    """Run the plain model on the subjects. Raises ValueError for too few of them, and where no head sees the image."""
    if len(subjects) < FEWEST:
        raise ValueError(f"{len(subjects)} prompts are too few to tell layers apart; give at least {FEWEST}")
    options = readings.Options(max_new_tokens=1)
    answers = readings.answered(host, subjects, "vhr", options, {"layers": "all", "alpha": 1.0})
    divergence, selected = (
        np.stack([answer.observed[name].values for answer in answers]) for name in ("vhd", "selected")
    )
    return standing(divergence, selected)


def standing(divergence: np.ndarray, selected: np.ndarray) -> Standing:
    """The layers' scores from head divergences and VHR's choice of heads, both (N, L, H)."""
    number = np.maximum(selected.sum(axis=-1), 1)
    strength = np.where(selected, divergence, 0.0).sum(axis=-1) / number
    middle = np.median(strength, axis=1, keepdims=True)
    if not middle.all():
        raise ValueError(
            "in most layers no head's output changes when the image is taken away: does the prompt hold the image?"
        )
    scores = strength / middle
    mean, error = scores.mean(axis=0), scores.std(axis=0, ddof=1) / np.sqrt(len(scores))
    share = selected.mean(axis=0)
    steady = tuple(tuple(int(head) for head in np.flatnonzero(row >= STEADY)) for row in share)
    return Standing(mean, mean - 1.96 * error, mean + 1.96 * error, steady)
