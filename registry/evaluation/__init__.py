"""lmms-eval with an exit status that tells the truth. ``python -m registry.evaluation`` takes its arguments."""

from registry.moved import former

__getattr__ = former(__name__)
