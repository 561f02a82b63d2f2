"""CHAIR's data: COCO val2014 images and annotations, and the published lists of 500 images.

The list of a seed is ``random.Random(seed).sample(sorted(ids), 500)`` over the ids that have captions, in this order.
Its SHA-256 is that of the ids in decimal, one a line.
"""

from __future__ import annotations

import functools
import hashlib
import random
from collections.abc import Sequence

from hallu_tasks.chair import truth_cache
from hallu_tasks.data.documents import Documents, Local, Source
from hallu_tasks.data.folder import Folder, checksum
from hallu_tasks.files import json_files

__all__ = ["SEEDS", "SIZE", "SOURCE", "digest", "documents", "sample"]

SEEDS = range(5)
SIZE = 500
IMAGES = 40_504

INSTANCES = "annotations/instances_val2014.json"
CAPTIONS = "annotations/captions_val2014.json"

SOURCE = Source(
    folder="coco",
    title="COCO val2014 (CHAIR)",
    layout=(INSTANCES, CAPTIONS, "val2014/COCO_val2014_000000000042.jpg ..."),
    obtain=(
        "http://images.cocodataset.org/annotations/annotations_trainval2014.zip",
        "http://images.cocodataset.org/zips/val2014.zip",
    ),
    licence="annotations CC BY 4.0; images belong to their Flickr authors",
)


def sample(ids: Sequence[int], seed: int) -> list[int]:
    """The list of a seed over the ids of a split; `ValueError` for fewer than 500 ids."""
    if len(set(ids)) < SIZE:
        raise ValueError(f"a list has {SIZE} images, and there are only {len(set(ids))} ids")
    return random.Random(seed).sample(sorted(set(ids)), SIZE)


def digest(ids: Sequence[int]) -> str:
    """The SHA-256 of a list of ids."""
    return hashlib.sha256("\n".join(map(str, ids)).encode()).hexdigest()


def _read(seed: int, folder: Folder) -> Local:
    instances, captions = folder.file(INSTANCES), folder.file(CAPTIONS)
    names = _file_names(str(captions), checksum(captions))
    if len(names) != IMAGES:
        raise ValueError(
            f"{captions} describes {len(names):,} images instead of {IMAGES:,}, and the lists are drawn from all "
            "of them; give the files of the official archive"
        )
    chosen = sample(list(names), seed)
    truth = truth_cache.truth(str(instances), str(captions), "reference")
    if absent := [image for image in chosen if image not in truth]:
        raise ValueError(
            f"{instances} does not list image {absent[0]}, which {captions} describes; give files of one split"
        )
    paths = folder.images(folder.folder("val2014"), [names[image] for image in chosen])
    rows = [
        {
            "image_id": image,
            "image_file": f"val2014/{names[image]}",
            "objects": sorted(truth[image]),
            "image": paths[names[image]],
        }
        for image in chosen
    ]
    bare = sum(not row["objects"] for row in rows)
    facts = {
        "documents": f"{len(rows)} of {len(names):,} images, seed {seed}",
        "id list sha256": digest(chosen),
        "instances sha256": checksum(instances),
        "captions sha256": checksum(captions),
    }
    # As in the original, what is said about an image without any object is hallucinated.
    return Local(rows, {**facts, "images without objects": str(bare)} if bare else facts)


@functools.lru_cache(maxsize=2)
def _file_names(path: str, _checksum: str) -> dict[int, str]:
    """The file name of every image that has a caption, by id."""
    try:
        content = json_files.load(path)
        described = {entry["image_id"] for entry in content["annotations"]}
        return {image["id"]: image["file_name"] for image in content["images"] if image["id"] in described}
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path} is not captions_val2014.json: {type(error).__name__} {error}") from None


documents = {seed: Documents(SOURCE, functools.partial(_read, seed)) for seed in SEEDS}
"""The documents of each seed."""

seed_0, seed_1, seed_2, seed_3, seed_4 = documents.values()
