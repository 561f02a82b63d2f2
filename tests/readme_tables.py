"""The generated parts of READMEs: ``python tests/readme_tables.py`` checks them, ``--write`` renews them."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path

from rooms import PACKAGES

import registry
from registry.cards import card_text
from registry.cards.card import Card
from registry.model_families import matrix

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
METHODS = ROOT / "hallu_models" / "interventions" / "README.md"


def generated() -> dict[Path, dict[str, str]]:
    """By page, the text between ``<!-- name -->`` and ``<!-- /name -->`` by name."""
    cards = list(registry.methods().values())
    pages = {ROOT / package / "README.md": {"rooms": _rooms(package)} for package, rooms in PACKAGES.items() if rooms}
    parts = card_text.apart(cards)
    methods = {"matrix": matrix.markdown(cards)}
    methods |= {name: card_text.markdown(part) for name, part in zip(("methods", "controls"), parts)}
    return {README: {"methods": _claims(cards)}, METHODS: methods, **pages}


def renewed(page: Path) -> str:
    """The text of a page with its generated parts as they should be."""
    name = page.relative_to(ROOT)
    if not page.is_file():
        raise SystemExit(f"{name} does not exist; it begins with a title, a paragraph, and its generated parts")
    text = page.read_text(encoding="utf-8")
    for part, block in generated()[page].items():
        pattern = re.compile(f"(<!-- {part} -->\n).*?(<!-- /{part} -->)", re.DOTALL)
        if not pattern.search(text):
            raise SystemExit(f"{name} has no part <!-- {part} --> ... <!-- /{part} -->")
        text = pattern.sub(lambda found, block=block: f"{found[1]}\n{block.strip()}\n\n{found[2]}", text)
    return text


def _claims(cards: Sequence[Card]) -> str:
    """One line a method: its name, what it does, its paper; and one for the controls together."""
    methods, controls = card_text.apart(cards)
    papers = {card.name: f" ([{card.paper.venue}]({card.paper.url}))" if card.paper else "" for card in methods}
    lines = [f"* `{card.name}`: {card.summary.removesuffix('.')}{papers[card.name]}." for card in methods]
    names = ", ".join(f"`{card.name}`" for card in controls)
    return "\n".join([*lines, f"* {names}: [placebos](hallu_models/interventions/README.md#controls)."])


def _rooms(package: str) -> str:
    lines = ["| room | holds |", "|---|---|"]
    for room, holds in PACKAGES[package].items():
        # The package itself, where it is listed, is its facade.
        name = "__init__" if room == package else room.removeprefix(f"{package}.")
        ending = "/" if (ROOT / package / name).is_dir() else ".py"
        lines.append(f"| `{name}{ending}` | {holds} |")
    return "\n".join(lines)


def main() -> int:
    texts = {page: renewed(page) for page in generated()}
    changed = [page for page, text in texts.items() if page.read_text(encoding="utf-8") != text]
    if "--write" in sys.argv:
        for page in changed:
            page.write_text(texts[page], encoding="utf-8")
        return 0
    for page in changed:
        print(f"{page.relative_to(ROOT)} is not what the cards and rooms say; run `make readme`", file=sys.stderr)
    return int(bool(changed))


if __name__ == "__main__":
    sys.exit(main())
