"""Read the folder of results that MME's published code writes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hallu_tasks.files import rows
from hallu_tasks.scoring import mme, yesno
from hallu_tasks.scoring.keyed import name_some

__all__ = ["results", "with_margins"]

LINE = "image, question, Yes or No, prediction, with tabs between them"


MARGINS = 'give a JSON list or JSONL of {"category": "existence", "image": ..., "question": ..., "margin": 1.25}'


def results(folder: str) -> list[dict[str, Any]]:
    """Return the records that `mme.score` takes from a folder of ``<subtask>.txt`` files.

    A line is image, question, Yes or No and the prediction, separated by tabs; a prediction may hold tabs.
    Files that macOS adds to archives (``._name.txt``) are left out. Raises `ValueError` that names file and line
    for a missing folder, a file that is no subtask, a line with fewer fields, a label that is neither yes nor no,
    a question that is repeated, a third one about an image, and one without its partner.
    """
    place = Path(folder)
    if not place.is_dir():
        problem = "is a file" if place.exists() else "does not exist"
        raise ValueError(f"{folder} {problem}; --results takes the folder of MME's <subtask>.txt files")
    files = {file.stem: file for file in sorted(place.glob("*.txt")) if not file.name.startswith("._")}
    if not files:
        raise ValueError(f"{folder} holds no <subtask>.txt; allowed: {', '.join(mme.SUBTASKS)}")
    unknown = [file.name for name, file in files.items() if name not in mme.SUBTASKS]
    if unknown:
        raise ValueError(
            f"{folder} holds files that are no subtask of MME: {name_some(unknown)}; allowed, each with .txt: "
            f"{', '.join(mme.SUBTASKS)}; move other files elsewhere"
        )
    return [record for name in mme.SUBTASKS if name in files for record in _subtask(name, files[name])]


def with_margins(records: Sequence[Mapping[str, Any]], path: str) -> list[dict[str, Any]]:
    """Return the records with the ``margin`` that a file holds for each; it is matched by subtask, image and question.

    Raises `ValueError` that names file and line for a damaged file, a margin that is no number, one that occurs twice,
    and one of another question, and counts the answers without one.
    """
    found: dict[tuple[str, str, str], float] = {}
    known = {(one["category"], one["image"], one["question"]) for one in records}
    for row in rows.read(path, MARGINS):
        category, image, question = (row.words(name, MARGINS) for name in ("category", "image", "question"))
        key, margin = (category, image, question), row.number("margin", MARGINS)
        problem = "occurs twice" if key in found else "is no question of the results" if key not in known else ""
        if problem or margin is None:
            raise ValueError(f"{row.place}: {key!r} {problem or 'has no margin'}; {MARGINS}")
        found[key] = margin
    if len(found) < len(known):
        raise ValueError(f"{path} has margins of {len(found)} of {len(known)} answers; {MARGINS}, of every answer")
    return [{**one, "margin": found[one["category"], one["image"], one["question"]]} for one in records]


def _subtask(name: str, file: Path) -> list[dict[str, Any]]:
    records = []
    asked: defaultdict[str, dict[str, int]] = defaultdict(dict)
    lines = rows.text(str(file), f"a line is {LINE}").split("\n")
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        fields = line.removesuffix("\r").split("\t", 3)
        if len(fields) < 4:
            raise ValueError(
                f"{file}, line {number} has {len(fields)} of 4 fields; a line is {LINE}; write a line break "
                "inside a prediction as a space"
            )
        image, question, answer, prediction = fields
        try:
            yesno.label(answer)
        except ValueError as error:
            raise ValueError(f"{file}, line {number}: {error}; a line is {LINE}") from None
        _require_new(question, image, asked[image], f"{file}, line {number}")
        asked[image][question] = number
        records.append(
            {"image": image, "category": name, "question": question, "answer": answer, "prediction": prediction}
        )
    if not records:
        raise ValueError(f"{file} is empty; a line is {LINE}")
    try:
        mme.check_pairs(records)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from None
    return records


def _require_new(question: str, image: str, asked: Mapping[str, int], place: str) -> None:
    """Raise `ValueError` for a question after those `asked` about an image, with their lines, that is one too many."""
    if question in asked:
        raise ValueError(
            f"{place} repeats line {asked[question]}, {question!r} about {image!r}; keep one answer to each question"
        )
    if len(asked) == 2:
        first, second = asked.values()
        raise ValueError(
            f"{place} is a third question about {image!r}, after lines {first} and {second}; an image has two, so keep "
            "those of the benchmark"
        )
