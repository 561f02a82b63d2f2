"""CHAIR: which COCO objects a caption names, and how many of them are not in the image.

Rohrbach et al. 2018, "Object Hallucination in Image Captioning". A caption becomes objects in four steps:
tokens are made singular; neighbouring tokens that form one name are merged left to right ("traffic light";
"baby bird" to bird; "home plate" to itself, so it is no plate); if toilet and seat both occur, seat is
dropped; what is in the vocabulary becomes its COCO category. Duplicates count.

Published numbers part ways at the singular, so it is a parameter (`mode`) that every result carries:

=========  =================================================================================================
reference  as the original, which uses Pattern's rules: a closed-vocabulary plural rule with the same
           outcome, including the words those rules lose (bus, minibus, airbus, ties, canoes, magpies,
           collies, doggies, thieves); "buses" is found, "bus" is not
fixed      reference without those losses and with the vocabulary's slips repaired: "motor bike",
           "cheesecake" and "iPhone" are found, "stove top oven" counts once
nltk       part-of-speech tags and WordNet, as in OPERA and lmms-eval's built-in task: misses "men", reads
           "seated" as chair; needs NLTK data, and `check` says how to get it
=========  =================================================================================================
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping
from numbers import Integral
from typing import Any, NamedTuple

from hallu_tasks.files import json_files
from hallu_tasks.scoring import vocabulary, words
from hallu_tasks.scoring.keyed import name_some, repeated
from hallu_tasks.scoring.ratios import Ratio, evaluate, total

__all__ = [
    "MODES",
    "STATISTICS",
    "Mention",
    "aggregate",
    "check",
    "check_images",
    "mentions",
    "objects",
    "record",
    "score",
    "truth_from_coco",
]

MODES = ("reference", "fixed", "nltk")
"""The names that `mode` accepts."""

STATISTICS = {
    "chair_s": Ratio("captions_hallucinated", ("captions",), "there are no captions"),
    "chair_i": Ratio("hallucinated", ("mentions",), "no caption mentions an object"),
    "recall": Ratio("correct", ("truth",), "the images hold no object"),
    "precision": Ratio("correct", ("distinct",), "no caption mentions an object"),
    "f1": Ratio("correct", ("distinct", "truth"), "nothing is mentioned and the images hold no object", 200),
    "mean_length": Ratio("length", ("captions",), "there are no captions", 1),
    "mean_mentions": Ratio("mentions", ("captions",), "there are no captions", 1),
}
"""The scores as ratios of summed records, for `paired`."""

_COLUMNS = (
    "captions",
    "captions_hallucinated",
    "captions_without_objects",
    "mentions",
    "hallucinated",
    "distinct",
    "correct",
    "truth",
    "length",
)


class _Reader(NamedTuple):
    tables: vocabulary.Vocabulary
    openers: frozenset[str]
    """What a name of several words can begin with."""
    categories: frozenset[str]
    singulars: Callable[[str], list[str]]


@functools.cache
def _reader(mode: str) -> _Reader:
    if mode not in MODES:
        raise ValueError(f"unknown CHAIR mode {mode!r}; allowed: {', '.join(MODES)}")
    tables = vocabulary.coco()
    if mode == "nltk":
        words.check_nltk()
        return _Reader(tables, _openers(tables), tables.categories, words.lemmas)
    if mode == "fixed":
        tables = tables.repaired()
    lost = words.BLIND_SPOTS if mode == "reference" else frozenset()
    known = tables.single_words

    @functools.lru_cache(maxsize=1 << 16)
    def singular(token: str) -> str:
        # A lost word must not match by its own spelling either; "" matches nothing.
        return "" if token in lost else words.singular(token, known)

    def singulars(caption: str) -> list[str]:
        return [singular(token) for token in words.tokens(caption)]

    return _Reader(tables, _openers(tables), tables.categories, singulars)


def _openers(tables: vocabulary.Vocabulary) -> frozenset[str]:
    return frozenset(name.split()[0] for name in tables.merges)


def check(mode: str = "reference") -> None:
    """Load everything `mode` needs; call it before generation.

    Raises `ValueError` for an unknown mode and `RuntimeError`, with the fix, when lmms-eval's word tables
    are missing or changed or, for ``nltk``, NLTK or its data are missing.
    """
    _reader(mode)


def _singulars(caption: str, mode: str) -> list[str]:
    if not isinstance(caption, str):
        raise TypeError(f"a caption must be text, got {caption!r} ({type(caption).__name__})")
    return _reader(mode).singulars(caption)


def _merged(singulars: list[str], reader: _Reader) -> Iterator[tuple[str, int, int]]:
    """The names, each with the tokens ``start`` to ``stop`` it is made of."""
    merges, longest = reader.tables.merges, reader.tables.longest
    start = 0
    while start < len(singulars):
        name, stop = singulars[start], start + 1
        for size in range(min(longest, len(singulars) - start), 1, -1) if name in reader.openers else ():
            merged = merges.get(" ".join(singulars[start : start + size]))
            if merged is not None:
                name, stop = merged, start + size
                break
        yield name, start, stop
        start = stop


def _named(singulars: list[str], mode: str) -> list[tuple[str, int, int]]:
    reader = _reader(mode)
    category = reader.tables.category
    names = [one for one in _merged(singulars, reader) if one[0] in category]
    if any(name == "toilet" for name, _, _ in names):
        names = [one for one in names if one[0] != "seat"]
    return [(category[name], start, stop) for name, start, stop in names]


def _categories(singulars: list[str], mode: str) -> list[str]:
    return [category for category, _, _ in _named(singulars, mode)]


class Mention(NamedTuple):
    """An object's name in a caption: ``caption[start:end]``, and the COCO category it stands for."""

    category: str
    start: int
    end: int


