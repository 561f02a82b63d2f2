"""The README's Python lines: ``python tests/readme_python.py`` runs them, with whichever installation Python finds."""

from __future__ import annotations

import contextlib
import io
import re
import sys
from pathlib import Path

README = Path(__file__).parent.parent / "README.md"


def lines() -> tuple[str, str]:
    """The code, and what stands below it as its output."""
    found = re.search(r"```python\n(.*?)```\n\n```text\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    if found is None:
        raise SystemExit("README.md has no block of Python with its output below it")
    return found[1], found[2]


def printed(code: str) -> str:
    """What the code prints, without spaces at the ends of lines."""
    with contextlib.redirect_stdout(io.StringIO()) as output:
        exec(compile(code, "README.md", "exec"), {})
    return "".join(f"{line.strip()}\n" for line in output.getvalue().splitlines())


def main() -> int:
    code, expected = lines()
    found = printed(code)
    print(found, end="")
    if found != expected:
        print(f"README.md says:\n{expected}", file=sys.stderr)
    return int(found != expected)


if __name__ == "__main__":
    sys.exit(main())
