"""The word tables of CHAIR, read from the installed lmms-eval.

lmms-eval ships the tables of Rohrbach et al. 2018 (80 COCO categories, their synonyms, the two-word names)
in ``lmms_eval/tasks/coco_cap_chair/utils.py``. Importing that module needs NLTK and importing its package
pulls in torch, so the constants are taken from the source text. A hash guards them: another table would
give other scores under the same name.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from registry.runner import names

__all__ = ["SHA256", "Vocabulary", "coco", "read", "source"]

SHA256 = "47eb5d17ba2b2f5607690166f8e11f435629b2ece2e512bba657f80fd5603cd0"
"""Of the three tables as compact JSON with sorted keys; the same in every tested lmms-eval."""

_TABLES = ("MSCOCO_OBJECTS", "INVERSE_SYNONYM_DICT", "DOUBLE_WORD_DICT")
_FILE = Path("coco_cap_chair", "utils.py")
_FIX = 'install the version the tables were checked with: pip install "lmms-eval==0.7.3"'


@dataclass(frozen=True)
class Vocabulary:
    """CHAIR's tables: what a word means, and which neighbouring words make one name.

    `category` maps a name to its COCO category, `merges` maps a name of several words to the name that
    replaces it, and `longest` is the most words that are looked up in `merges` at once.
    """

    category: Mapping[str, str]
    merges: Mapping[str, str]
    longest: int = 2

    @property
    def categories(self) -> frozenset[str]:
        """The 80 COCO category names."""
        return frozenset(self.category.values())

    @property
    def single_words(self) -> frozenset[str]:
        """Every word that means something alone or inside a longer name: what a plural may reduce to."""
        return frozenset(word for name in (*self.category, *self.merges) for word in name.split())

    def repaired(self) -> Vocabulary:
        """Return the tables with the names that can never match as written made matchable.

        Stray blanks and capitals go, and names of three words are merged like those of two.
        """
        category = {name.strip().lower(): category for name, category in self.category.items()}
        return Vocabulary(MappingProxyType(category), self.merges, longest=3)


def source() -> Path:
    """Return the path of the installed file that holds the tables, without importing lmms-eval."""
    folder = names.task_files()
    if folder is not None and (folder / _FILE).is_file():
        return folder / _FILE
    raise RuntimeError(f"lmms_eval/tasks/{_FILE.as_posix()} with CHAIR's word tables was not found; {_FIX}")


def read(path: Path) -> Vocabulary:
    """Read the tables from `path`; `RuntimeError` when they are missing or are not the known ones."""
    tables: dict[str, Any] = {}
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            name = node.targets[0].id
            if name in _TABLES:
                tables[name] = ast.literal_eval(node.value)
    missing = [name for name in _TABLES if name not in tables]
    if missing:
        raise RuntimeError(f"{path} has no {', '.join(missing)}; {_FIX}")
    text = json.dumps(tables, sort_keys=True, separators=(",", ":"))
    found = hashlib.sha256(text.encode()).hexdigest()
    if found != SHA256:
        raise RuntimeError(f"the CHAIR word tables in {path} changed: expected SHA-256 {SHA256}, found {found}; {_FIX}")
    return Vocabulary(MappingProxyType(tables["INVERSE_SYNONYM_DICT"]), MappingProxyType(tables["DOUBLE_WORD_DICT"]))


@functools.lru_cache(maxsize=1)
def coco() -> Vocabulary:
    """Return the tables of the installed lmms-eval, read and checked once."""
    return read(source())
