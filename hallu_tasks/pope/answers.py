"""Read POPE's question files of either release, and a model's answer files."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path

from hallu_tasks.estimates.discrimination import MARGIN
from hallu_tasks.files import rows
from hallu_tasks.files.image_names import image_number
from hallu_tasks.scoring import pope, yesno

__all__ = ["ANSWERS", "Key", "PopeAnswer", "PopeQuestion", "answers", "image", "plain", "questions"]

Key = tuple[str, int, str]
"""Strategy, question id and text, see `pope.question_key`."""

QUESTIONS = (
    'give a question file of the benchmark, e.g. coco_pope_random.json: JSONL or a JSON list of {"question_id": 1, '
    '"image": "COCO_val2014_000000310196.jpg", "text": "Is there a snowboard in the image?", "label": "yes"}'
)
ANSWERS = (
    'give a JSON list or JSONL of {"question_id": 1, "text": "Yes"}, best with the question under "prompt", or of '
    '{"question": "Is there ...?", "answer": "Yes"}, best with "question_id"'
)


@dataclass(frozen=True)
class PopeQuestion:
    """One question; `key` is that of `pope.question_key`, `image` an id where the file name `file` holds one."""

    place: str
    key: Key
    image: Hashable
    label: str
    file: str


@dataclass(frozen=True)
class PopeAnswer:
    """One answer; `number` is the question id, `asked` the question's text, both ``None`` where not recorded."""

    place: str
    number: int | None
    asked: str | None
    image: Hashable | None
    text: str
    margin: float | None = None


def questions(path: str, strategy: str) -> dict[int, PopeQuestion]:
    """Return the questions of a file by question id; the "imange" typo of older files is undone.

    Raises `ValueError` that names file and line for a missing or damaged file, missing keys, an unknown label, and
    a question id that occurs twice.
    """
    result: dict[int, PopeQuestion] = {}
    for row in rows.read(path, QUESTIONS, "fetch it again"):
        number = _number(row, QUESTIONS)
        if number in result:
            raise ValueError(f"{row.place}: question_id {number} occurs also in {result[number].place}; {QUESTIONS}")
        key = pope.question_key(strategy, number, row.words("text", QUESTIONS))
        given = row.get("label", QUESTIONS)
        try:
            label = yesno.label(given)
        except ValueError as error:
            raise ValueError(f"{row.place}: {error}") from None
        file = row.get("image", QUESTIONS)
        result[number] = PopeQuestion(row.place, key, image(file), label, str(file))
    return result


def answers(path: str) -> list[PopeAnswer]:
    """Return the answers of a file in either form, ``question_id`` and ``text`` or ``question`` and ``answer``.

    Raises `ValueError` that names file and line for a missing or damaged file, missing keys, an answer that is no
    text, a question id that occurs twice, and rows with and without an id in one file.
    """
    result: list[PopeAnswer] = []
    places: dict[int, str] = {}
    for row in rows.read(path, ANSWERS):
        # Beside an answer, the text is the question's; alone, it is the answer.
        answer_key = "answer" if "answer" in row.fields else "text"
        question_keys = [key for key in ("question", "prompt", "text") if key in row.fields and key != answer_key]
        said = row.words(answer_key, ANSWERS)
        asked = row.words(question_keys[0], ANSWERS) if question_keys else None
        number = _number(row, ANSWERS) if "question_id" in row.fields or asked is None else None
        shown = image(row.fields["image"]) if "image" in row.fields else None
        if result and (number is None) != (result[0].number is None):
            without, having = (row.place, result[0].place) if number is None else (result[0].place, row.place)
            raise ValueError(f"{without} has no question_id, but {having} has one; write it in every line or in none")
        if number is not None:
            if number in places:
                raise ValueError(
                    f"{row.place}: question_id {number} occurs also in {places[number]}; keep one answer, and one file "
                    "a strategy"
                )
            places[number] = row.place
        result.append(PopeAnswer(row.place, number, asked, shown, said, row.number("margin", MARGIN)))
    return result


def _number(row: rows.Row, fix: str) -> int:
    value = row.get("question_id", fix)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    # Python reads no numbers of thousands of digits.
    if isinstance(value, str) and re.fullmatch(r"\s*\d{1,20}\s*", value):
        return int(value)
    raise ValueError(f"{row.place}: question_id must be a whole number, got {reprlib.repr(value)}; {fix}")


def image(value: object) -> Hashable:
    """What tells an image from others: the id in its file name, else the name without folders."""
    number = image_number(value)
    return Path(str(value)).name if number is None else number


def plain(text: str) -> str:
    """A question's text for comparison: blanks, case and the known typo do not matter."""
    return pope.question_key("", 0, text)[2].casefold()