def mentions(caption: str, mode: str = "reference") -> list[Mention]:
    """Return the mentions of `objects`, in order, with their places in `caption`.

    Raises `ValueError` for ``nltk``, whose tokens do not keep their places.
    """
    if mode == "nltk":
        raise ValueError("mentions have no places in mode 'nltk'; allowed: reference, fixed")
    places = []
    end = 0
    lower = caption.lower()
    for token in words.tokens(caption):
        start = lower.index(token, end)
        end = start + len(token)
        places.append((start, end))
    # Some capitals, such as the dotted I of Turkish, become two characters.
    at = [index for index, character in enumerate(caption) for _ in character.lower()]
    return [
        Mention(category, at[places[start][0]], at[places[stop - 1][1] - 1] + 1)
        for category, start, stop in _named(_singulars(caption, mode), mode)
    ]


def objects(caption: str, mode: str = "reference") -> list[str]:
    """Return the COCO category of every object mention in `caption`, in order, duplicates included."""
    return _categories(_singulars(caption, mode), mode)


def record(caption: str, truth_objects: Collection[str], mode: str = "reference") -> dict[str, Any]:
    """Return what one caption adds to the scores: counts that `aggregate` sums, and the mode.

    ``mentions`` and ``hallucinated`` count mentions; ``distinct``, ``correct`` and ``truth`` count distinct
    categories (mentioned, mentioned and true, true); ``length`` counts tokens, punctuation included;
    ``captions`` is 1, ``captions_hallucinated`` and ``captions_without_objects`` are 0 or 1.

    `truth_objects` are COCO category names; another name, or a plain string, is an error. An empty truth
    makes every mention a hallucination; `check_images` refuses it.
    """
    singulars = _singulars(caption, mode)
    truth = _checked_truth(truth_objects, mode)
    named = _categories(singulars, mode)
    distinct = set(named)
    hallucinated = sum(name not in truth for name in named)
    return {
        "captions": 1,
        "captions_hallucinated": int(hallucinated > 0),
        "captions_without_objects": int(not named),
        "mentions": len(named),
        "hallucinated": hallucinated,
        "distinct": len(distinct),
        "correct": len(distinct & truth),
        "truth": len(truth),
        "length": len(singulars),
        "mode": mode,
    }


