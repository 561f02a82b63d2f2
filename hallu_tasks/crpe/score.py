"""``hallu score crpe``: answers as CRPE's own script reads them."""

from __future__ import annotations

from hallu_tasks.choices.score import Form
from hallu_tasks.crpe import data
from hallu_tasks.crpe.benchmark import CRPE
from hallu_tasks.scoring import choices

__all__ = ["SCORER"]

SCORER = Form(CRPE, choices.CRPE, data.FILE, data.questions, "text", "exact").scorer(
    "which of four objects is in the image, right in all orders",
    """\
Which of four objects is in the image? A question counts when it is right in all four orders of its options.

FILE is a JSON list or JSONL of {"question_id": 0, "text": "A"}, as CRPE's own script reads it. Every question of
crpe_exist.jsonl must be answered.
""",
)
