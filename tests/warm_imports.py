"""What the processes of :mod:`warm` have in common."""

import lmms_eval.__main__
import lmms_eval.evaluator
import lmms_eval.tasks  # noqa: F401

import hallu_models.adapter
import hallu_models.interventions  # noqa: F401
