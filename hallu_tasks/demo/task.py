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
    table = pyarrow.parquet.read_table(Path(__file__).parent / "scenes.parquet")
    return {row["image_id"]: row for row in table.to_pylist()}


def visual(doc: Mapping[str, Any]) -> list[Image.Image]:
    return [Image.open(io.BytesIO(scenes()[doc["image_id"]]["image"]["bytes"])).convert("RGB")]
