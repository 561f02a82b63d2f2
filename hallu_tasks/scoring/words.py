"""Captions to words: tokens, and the singular of a token.

`tokens` and `singular` need no data files. `lemmas` is the NLTK route of OPERA and of lmms-eval's built-in
CHAIR task; NLTK is imported only when it is asked for.
"""

from __future__ import annotations

import functools
import importlib
import re
import threading
from collections.abc import Callable, Collection
from typing import Any

__all__ = ["BLIND_SPOTS", "check_nltk", "lemmas", "singular", "tokens"]

_TOKEN = re.compile(r"\w+(?:[-/.']\w+)*|\.{2,}|-{2,}|\S")
_CLITIC = re.compile(r"(.+?)(n't|'s|'m|'d|'ll|'re|'ve)")
_CONTRACTIONS = {
    "cannot": ["can", "not"],
    "d'ye": ["d", "'ye"],
    "gimme": ["gim", "me"],
    "gonna": ["gon", "na"],
    "gotta": ["got", "ta"],
    "lemme": ["lem", "me"],
    "more'n": ["more", "'n"],
    "wanna": ["wan", "na"],
}


def tokens(caption: str) -> list[str]:
    """Split a caption into lower-case tokens, punctuation marks included.

    A run of letters, digits and ``_`` joined by ``-``, ``/``, ``.`` or ``'`` is one token
    ("black-and-white", "o'clock"); a clitic is cut off it ("dog's" gives dog, 's; "isn't" gives is, n't); the
    Treebank contractions are split ("cannot" gives can, not); any other mark is a token of its own. On
    ordinary captions these are the tokens of NLTK's `word_tokenize`, which the original uses.
    """
    result = []
    for token in _TOKEN.findall(caption.lower()):
        if token in _CONTRACTIONS:
            result += _CONTRACTIONS[token]
        elif "'" in token and (split := _CLITIC.fullmatch(token)):
            result += split.groups()
        else:
            result.append(token)
    return result


_IRREGULAR = {
    "calves": "calf",
    "children": "child",
    "dobermen": "doberman",
    "geese": "goose",
    "gentlemen": "gentleman",
    "grandchildren": "grandchild",
    "kine": "cow",
    "knives": "knife",
    "men": "man",
    "mice": "mouse",
    "oxen": "ox",
    "people": "person",
    "pocketknives": "pocketknife",
    "policemen": "policeman",
    "servicemen": "serviceman",
    "thieves": "thief",
    "women": "woman",
}

BLIND_SPOTS = frozenset(["airbus", "bus", "canoes", "collies", "doggies", "magpies", "minibus", "thieves", "ties"])
"""Words that Pattern's rules turn into no known word: bus becomes "bu", ties "ty", canoes "cano"."""


def singular(token: str, known: Collection[str]) -> str:
    """Return the singular of a lower-case token if it is in `known`, else the token itself.

    In this order: the irregular plurals, a known word as it is, -ies to -y, -es after s x z ch sh o, -s.
    """
    if token in _IRREGULAR:
        return _IRREGULAR[token]
    if token in known or not token.endswith("s"):
        return token
    if token.endswith("ies") and token[:-3] + "y" in known:
        return token[:-3] + "y"
    if token.endswith(("ses", "xes", "zes", "ches", "shes", "oes")) and token[:-2] in known:
        return token[:-2]
    return token[:-1] if token[:-1] in known else token


_RESOURCE = re.compile(r"nltk\.download\('([^']+)'\)")
_loading = threading.Lock()


@functools.lru_cache(maxsize=1)
def _nltk() -> Any:
    """Import NLTK, load its data by using it once, and return the module."""
    try:
        nltk = importlib.import_module("nltk")
    except ImportError as error:
        raise RuntimeError('CHAIR mode "nltk" needs NLTK: pip install nltk') from error
    uses: dict[str, Callable[[], Any]] = {
        "punkt_tab": lambda: nltk.word_tokenize("a dog"),
        "averaged_perceptron_tagger_eng": lambda: nltk.pos_tag(["dog"]),
        "wordnet": lambda: nltk.WordNetLemmatizer().lemmatize("dogs"),
    }
    missing = []
    for resource, use in uses.items():
        try:
            use()
        except LookupError as error:
            # Older releases of NLTK call their data otherwise, and say so.
            named = _RESOURCE.search(str(error))
            missing.append(named[1] if named else resource)
    if missing:
        raise RuntimeError(
            f'CHAIR mode "nltk" needs NLTK data that is not installed: {", ".join(missing)}; run: '
            f"python -m nltk.downloader {' '.join(missing)}"
        )
    return nltk


def check_nltk() -> None:
    """Load NLTK and its data; `RuntimeError` with the command to run when something is missing.

    NLTK's corpora load lazily and not safely from several threads, so call this before scoring in threads.
    """
    with _loading:
        _nltk()


def lemmas(caption: str) -> list[str]:
    """Return the WordNet lemmas of a caption's tokens, each by its part-of-speech tag, else as a noun."""
    check_nltk()
    nltk = _nltk()
    lemmatize = nltk.WordNetLemmatizer().lemmatize
    parts = {"J": "a", "V": "v", "N": "n", "R": "r"}
    tagged = nltk.pos_tag(nltk.word_tokenize(caption.lower()))
    return [lemmatize(word, pos=parts.get(tag[:1], "n")) for word, tag in tagged]
