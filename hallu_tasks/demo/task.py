"""What the demo tasks' YAML calls beside the benchmarks' own functions: a scene's image by its id."""

from __future__ import annotations

import functools
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet
from PIL import Image


@functools.cache
def scenes() -> dict[int, dict[str, Any]]:
    """The held-out scenes by image id: place, objects, and the encoded image."""
    return {row["image_id"]: row for row in _rows("scenes")}


def questions() -> list[dict[str, Any]]:
    """The POPE questions: image id, category, question and answer."""
    return _rows("pope")


def _rows(name: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pyarrow.parquet.read_table(Path(__file__).parent / f"{name}.parquet").to_pylist()
    return rows


def visual(doc: Mapping[str, Any]) -> list[Image.Image]:
    return [Image.open(io.BytesIO(scenes()[doc["image_id"]]["image"]["bytes"])).convert("RGB")]
