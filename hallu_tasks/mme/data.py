"""MME's data: a folder a subtask, with an image and a text file of its two questions under the same name.

Both layouts of the official archive are read: image and text side by side, or in ``images`` and
``questions_answers_YN``. The folder that it unpacks to, ``MME_Benchmark_release_version``, may stay around them.
Questions are asked as they are written there.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hallu_tasks.data.documents import Documents, Hub, Local, Source
from hallu_tasks.data.folder import Folder, Missing, checksum
from hallu_tasks.scoring import mme, yesno

__all__ = ["COUNTS", "documents"]

COUNTS = {
    **dict.fromkeys(mme.HALLUCINATION, 60),
    "posters": 294,
    "celebrity": 340,
    **dict.fromkeys(("scene", "landmark", "artwork"), 400),
    "OCR": 40,
    "commonsense_reasoning": 140,
    **dict.fromkeys(("numerical_calculation", "text_translation", "code_reasoning"), 40),
}
"""Questions of each subtask."""

_IMAGES = (".jpg", ".png", ".jpeg")
_REPOSITORY = "lmms-lab-encoder/MME"

SOURCE = Source(
    folder="mme",
    title="MME",
    layout=(
        "existence/000000006040.jpg and .txt ...",
        "artwork/images/10002.jpg ...",
        "artwork/questions_answers_YN/10002.txt ...",
    ),
    obtain=("https://github.com/BradyFU/Awesome-Multimodal-Large-Language-Models/tree/Evaluation (on request)",),
    licence="academic research only, not to be redistributed",
)


def _read(subtasks: Sequence[str], folder: Folder) -> Local:
    rows: list[dict[str, Any]] = []
    texts: list[Path] = []
    place = _unpacked(folder, subtasks[0])
    for subtask in subtasks:
        found, files = _subtask(subtask, Folder(folder.folder(f"{place}{subtask}")))
        if len(found) != COUNTS[subtask]:
            raise ValueError(
                f"{folder.path / place / subtask} holds {len(found)} questions instead of {COUNTS[subtask]}; unpack "
                "the official archive again"
            )
        rows += found
        texts += files
    mme.check_pairs({**row, "image": row["image_id"]} for row in rows)
    facts = {
        "documents": f"{len(rows):,} questions on {len(rows) // 2:,} images, {len(subtasks)} subtasks",
        "question files sha256": checksum(texts),
    }
    return Local(rows, facts)


def _unpacked(folder: Folder, subtask: str) -> str:
    """What stands before a subtask's name: nothing, or ``<folder of the archive>/`` where that is the only such one."""
    if (folder.path / subtask).is_dir():
        return ""
    outer = [path for path in sorted(folder.path.iterdir()) if (path / subtask).is_dir()]
    if len(outer) > 1:
        raise ValueError(
            f"{folder.path} has {subtask} in {len(outer)} folders: {', '.join(path.name for path in outer)}; keep one"
        )
    return f"{outer[0].name}/" if outer else ""


def _subtask(name: str, folder: Folder) -> tuple[list[dict[str, Any]], list[Path]]:
    below = "questions_answers_YN"
    texts = folder.folder(below) if (folder.path / below).is_dir() else folder.path
    images = folder.folder("images") if (folder.path / "images").is_dir() else folder.path
    rows = []
    files = [folder.file(str(path.relative_to(folder.path))) for path in Folder(texts).texts()]
    for path in files:
        image = next((images / (path.stem + end) for end in _IMAGES if (images / (path.stem + end)).is_file()), None)
        if image is None:
            raise Missing(f"{images} has no image {path.stem}.jpg or .png, which {path} asks about")
        place = image.relative_to(folder.path)
        rows += [
            {
                "question_id": f"{name}/{path.stem}/{number}",
                "question": question,
                "answer": label,
                "category": name,
                "image_id": image.name,
                "image_file": f"{name}/{place}",
                "image": folder.file(str(place)),
            }
            for number, (question, label) in enumerate(_questions(path), start=1)
        ]
    return rows, files


def _questions(path: Path) -> list[tuple[str, str]]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text (byte {error.start}); unpack the official archive again") from None
    questions = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        question, _, label = line.rpartition("\t")
        try:
            questions.append((question.strip(), yesno.label(label).capitalize()))
        except ValueError:
            raise ValueError(
                f"{path}, line {number} is {line!r}; a line is a question and Yes or No, with a tab between"
            ) from None
    if len(questions) != 2:
        raise ValueError(f"{path} holds {len(questions)} questions; an image has two, and is scored on both")
    return questions


def _converted(subtasks: Sequence[str], dataset: Any) -> Any:
    """The Hub's rows of some subtasks with the columns of `_read`."""
    chosen = dataset.filter(lambda category: category in subtasks, input_columns=["category"])
    names = [str(value).rpartition("/")[2] for value in chosen["question_id"]]
    kept = chosen.select_columns(["question_id", "question", "answer", "category", "image"]).add_column(
        "image_id", names
    )
    mme.check_pairs(
        {"category": category, "image": image, "question": question}
        for category, image, question in zip(kept["category"], kept["image_id"], kept["question"])
    )
    return kept


def _documents(subtasks: Sequence[str]) -> Documents:
    count = sum(COUNTS[subtask] for subtask in subtasks)
    hub = Hub(_REPOSITORY, "test", count, functools.partial(_converted, subtasks))
    return Documents(SOURCE, functools.partial(_read, subtasks), hub)


every = _documents(mme.SUBTASKS)
hallucination = _documents(mme.HALLUCINATION)

documents = {"all": every, "hallucination": hallucination}
"""The documents of all subtasks, and of the four about hallucination."""
