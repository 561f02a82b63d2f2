"""The nouns of a response that AMBER's vocabulary knows, and which of them mean the same."""

from __future__ import annotations

import functools
import importlib
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from hallu_tasks.scoring import words
from hallu_tasks.scoring.amber_data import Vocabulary

__all__ = ["MODES", "SIMILARITIES", "check", "nouns", "places", "similar"]

MODES = ("reference", "nltk")
"""The names that `mode` accepts."""

SIMILARITIES = ("none", "spacy")
"""The names that `similarity` accepts."""

_NEVER_NOUNS = frozenset(["can", "hot"])
"""Words of the vocabulary that captions use as a verb ("can be seen") and an adjective, hardly ever as nouns."""

_VECTORS = "en_core_web_lg"
_THRESHOLD = 0.8


def check(mode: str = "reference", similarity: str = "none") -> None:
    """Load everything that `mode` and `similarity` need; call it before generation.

    Raises `ValueError` for an unknown name and `RuntimeError`, with the command to run, when NLTK, spaCy or
    their data are asked for and missing.
    """
    if mode not in MODES:
        raise ValueError(f"unknown AMBER mode {mode!r}; allowed: {', '.join(MODES)}")
    if similarity not in SIMILARITIES:
        raise ValueError(f"unknown AMBER similarity {similarity!r}; allowed: {', '.join(SIMILARITIES)}")
    if mode == "nltk":
        _nltk()
    if similarity == "spacy":
        _spacy()


def nouns(response: str, vocabulary: Vocabulary, mode: str = "reference") -> list[str]:
    """Return the nouns of a response that the vocabulary knows, in order, duplicates included."""
    check(mode)
    if not isinstance(response, str):
        raise TypeError(f"a response must be text, got {response!r} ({type(response).__name__})")
    if mode == "nltk":
        nltk = _nltk()
        lemmatize = nltk.WordNetLemmatizer().lemmatize
        tagged = nltk.pos_tag(nltk.word_tokenize(response))
        lemmas = [lemmatize(word) for word, tag in tagged if tag.startswith("NN")]
        return [lemma for lemma in lemmas if lemma in vocabulary.nouns]
    known = vocabulary.spelling
    tokens = [token for token in words.tokens(response) if token not in _NEVER_NOUNS]
    singulars = [token if token in known else words.singular(token, known) for token in tokens]
    return [known[singular] for singular in singulars if singular in known]


_WORD = re.compile(r"\w+(?:[-/.]\w+)*")


def places(response: str, listed: Iterable[str]) -> list[tuple[int, int, str]]:
    """Return start, end and noun of each word of a response that is one of the nouns, or its plural."""
    known = {noun.lower(): noun for noun in listed}
    found = [(word, word[0].lower()) for word in _WORD.finditer(response)]
    singulars = [(word, token if token in known else words.singular(token, known)) for word, token in found]
    return [(word.start(), word.end(), known[singular]) for word, singular in singulars if singular in known]


def similar(noun: str, names: Mapping[str, int]) -> list[int]:
    """Return the position of the first name that means the same, in a list, which is empty without one."""
    return [names[name] for name in names if _cosine(noun, name) > _THRESHOLD][:1]


@functools.lru_cache(maxsize=1 << 18)
def _cosine(word: str, other: str) -> float:
    return float(_vector(word).similarity(_vector(other)))


@functools.lru_cache(maxsize=1 << 12)
def _vector(word: str) -> Any:
    return _spacy()(word)


@functools.lru_cache(maxsize=1)
def _spacy() -> Callable[[str], Any]:
    run = f"pip install spacy && python -m spacy download {_VECTORS}"
    try:
        spacy = importlib.import_module("spacy")
    except ImportError as error:
        raise RuntimeError(f'AMBER similarity "spacy" needs spaCy; run: {run}') from error
    try:
        pipeline: Callable[[str], Any] = spacy.load(_VECTORS)
    except OSError as error:
        raise RuntimeError(f'AMBER similarity "spacy" needs the vectors {_VECTORS}; run: {run}') from error
    return pipeline


def _nltk() -> Any:
    try:
        words.check_nltk()
    except RuntimeError as error:
        raise RuntimeError(str(error).replace("CHAIR", "AMBER", 1)) from error
    return importlib.import_module("nltk")