def _checked_truth(truth_objects: Collection[str], mode: str) -> frozenset[str]:
    if isinstance(truth_objects, str):
        raise TypeError(f"the true objects must be a set of names, got the string {truth_objects!r}")
    truth = frozenset(truth_objects)
    categories = _reader(mode).categories
    if not truth <= categories:
        unknown = name_some(sorted(truth - categories))
        raise ValueError(
            f"true objects that are not COCO categories: {unknown}; use the 80 category names of "
            "instances_val2014.json, such as 'dining table'"
        )
    return truth


def aggregate(records: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the scores of many `record` results; the order does not matter.

    Percentages ``chair_s`` (captions with a hallucination / captions), ``chair_i`` (hallucinated mentions /
    mentions), ``recall`` (distinct correct / true), ``precision`` (distinct correct / distinct mentioned)
    and their ``f1``; ``mean_length`` in tokens and ``mean_mentions`` per caption; ``captions_count``,
    ``captions_without_objects_count``, ``mentions_count``, ``hallucinated_count``; ``mode``; ``reasons``.

    Raises `ValueError` when the records were made under different modes.
    """
    listed = list(records)
    modes = sorted({record["mode"] for record in listed})
    if len(modes) > 1:
        raise ValueError(f"records of different CHAIR modes cannot be added: {', '.join(modes)}")
    sums = total(listed, _COLUMNS)
    scores, reasons = evaluate(STATISTICS, sums)
    return {
        **scores,
        "captions_count": sums["captions"],
        "captions_without_objects_count": sums["captions_without_objects"],
        "mentions_count": sums["mentions"],
        "hallucinated_count": sums["hallucinated"],
        "mode": modes[0] if modes else None,
        "reasons": reasons,
    }


def check_images(
    image_ids: Iterable[Hashable], truth: Mapping[Any, Collection[str]], allow_empty_truth: bool = False
) -> None:
    """Raise a `ValueError` that names repeated ids, ids without truth, and images whose truth is empty.

    Call it before generation with the ids of the documents. With `allow_empty_truth`, the last pass.
    """
    ids = list(image_ids)
    twice = repeated(ids)
    if twice:
        raise ValueError(f"image ids that occur more than once: {name_some(twice)}; keep one caption of each")
    unknown = [image_id for image_id in ids if image_id not in truth]
    if unknown:
        raise ValueError(
            f"image ids without a truth: {name_some(unknown)}; ids match exactly (42 is not '42'), and the "
            "truth must come from the split the images come from"
        )
    empty = [image_id for image_id in ids if not truth[image_id]]
    if empty and not allow_empty_truth:
        raise ValueError(
            f"image ids whose truth is empty: {name_some(empty)}; leave them out of the id list, because "
            "nothing said about them could be right, or pass allow_empty_truth=True"
        )


def score(
    captions: Mapping[Any, str] | Iterable[tuple[Any, str]],
    truth: Mapping[Any, Collection[str]],
    mode: str = "reference",
    allow_empty_truth: bool = False,
) -> dict[str, Any]:
    """Return CHAIR over `captions`, the `aggregate` of one `record` an image.

    `captions` maps image ids to captions, or yields (image id, caption) pairs; `truth` maps image ids to the
    COCO categories in the image and may hold more images. With `allow_empty_truth`, every mention in the
    caption of an image without any object is hallucinated, as in the original. Every input error is raised
    before scoring: see `check` and `check_images`.
    """
    pairs = list(captions.items() if isinstance(captions, Mapping) else captions)
    check(mode)
    check_images((image_id for image_id, _ in pairs), truth, allow_empty_truth)
    no_text = [image_id for image_id, caption in pairs if not isinstance(caption, str)]
    if no_text:
        raise TypeError(f"captions must be text; they are not for image ids {name_some(no_text)}")
    result = aggregate(record(caption, truth[image_id], mode) for image_id, caption in pairs)
    return {**result, "mode": mode}


Source = str | os.PathLike[str] | Mapping[str, Any]
"""A COCO annotation file: its path, or its parsed content."""


def truth_from_coco(instances_json: Source, captions_json: Source, mode: str = "reference") -> dict[int, set[str]]:
    """Return the objects of every image of a COCO split: its annotated categories and its captions' objects.

    `instances_json` and `captions_json` are ``instances_val2014.json`` and ``captions_val2014.json``, as
    paths or parsed. Crowd annotations count. Every image listed in the instances file is a key; its set is
    empty when nothing is annotated or described. Build the truth under the mode that scores the captions.

    Raises `ValueError` that names the file and the entry for a missing key, an unknown or repeated image or
    category id, and a category that CHAIR does not know.
    """
    check(mode)
    truth = _annotated(instances_json, mode)
    # Each file alone fills hundreds of megabytes, so the first is gone when the second is read.
    captions, name = _loaded(captions_json, "captions_json")
    sentences = _entries(captions, "annotations", {"image_id": Integral, "caption": str}, name)
    _require_known(sentences, "image_id", truth, name)
    for sentence in sentences:
        truth[sentence["image_id"]].update(objects(sentence["caption"], mode))
    return truth


def _annotated(instances_json: Source, mode: str) -> dict[int, set[str]]:
    """Return the annotated categories of every image."""
    instances, instances_name = _loaded(instances_json, "instances_json")
    images = [image["id"] for image in _entries(instances, "images", {"id": Integral}, instances_name)]
    if twice := repeated(images):
        raise ValueError(f"{instances_name}: image ids listed more than once: {name_some(twice)}")
    categories = _entries(instances, "categories", {"id": Integral, "name": str}, instances_name)
    names = {entry["id"]: entry["name"] for entry in categories}
    strange = sorted(set(names.values()) - _reader(mode).categories)
    if strange:
        raise ValueError(f"{instances_name}: categories that CHAIR does not know: {name_some(strange)}")

    truth: dict[int, set[str]] = {image_id: set() for image_id in images}
    kinds = {"image_id": Integral, "category_id": Integral}
    annotations = _entries(instances, "annotations", kinds, instances_name)
    _require_known(annotations, "category_id", names, instances_name)
    _require_known(annotations, "image_id", truth, instances_name)
    for annotation in annotations:
        truth[annotation["image_id"]].add(names[annotation["category_id"]])
    return truth


def _loaded(source: Source, argument: str) -> tuple[Mapping[str, Any], str]:
    if isinstance(source, Mapping):
        return source, argument
    name = os.fspath(source)
    content = json_files.load(name)
    if not isinstance(content, dict):
        raise ValueError(f"{name} holds a {type(content).__name__}, expected a COCO annotation object")
    return content, name


def _entries(content: Mapping[str, Any], section: str, kinds: Mapping[str, type], name: str) -> list[Mapping[str, Any]]:
    """Return the entries of a section, each with the keys of `kinds` and values of these types."""
    if section not in content:
        raise ValueError(f"{name} has no {section!r}; expected a COCO 2014 annotation file")
    entries: list[Mapping[str, Any]] = content[section]
    if not isinstance(entries, list):
        raise ValueError(f"{name}: {section!r} is a {type(entries).__name__}, expected a list")
    for position, entry in enumerate(entries):
        where = f"{name}: {section}[{position}]"
        if not isinstance(entry, Mapping):
            raise ValueError(f"{where} is {entry!r}, expected an object")
        if absent := [key for key in kinds if key not in entry]:
            raise ValueError(f"{where} has no {', '.join(absent)}")
        for key, kind in kinds.items():
            if not isinstance(entry[key], kind) or isinstance(entry[key], bool):
                known = f" (image_id {entry['image_id']!r})" if "image_id" in entry else ""
                wanted = "text" if kind is str else "a whole number"
                raise ValueError(f"{where}{known}: {key} must be {wanted}, got {entry[key]!r}")
    return entries


def _require_known(entries: list[Mapping[str, Any]], key: str, allowed: Collection[Hashable], name: str) -> None:
    unknown = sorted({entry[key] for entry in entries if entry[key] not in allowed}, key=repr)
    if unknown:
        raise ValueError(
            f"{name}: {key} not listed in the instances file: {name_some(unknown)}; use both files of one split"
        )
