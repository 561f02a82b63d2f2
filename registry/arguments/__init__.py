"""Arguments in ``--model_args``: sorted by method, coerced to their types, checked against the cards."""

from registry.moved import former

__getattr__ = former(__name__)
