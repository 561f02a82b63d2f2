"""``hallu score mmvp``: answers as MMVP's own script writes them, read without a judge."""

from __future__ import annotations

from hallu_tasks.choices.score import Form
from hallu_tasks.mmvp import data
from hallu_tasks.mmvp.benchmark import MMVP
from hallu_tasks.scoring import choices

__all__ = ["SCORER"]

SCORER = Form(MMVP, choices.MMVP, data.FILE, data.questions, "response", "search").scorer(
    "one question about two images that CLIP takes for alike, both right",
    """\
Does the model tell two images apart that CLIP takes for alike? A pair counts when both its answers are right.

FILE is a JSON list or JSONL of {"question_id": 1, "response": "A"}, as MMVP's own script writes it. Every question of
Questions.csv must be answered. The letter is read by a rule; the authors' grader asks GPT-4.
""",
)
