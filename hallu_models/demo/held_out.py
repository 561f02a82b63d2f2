"""Write the demo tasks' data: ``python -m hallu_models.demo.held_out --output hallu_tasks/demo``.

512 scenes that training never saw (another seed). About 256 of them there are six POPE questions each, three about
present objects and three about typical ones that are absent, and MME's pair of questions on existence.
Colours are rounded to 32 levels a channel, which halves the size of the files and is far below the pixel noise.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from hallu_models.demo import scenes

SEED = 20_000
SCENES, ASKED_SCENES = 512, 256
NOISE = 30.0


def held_out(seed: int = SEED, number: int = SCENES, noise: float = NOISE) -> list[scenes.Scene]:
    rng = np.random.default_rng(seed)
    drawn = (scenes.draw_scene(rng, noise) for _ in range(number))
    return [scenes.Scene(scene.place, scene.things, scene.picture & 0xF8) for scene in drawn]


def pope_questions(scene: scenes.Scene, rng: np.random.Generator) -> list[scenes.Question]:
    """Three present categories and three absent ones that are typical of the place."""
    present = [str(category) for category in rng.permutation(list(scene.counts))[:3]]
    missing = scenes.absent(scene, rng, 3, typical=True)
    return [scenes.existence(c, "Yes") for c in present] + [scenes.existence(c, "No") for c in missing]


def mme_questions(scene: scenes.Scene, rng: np.random.Generator) -> list[scenes.Question]:
    """A present category and a typical one that is absent."""
    present = str(rng.choice(list(scene.counts)))
    missing = scenes.absent(scene, rng, 1, typical=True)[0]
    return [scenes.existence(present, "Yes", kind="existence"), scenes.existence(missing, "No", kind="existence")]


def _png(picture: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def tables() -> Iterator[tuple[str, pa.Table]]:
    """File name and rows of each data file."""
    drawn = held_out()
    rng = np.random.default_rng(SEED + 1)
    images = [{"bytes": _png(scene.picture), "path": f"{index:04d}.png"} for index, scene in enumerate(drawn)]
    yield (
        "scenes",
        _with_image_feature(
            pa.table(
                {
                    "image_id": list(range(len(drawn))),
                    "image": images,
                    "place": [scene.place for scene in drawn],
                    "objects": [sorted(scene.counts) for scene in drawn],
                }
            )
        ),
    )
    yield "pope", _questions([pope_questions(scene, rng) for scene in drawn[:ASKED_SCENES]])
    yield "mme", _questions([mme_questions(scene, rng) for scene in drawn[:ASKED_SCENES]])


def _questions(asked: list[list[scenes.Question]]) -> pa.Table:
    rows: list[dict[str, Any]] = [
        {"image_id": image, "category": question.kind, "question": question.text, "answer": question.answer}
        for image, questions in enumerate(asked)
        for question in questions
    ]
    return pa.Table.from_pylist([{"question_id": index, **row} for index, row in enumerate(rows)])


def _with_image_feature(table: pa.Table) -> pa.Table:
    """Tell the datasets library that the column ``image`` holds encoded pictures."""
    from datasets import Features, Image, List, Value

    features = Features(
        {"image_id": Value("int64"), "image": Image(), "place": Value("string"), "objects": List(Value("string"))}
    )
    return table.cast(features.arrow_schema)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--output", type=Path, required=True, help="folder for scenes.parquet, pope.parquet, mme.parquet"
    )
    arguments = parser.parse_args()
    for name, table in tables():
        pq.write_table(table, arguments.output / f"{name}.parquet", compression="zstd")


if __name__ == "__main__":
    main()
