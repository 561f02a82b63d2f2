"""The page of every method on the demo model, from the runs of ``make methods``: python tests/methods_page.py FOLDER.

FOLDER holds a run a method and sham, of ``hallu sweep --methods --controls``, the plain model's as ``base``. Without
FOLDER the methods are listed.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import registry
from hallu_tasks import report
from hallu_tasks.compare.comparison import Block, Contrast, MetricRow, RunComparison
from hallu_tasks.compare.compute import compare, judged
from hallu_tasks.report import cells
from hallu_tasks.runs import results
from hallu_tasks.runs.results import Run
from registry.plugins import shams

ELSEWHERE = ("agla",)
"""Methods that need another model beside the demo model, which is not in the repository."""

TASK = "hallu_demo_chair"
RESAMPLES = 20_000
"""So many that a p value can stay below 0.05 among as many as there are."""

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "hallu_models" / "demo" / "methods.md"
PICTURE = ROOT / "hallu_models" / "diagnostics" / "pictures" / "methods.png"


def tables(runs: Path, picture: Path = PICTURE) -> str:
    """Each method's captions beside what they are to be compared with, then what ``hallu compare --markdown`` prints.

    The plain model comes first, and the shams last. Draws the pictures.
    """
    folders = [folder for folder in runs.iterdir() if folder.is_dir() and folder.name != "base"]
    folders.sort(key=lambda folder: (shams.is_control(folder.name), folder.name))
    arms = [results.read(str(folder)) for folder in (runs / "base", *folders)]
    found = compare(arms, resamples=RESAMPLES)
    report.write(found, picture, None, None)
    return "\n".join([*captions(arms), "", report.as_markdown(found)]).strip()


def captions(arms: Sequence[Run]) -> Iterator[str]:
    """A line a method: CHAIR_i, and its differences to the plain model, to its first sham, and to saying less.

    Holm's correction is over what is shown.
    """
    found = compare([replace(arm, tasks={TASK: arm.tasks[TASK]}) for arm in arms], controls=True, resamples=RESAMPLES)
    (block,) = found.blocks
    score, cut = _row(block), next(row for row in block.rows if row.kind == "cut")
    methods = {number: str(arm.hallu["method"]) for number, arm in enumerate(found.runs) if number}
    methods = {number: name for number, name in methods.items() if not shams.is_control(name)}
    placebos = [_first_sham(found, number, name) for number, name in methods.items()]
    shown = [[row.contrasts[number - 1] for number in methods] for row in (score, cut)]
    columns = (*shown, [contrast for _, contrast in placebos])
    rows = [replace(row, contrasts=tuple(column)) for row, column in zip((score, cut, score), columns)]
    plain, less, placebo = judged([replace(block, rows=tuple(rows))])[0].rows
    heads = ("method", cells.label(score.metric), "to the plain model", "to its first sham", "to saying less")
    yield f"**{TASK}: is the change in CHAIR_i more than a placebo's?**"
    yield from ("", f"| {' | '.join(heads)} |", "|" + "---|" * len(heads))
    for place, ((number, name), (sham, _)) in enumerate(zip(methods.items(), placebos), 1):
        line = (_change(plain, place), f"{_change(placebo, place)} (`{sham}`)", _change(less, place))
        yield f"| `{name}` | {cells.value(score, number)} | {' | '.join(line)} |"


def _row(block: Block) -> MetricRow:
    return next(row for row in block.rows if row.metric.name == "chair_i" and row.kind == "score")


def _change(row: MetricRow, place: int) -> str:
    if row.contrasts[place - 1].result.difference is None:
        return "no cut has its recall"
    change = cells.change(row, place)
    return f"{change.size}, {change.verdict}"


def _first_sham(found: RunComparison, arm: int, method: str) -> tuple[str, Contrast]:
    """The first sham that the method's card names and that changes captions, and the arm's difference to it."""
    assert found.controls is not None
    score = _row(found.blocks[0])
    changing = [
        one
        for one in found.controls.beside
        if arm in one.arms and score.contrasts[one.sham - 1].result.interval != (0.0, 0.0)
    ]
    there = {str(found.runs[one.sham].hallu["method"]): one for one in changing}
    sham = next(name for name in shams.of(method) if name in there)
    return sham, _row(there[sham].blocks[0]).contrasts[there[sham].arms.index(arm)]


def main() -> None:
    if not sys.argv[1:]:
        methods = [name for name, card in registry.methods().items() if not card.control]
        print(",".join(name for name in methods if name not in ELSEWHERE))
        return
    (folder,) = sys.argv[1:]
    block = tables(Path(folder))
    text = PAGE.read_text(encoding="utf-8")
    renewed, number = re.subn(
        r"(<!-- all methods -->\n).*?(<!-- /all methods -->)",
        lambda found: f"{found[1]}\n{block}\n\n{found[2]}",
        text,
        flags=re.DOTALL,
    )
    if number != 1:
        raise SystemExit(f"{PAGE} has no part <!-- all methods --> ... <!-- /all methods -->")
    PAGE.write_text(renewed, encoding="utf-8")


if __name__ == "__main__":
    main()
