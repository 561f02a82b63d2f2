"""The page of every method on the demo model, from the runs of ``make methods``: python tests/methods_page.py FOLDER.

FOLDER holds a run a method, of ``hallu sweep --methods``, the plain model's as ``base``. Without FOLDER the methods are
listed.
"""

from __future__ import annotations

import contextlib
import io
import re
import sys
from pathlib import Path

import registry
from registry.commands import cli

ELSEWHERE = ("agla",)
"""Methods that need another model beside the demo model, which is not in the repository."""

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "hallu_models" / "demo" / "methods.md"
PICTURE = ROOT / "hallu_models" / "diagnostics" / "pictures" / "methods.png"


def tables(runs: Path) -> str:
    """What ``hallu compare --markdown`` prints of all runs, the plain model's first; draws the pictures."""
    arms = sorted(folder for folder in runs.iterdir() if folder.is_dir() and folder.name != "base")
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        status = cli.main(["compare", str(runs / "base"), *map(str, arms), "--markdown", "--plot", str(PICTURE)])
    if status:
        raise SystemExit(status)
    return printed.getvalue().strip()


def main() -> None:
    if not sys.argv[1:]:
        print(",".join(name for name in registry.methods() if name not in ELSEWHERE))
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
