"""The model class that lmms-eval runs, and what keeps a long run safe and its results traceable."""

from hallu_models.adapter.documents import DocumentError
from hallu_models.adapter.model import HalluModel

__all__ = ["DocumentError", "HalluModel"]
