"""A method on a model: what acts where, what is kept from step to step, and one generation after another."""

from hallu_models.session.session import Images, Session

__all__ = ["Images", "Session"]
