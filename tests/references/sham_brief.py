"""sham_brief: what ends an answer is likelier from the second token on."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from hallu_models.testing import Row


def reference(method: Any, row: Row) -> Tensor:
    own = row.answers(row.forward()).clone()
    own[1:, row.host.tokens.eos_token_id] += method.bias
    return own
