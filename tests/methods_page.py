"""The page of every method on the demo model, from the runs of ``make methods``: python tests/methods_page.py FOLDER.

FOLDER holds a run a method and sham, of ``hallu sweep --methods --controls``, the plain model's as ``base``. Without
FOLDER the methods are listed.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import registry
from hallu_tasks import report
from hallu_tasks.compare.comparison import RunComparison
from hallu_tasks.compare.compute import compare
from hallu_tasks.report import cells
from hallu_tasks.runs import results
from registry.plugins import shams

ELSEWHERE = ("agla",)
"""Methods that need another model beside the demo model, which is not in the repository."""

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "hallu_models" / "demo" / "methods.md"
PICTURE = ROOT / "hallu_models" / "diagnostics" / "pictures" / "methods.png"


def tables(runs: Path, picture: Path = PICTURE) -> str:
    """Each method's captions beside what they are to be compared with, then what ``hallu compare --markdown`` prints.

    The plain model comes first, and the shams last. Draws the pictures.
    """
    folders = [folder for folder in runs.iterdir() if folder.is_dir() and folder.name != "base"]
    folders.sort(key=lambda folder: (shams.is_control(folder.name), folder.name))
    found = compare([results.read(str(folder)) for folder in (runs / "base", *folders)], controls=True)
    report.write(found, picture, None, None)
    return "\n".join([*captions(found), "", report.as_markdown(found)]).strip()


def captions(found: RunComparison) -> Iterator[str]:
    """A line a method: CHAIR_i, and its differences to the plain model, to its nearest sham, and to saying less."""
    (block,) = (block for block in found.blocks if block.frontier is not None)
    (score,) = (row for row in block.rows if row.metric.name == "chair_i")
    (cut,) = (row for row in block.rows if row.kind == "cut")
    heads = ("method", cells.label(score.metric), "to the plain model", "to its nearest sham", "to saying less")
    yield f"**{block.task}: is the change in CHAIR_i more than a placebo's?**"
    yield from ("", f"| {' | '.join(heads)} |", "|" + "---|" * len(heads))
    for number, run in enumerate(found.runs[1:], 1):
        method = str(run.hallu.get("method"))
        if not shams.is_control(method):
            changes = (cells.change(score, number), cells.change(cut, number))
            plain, less = (f"{change.size}, {change.verdict}" for change in changes)
            line = (f"`{method}`", cells.value(score, number), plain, _sham(found, block.task, number, method), less)
            yield f"| {' | '.join(line)} |"


def _sham(found: RunComparison, task: str, arm: int, method: str) -> str:
    """``+0.3 [-0.9, 1.5], no difference (`sham_heads`)``; empty where no sham of the method is there."""
    assert found.controls is not None
    there = {str(found.runs[one.sham].hallu.get("method")): one for one in found.controls.beside if arm in one.arms}
    for sham in shams.of(method):
        if sham in there:
            (block,) = (block for block in there[sham].blocks if block.task == task)
            (score,) = (row for row in block.rows if row.metric.name == "chair_i")
            change = cells.change(score, 1 + there[sham].arms.index(arm))
            return f"{change.size}, {change.verdict} (`{sham}`)"
    return ""


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
