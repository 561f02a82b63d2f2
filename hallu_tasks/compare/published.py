"""The numbers that papers state of the compared methods, from the methods' cards.

They come from other harnesses: the same method moves by 10 to 18 points between them, and so does the plain
model. Numbers are therefore kept in blocks of one table each, a `Harness`, with the plain model's first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile

from hallu_tasks.runs.results import Run

__all__ = ["NONE", "WARNING", "Harness", "PublishedRow", "harnesses"]

WARNING = (
    "Published numbers: other harness, other decoding, other images. "
    "Compare only inside a block, never with the run above."
)

NONE = "Published numbers: the cards of these methods state none."

PLAIN = "plain model"


@dataclass(frozen=True)
class PublishedRow:
    """One line of a table: a method, or `PLAIN`; `variant` is the setting that sets it apart in the block."""

    method: str
    variant: str
    numbers: Mapping[str, float]

    @property
    def label(self) -> str:
        """``sevi, preset=balanced``."""
        return f"{self.method}, {self.variant}" if self.variant else self.method


@dataclass(frozen=True)
class Harness:
    """Numbers of one table that may be compared with each other, and with nothing else."""

    source: str
    model: str
    setting: str
    rows: tuple[PublishedRow, ...]

    @property
    def title(self) -> str:
        """``VHR paper, LLaVA-1.5-7B: CHAIR, greedy``."""
        return f"{self.source}, {self.model}" + (f": {self.setting}" if self.setting else "")

    @property
    def scores(self) -> tuple[str, ...]:
        """The columns, in order of first mention."""
        return tuple(dict.fromkeys(name for row in self.rows for name in row.numbers))

    def cells(self, row: PublishedRow) -> list[str]:
        """A row's numbers as published, in the order of `scores`; empty where none is stated."""
        return [_number(row.numbers[name]) if name in row.numbers else "" for name in self.scores]


def harnesses(runs: Sequence[Run]) -> tuple[Harness, ...]:
    """The published numbers of the methods of these runs, blocks in the order of the cards."""
    import registry

    cards = registry.methods()
    # A table without the plain model's numbers varies its settings from row to row, and is one block all the same.
    methods = dict.fromkeys(str(run.hallu.get("method")) for run in runs)
    found: dict[tuple[str, str, str, tuple[tuple[str, float], ...]], list[PublishedRow]] = {}
    for method in methods:
        for one in cards[method].published if method in cards else ():
            setting, variant = _split(one.setting) if one.baseline else ("", one.setting)
            key = (one.source, one.model, setting, tuple(one.baseline.items()))
            plain = [PublishedRow(PLAIN, "", one.baseline)] if one.baseline else []
            found.setdefault(key, plain).append(PublishedRow(method, variant, one.numbers))
    return tuple(Harness(source, model, setting, tuple(rows)) for (source, model, setting, _), rows in found.items())


def _number(value: float) -> str:
    return f"{value:.1f}" if value == round(value, 1) else f"{value:g}"


def _split(setting: str) -> tuple[str, str]:
    """The harness's setting, and the method's, which stands in front: ``preset=balanced, CHAIR, 500 images``."""
    parts = setting.split(", ")
    variant = list(takewhile(lambda part: "=" in part and " " not in part, parts))
    return ", ".join(parts[len(variant) :]), ", ".join(variant)
