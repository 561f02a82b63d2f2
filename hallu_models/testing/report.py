"""What was tried of a method on which model family, and the error where something does not hold."""

from __future__ import annotations

from dataclasses import dataclass, field


class ContractFailed(AssertionError):
    """A method does not keep its contract; the message names family, check, and what differs."""

    def __init__(self, method: str, family: str, check: str, problem: str) -> None:
        super().__init__(f"{method} on the family {family}, {check}: {problem}")
        self.method, self.family, self.check, self.problem = method, family, check, problem


@dataclass
class Report:
    """checks: those that passed, by family. refused: why no method of this kind can act, by family."""

    method: str
    checks: dict[str, tuple[str, ...]] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        width = max(map(len, (*self.checks, *self.refused)), default=0)
        lines = [f"{self.method} keeps its contract on {len(self.checks)} families"]
        lines += [f"  {family:{width}}  {', '.join(passed)}" for family, passed in self.checks.items()]
        lines += [f"  {family:{width}}  refused: {reason}" for family, reason in self.refused.items()]
        return "\n".join(lines)
