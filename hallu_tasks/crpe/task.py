"""What CRPE's task calls, see `hallu_tasks.choices.task`."""

from __future__ import annotations

from hallu_tasks.choices.task import processor, scores
from hallu_tasks.scoring.choices import CRPE

process_results = processor(CRPE, "exact")

circular_accuracy, accuracy, unparsed_count = scores(CRPE)
