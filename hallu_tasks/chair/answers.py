"""Read caption files as published code writes them, and the truth they are scored against."""

from __future__ import annotations

import reprlib
from collections.abc import Collection, Mapping
from typing import NamedTuple

from hallu_tasks.chair import truth_cache
from hallu_tasks.files import json_files, rows
from hallu_tasks.files.image_names import image_number

__all__ = ["Caption", "captions", "check_truth", "truth"]

CAPTIONS = 'give a JSON list or JSONL of {"image_id": 310196, "caption": "A dog ..."}'
TRUTH = "--truth takes instances_val2014.json, then captions_val2014.json"


class Caption(NamedTuple):
    """A caption and where it stands."""

    place: str
    text: str


def captions(path: str, image_key: str = "image_id", caption_key: str = "caption") -> dict[int, Caption]:
    """Return the captions of a JSON list or JSONL file by image id.

    Raises `ValueError` that names file and line for a missing or damaged file, missing keys, a value that is
    no image id or no text, and an image with two captions.
    """
    result: dict[int, Caption] = {}
    for row in rows.read(path, CAPTIONS):
        given = row.get(image_key, "name the key of the image id with --image-key")
        image = image_number(given)
        if image is None:
            raise ValueError(
                f"{row.place}: {image_key} {reprlib.repr(given)} is no COCO image id; allowed: a number or a file "
                "name such as COCO_val2014_000000310196.jpg; another key is named with --image-key"
            )
        if image in result:
            raise ValueError(f"{row.place}: image id {image} occurs also in {result[image].place}; keep one caption")
        result[image] = Caption(row.place, row.words(caption_key, "name the key of the caption with --caption-key"))
    return result


def truth(instances: str, sentences: str, mode: str) -> dict[int, set[str]]:
    """Return `truth_cache.truth` of two annotation files; a `ValueError` also says which files they must be."""
    for path in (instances, sentences):
        json_files.require(path, TRUTH)
    try:
        return truth_cache.truth(instances, sentences, mode)
    except OSError as error:
        raise ValueError(f"{error.filename} cannot be read: {error.strerror}") from None
    except (TypeError, ValueError) as error:
        raise ValueError(f"{error}; {TRUTH}") from None


def check_truth(
    described: Mapping[int, Caption], objects: Mapping[int, Collection[str]], source: str, allow_empty: bool = False
) -> None:
    """Raise a `ValueError` that names captions of images outside the truth, and of images without any object.

    `source` is the file the truth came from. With `allow_empty`, images without any object pass.
    """
    outside = [f"{caption.place}: image id {image}" for image, caption in described.items() if image not in objects]
    if outside:
        raise ValueError(
            f"{len(outside)} of {len(described)} captions are of images that {source} does not hold "
            f"({_some(outside)}); give the annotations of the split that the images come from"
        )
    empty = [f"{caption.place}: image id {image}" for image, caption in described.items() if not objects[image]]
    if empty and not allow_empty:
        raise ValueError(
            f"{len(empty)} of {len(described)} captions are of images without any object in the truth "
            f"({_some(empty)}), where every mention counts as hallucinated; leave them out, or score them as the "
            "original does with --allow-empty-truth"
        )


def _some(texts: list[str]) -> str:
    more = f" and {len(texts) - 5} more" if len(texts) > 5 else ""
    return "; ".join(texts[:5]) + more
