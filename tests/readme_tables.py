"""The README's generated parts: ``python tests/readme_tables.py`` checks them, ``--write`` renews them."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import registry
from registry.cards import card_text
from registry.model_families import matrix

README = Path(__file__).parent.parent / "README.md"


def generated() -> dict[str, str]:
    """Text between ``<!-- name -->`` and ``<!-- /name -->`` by name."""
    methods = registry.methods()
    return {"methods": card_text.markdown(list(methods.values())), "matrix": matrix.markdown(methods.values())}


def renewed(text: str) -> str:
    for name, block in generated().items():
        pattern = re.compile(f"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        if not pattern.search(text):
            raise SystemExit(f"README.md has no part <!-- {name} --> ... <!-- /{name} -->")
        text = pattern.sub(lambda found, block=block: f"{found[1]}\n{block.strip()}\n\n{found[2]}", text)
    return text


def main() -> int:
    text = README.read_text(encoding="utf-8")
    if "--write" in sys.argv:
        README.write_text(renewed(text), encoding="utf-8")
        return 0
    if renewed(text) != text:
        print("README.md is not what the cards say; run `make readme`", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
