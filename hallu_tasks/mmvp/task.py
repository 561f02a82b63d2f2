"""What MMVP's task calls, see `hallu_tasks.choices.task`."""

from __future__ import annotations

from hallu_tasks.choices.task import processor, scores
from hallu_tasks.scoring.choices import MMVP

process_results = processor(MMVP, "search")

pair_accuracy, accuracy, unparsed_count = scores(MMVP)
