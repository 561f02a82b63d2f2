"""The proof on the loaded model that what a method relies on holds there, and the small methods that make it."""

from hallu_models.self_check.proof import (
    BRANCH,
    ENGINES,
    Proof,
    SelfCheckFailed,
    check,
    engines_of,
    few_rows,
    is_proven,
    pictured,
    prove,
)

__all__ = [
    "BRANCH",
    "ENGINES",
    "Proof",
    "SelfCheckFailed",
    "check",
    "engines_of",
    "few_rows",
    "is_proven",
    "pictured",
    "prove",
]
