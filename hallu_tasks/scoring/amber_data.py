"""AMBER's data: what is true of its images, its questions, and the words that count.

The files are those of the official repository. Each reader takes a file's path, or its content as it was parsed.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hallu_tasks.files import json_files
from hallu_tasks.scoring import yesno
from hallu_tasks.scoring.keyed import name_some, repeated

__all__ = [
    "TYPES",
    "Annotations",
    "Question",
    "Scene",
    "Vocabulary",
    "read_annotations",
    "read_images",
    "read_responses",
    "read_vocabulary",
]

TYPES = {
    "discriminative-hallucination": ("existence",),
    "discriminative-attribute-state": ("attribute", "state"),
    "discriminative-attribute-number": ("attribute", "number"),
    "discriminative-attribute-action": ("attribute", "action"),
    "discriminative-relation": ("relation",),
    "relation": ("relation",),
}
"""The question types of ``annotations.json``, and the groups each belongs to."""


@dataclass(frozen=True)
class Vocabulary:
    """The nouns that count: `associates` maps a word to the words it may go by, `safe` never hallucinate."""

    associates: Mapping[str, tuple[str, ...]]
    safe: frozenset[str]

    @functools.cached_property
    def nouns(self) -> frozenset[str]:
        """Every word of the associations, as the file spells it."""
        return frozenset(self.associates).union(*self.associates.values())

    @functools.cached_property
    def spelling(self) -> dict[str, str]:
        """Lower-cased word to the file's spelling, which is "TV" for "tv"."""
        return {noun.lower(): noun for noun in sorted(self.nouns)}


@dataclass(frozen=True)
class Scene:
    """What ``annotations.json`` says of an image: words that are true, and targets that models tend to invent."""

    truth: tuple[str, ...]
    hallu: tuple[str, ...]


@dataclass(frozen=True)
class Question:
    """A yes/no question of ``annotations.json``: its type, a key of `TYPES`, and its answer, "yes" or "no"."""

    type: str
    truth: str


@dataclass(frozen=True)
class Annotations:
    """``annotations.json`` by id: images to describe and questions to answer."""

    scenes: Mapping[int, Scene]
    questions: Mapping[int, Question]


Path = str | os.PathLike[str]


def read_annotations(annotations: Path | Sequence[Any]) -> Annotations:
    """Read ``annotations.json``, given as its path or parsed.

    Raises `ValueError` that names the file and the entry for what is missing, repeated or unknown.
    """
    content, name = _loaded(annotations, "annotations")
    scenes: dict[int, Scene] = {}
    questions: dict[int, Question] = {}
    for where, entry in _entries(content, name, ("id", "type", "truth")):
        if entry["type"] == "generative":
            truth = _texts(entry["truth"], f"{where}: truth")
            scenes[entry["id"]] = Scene(truth, _texts(entry.get("hallu"), f"{where}: hallu"))
        elif isinstance(entry["type"], str) and entry["type"] in TYPES:
            try:
                questions[entry["id"]] = Question(entry["type"], yesno.label(entry["truth"]))
            except ValueError as error:
                raise ValueError(f"{where}: {error}") from None
        else:
            raise ValueError(f"{where}: unknown type {entry['type']!r}; allowed: generative, {', '.join(TYPES)}")
    return Annotations(scenes, questions)


def read_vocabulary(relation: Path | Mapping[str, Any], safe_words: Path | Iterable[str]) -> Vocabulary:
    """Read ``relation.json`` and ``safe_words.txt``, each given as its path or parsed.

    Raises `ValueError` that names the file and the entry that is not as expected.
    """
    content, name = _loaded(relation, "relation")
    if not isinstance(content, Mapping):
        raise ValueError(f"{name} holds a {type(content).__name__}, expected words with lists of associated words")
    associates = {word: _texts(related, f"{name}: {word!r}") for word, related in content.items()}
    lines = _lines(safe_words) if isinstance(safe_words, (str, os.PathLike)) else list(safe_words)
    safe = (word.strip() for word in _texts(lines, "safe_words"))
    return Vocabulary(associates, frozenset(word for word in safe if word))


def _lines(path: Path) -> list[str]:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read().splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{os.fspath(path)} is not UTF-8 text (byte {error.start}); save it as UTF-8") from None


def read_images(queries: Path | Sequence[Any]) -> dict[int, str]:
    """Return the image of every id in a query file such as ``query_all.json``, given as its path or parsed."""
    content, name = _loaded(queries, "queries")
    return {
        entry["id"]: _text(entry["image"], f"{where}: image") for where, entry in _entries(content, name, ("image",))
    }


def read_responses(responses: Path | Sequence[Any]) -> dict[int, str]:
    """Return the responses of a file ``[{"id": 1, "response": "..."}, ...]`` by id, given as its path or parsed."""
    content, name = _loaded(responses, "responses", "write it again")
    return {
        entry["id"]: _text(entry["response"], f"{where}: response")
        for where, entry in _entries(content, name, ("response",))
    }


def _loaded(source: Any, argument: str, again: str = "fetch it again") -> tuple[Any, str]:
    if not isinstance(source, (str, os.PathLike)):
        return source, argument
    return json_files.load(source, again), os.fspath(source)


def _entries(content: Any, name: str, keys: tuple[str, ...]) -> list[tuple[str, Mapping[str, Any]]]:
    """Return the entries of a list of objects with ids, each with its place for messages."""
    if isinstance(content, Mapping) or not isinstance(content, Iterable):
        raise ValueError(f"{name} holds a {type(content).__name__}, expected a list of objects with ids")
    placed = []
    for position, entry in enumerate(content):
        where = f"{name}[{position}]"
        if not isinstance(entry, Mapping):
            raise ValueError(f"{where} is a {type(entry).__name__}, expected an object")
        if absent := [key for key in dict.fromkeys(("id", *keys)) if key not in entry]:
            raise ValueError(f"{where} has no {', '.join(absent)}")
        if not isinstance(entry["id"], int) or isinstance(entry["id"], bool):
            raise ValueError(f"{where}: id must be a whole number, got {entry['id']!r}")
        placed.append((f"{where} (id {entry['id']})", entry))
    if twice := repeated(entry["id"] for _, entry in placed):
        raise ValueError(f"{name}: ids that occur more than once: {name_some(twice)}; keep one of each")
    return placed


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{where} must be text, got {value!r} ({type(value).__name__})")
    return value


def _texts(value: Any, where: str) -> tuple[str, ...]:
    if not isinstance(value, (list, tuple)):
        raise ValueError(f"{where} must be a list of words, got {value!r}")
    return tuple(_text(word, where) for word in value)
