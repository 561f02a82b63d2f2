"""TextVQA's data: the official validation file with the OCR tokens of Rosetta, and the images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hallu_tasks.data.documents import Documents, Hub, Local, Source
from hallu_tasks.data.folder import Folder, checksum
from hallu_tasks.files import json_files

__all__ = ["COUNT", "documents"]

COUNT = 5_000

QUESTIONS = "TextVQA_0.5.1_val.json"
TOKENS = "TextVQA_Rosetta_OCR_v0.2_val.json"

SOURCE = Source(
    folder="textvqa",
    title="TextVQA",
    layout=(QUESTIONS, TOKENS, "train_images/003a8ae2ef43b901.jpg ..."),
    obtain=("https://textvqa.org/dataset (validation questions, Rosetta OCR tokens, training and validation images)",),
    licence="annotations CC BY 4.0; images of OpenImages, CC BY 2.0",
)


def _read(folder: Folder) -> Local:
    path, spelled = folder.file(QUESTIONS), folder.file(TOKENS)
    entries = _entries(path, ("question_id", "question", "image_id", "answers"))
    if len(entries) != COUNT:
        raise ValueError(f"{path} holds {len(entries):,} questions instead of {COUNT:,}; take the official file")
    tokens = {entry["image_id"]: entry["ocr_tokens"] for entry in _entries(spelled, ("image_id", "ocr_tokens"))}
    if absent := [entry["image_id"] for entry in entries if entry["image_id"] not in tokens]:
        raise ValueError(f"{spelled} has no tokens of image {absent[0]}; give files of one release")
    files = {entry["image_id"]: f"{entry['image_id']}.jpg" for entry in entries}
    images = folder.images(folder.folder("train_images", "train_val_images/train_images"), files.values())
    rows = [
        {
            "question_id": entry["question_id"],
            "question": entry["question"],
            "answers": entry["answers"],
            "ocr_tokens": tokens[entry["image_id"]],
            "image_id": entry["image_id"],
            "image": images[files[entry["image_id"]]],
        }
        for entry in entries
    ]
    facts = {
        "documents": f"{len(rows):,} questions on {len(images):,} images",
        "questions sha256": checksum(path),
        "OCR tokens sha256": checksum(spelled),
    }
    return Local(rows, facts)


def _entries(path: Path, keys: tuple[str, ...]) -> list[dict[str, Any]]:
    content = json_files.load(path)
    entries = content.get("data") if isinstance(content, dict) else None
    if not isinstance(entries, list):
        raise ValueError(f"{path} has no list under 'data'; take the official file")
    for position, entry in enumerate(entries):
        if not isinstance(entry, dict):
            raise ValueError(f"{path}: data[{position}] is a {type(entry).__name__}; take the official file")
        if absent := [key for key in keys if key not in entry]:
            raise ValueError(f"{path}: data[{position}] has no {', '.join(absent)}; take the official file")
    return entries


def _converted(dataset: Any) -> Any:
    return dataset.select_columns(["question_id", "question", "answers", "ocr_tokens", "image_id", "image"])


validation = Documents(SOURCE, _read, Hub("lmms-lab-encoder/textvqa", "validation", COUNT, _converted))

documents = {"validation": validation}
"""The documents of the validation split."""
