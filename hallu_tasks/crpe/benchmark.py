"""CRPE's records and metrics: questions that are right in all orders of their options."""

from __future__ import annotations

from hallu_tasks.choices.benchmark import benchmark
from hallu_tasks.scoring import choices

__all__ = ["CRPE"]

CRPE = benchmark("crpe", "CRPE existence", choices.CRPE, "circular accuracy", "image", "image_id")
