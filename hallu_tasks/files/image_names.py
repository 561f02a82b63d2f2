"""Which image a value means: a number, its digits, or a file's name."""

from __future__ import annotations

import re

__all__ = ["image_number"]

# Python reads no numbers of thousands of digits; ids have twelve at most.
_IMAGE_NAME = re.compile(r"(?:.*[/\\])?(?:COCO_[a-z]+\d{4}_)?(\d{1,20})(?:\.[A-Za-z]+)?")


def image_number(value: object) -> int | None:
    """The id of an image from a number, its digits, or a file name such as ``COCO_val2014_000000310196.jpg``.

    ``None`` for everything else.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    found = _IMAGE_NAME.fullmatch(value.strip()) if isinstance(value, str) else None
    return int(found[1]) if found else None
