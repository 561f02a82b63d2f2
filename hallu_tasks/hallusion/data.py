"""HallusionBench's data: the 951 questions that have an image."""

from __future__ import annotations

from typing import Any

from hallu_tasks.data.documents import Documents, Hub, Local, Source
from hallu_tasks.data.folder import Folder, checksum
from hallu_tasks.files import rows
from hallu_tasks.scoring import hallusion

__all__ = ["documents"]

QUESTIONS = "HallusionBench.json"
FIELDS = (
    "category",
    "subcategory",
    "visual_input",
    "set_id",
    "figure_id",
    "question_id",
    "question",
    "gt_answer",
)

SOURCE = Source(
    folder="hallusion",
    title="HallusionBench",
    layout=(QUESTIONS, "hallusion_bench/VD/chart/0_1.png ..."),
    obtain=("https://github.com/tianyi-lab/HallusionBench (the images are linked there)",),
    licence="BSD-3-Clause; the images have their own terms",
)


def _read(folder: Folder) -> Local:
    path = folder.file(QUESTIONS)
    entries = rows.read(str(path), "take the official file", "fetch it again")
    counted = hallusion.SPLITS["all"]
    if len(entries) != counted:
        raise ValueError(f"{path} holds {len(entries):,} questions instead of {counted:,}; take the official file")
    found = []
    for entry in entries:
        if str(entry.get("visual_input", "take the official file")) == "0":
            continue
        name = entry.words("filename", "take the official file").removeprefix("./")
        place = folder.file(f"hallusion_bench/{name}", name)
        question = {key: str(entry.get(key, "take the official file")) for key in FIELDS}
        found.append({**question, "image_id": name, "image": place})
    wanted = hallusion.SPLITS["image"]
    if len(found) != wanted:
        raise ValueError(
            f"{path} holds {len(found)} questions with an image instead of {wanted}; take the official file"
        )
    images = {row["image_id"] for row in found}
    facts = {"documents": f"{len(found)} questions on {len(images)} images", "questions sha256": checksum(path)}
    return Local(found, facts)


def _converted(dataset: Any) -> Any:
    """The Hub's rows with the columns of `_read`."""
    kept = dataset.select_columns([*FIELDS, "image"])
    places = zip(*(kept[name] for name in ("category", "subcategory", "set_id", "figure_id")))
    return kept.add_column("image_id", ["{}/{}/{}_{}.png".format(*place) for place in places])


image = Documents(SOURCE, _read, Hub("lmms-lab-encoder/HallusionBench", "image", hallusion.SPLITS["image"], _converted))

documents = {"image": image}
"""The documents of the split with images."""
