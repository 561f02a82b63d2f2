"""The files that ``hallu compare`` writes. Each is there whole or not at all."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

from hallu_tasks.compare.comparison import RunComparison
from hallu_tasks.files import whole_file
from hallu_tasks.report import forest

__all__ = ["check", "frontier_file", "write"]


def check(plot: Path | None, html: Path | None, images: Path | None) -> None:
    """Raise a `ValueError` for files that cannot be written or read, before anything is computed."""
    if plot is not None:
        _check("--plot", plot, (".png", ".svg", ".pdf"))
        if frontier_file(plot).is_dir():
            raise ValueError(
                f"--plot {plot}: {frontier_file(plot)} is a folder, and captions' second picture goes there"
            )
        if importlib.util.find_spec("matplotlib") is None:
            raise ValueError("--plot needs matplotlib: pip install matplotlib, or leave it out")
    if html is not None:
        _check("--html", html, (".html", ".htm"))
    if images is not None and html is None:
        raise ValueError("--images goes with --html")
    if images is not None and not images.is_dir():
        raise ValueError(f"--images {images} is not a folder")


def frontier_file(plot: Path) -> Path:
    """Where the picture of saying less stands: ``compare_frontier.png`` beside ``compare.png``."""
    return plot.with_name(f"{plot.stem}_frontier{plot.suffix}")


def write(comparison: RunComparison, plot: Path | None, html: Path | None, images: Path | None) -> None:
    """Write the plots and the page where they are asked for, after all are made.

    The picture of saying less is a file of its own, for arms with captions. Raises `ValueError` where there is nothing
    to plot.
    """
    made: list[tuple[Path, bytes]] = []
    if plot is not None:
        if not forest.panels(comparison):
            raise ValueError(f"--plot: {forest.nothing(comparison)}")
        from hallu_tasks.report import figure, frontier_figure

        made.append((plot, figure.encoded(figure.draw(comparison), plot.suffix[1:])))
        if any(block.frontier for block in comparison.blocks):
            picture = figure.encoded(frontier_figure.draw(comparison), plot.suffix[1:])
            made.append((frontier_file(plot), picture))
    if html is not None:
        from hallu_tasks.report import page

        made.append((html, page.as_html(comparison, images).encode()))
    for path, content in made:
        whole_file.write(path, content)
        print(f"wrote {path}", file=sys.stderr)


def _check(option: str, path: Path, endings: tuple[str, ...]) -> None:
    if path.suffix not in endings:
        raise ValueError(f"{option} {path}: allowed endings are {', '.join(endings)}")
    folder = path.absolute().parent
    if not folder.is_dir():
        raise ValueError(f"{option} {path}: the folder {folder} does not exist")
    if path.is_dir():
        raise ValueError(f"{option} {path} is a folder; name a file")
    if not os.access(folder, os.W_OK):
        raise ValueError(f"{option} {path}: the folder {folder} cannot be written to")
