"""Version ranges of our requirements, read from the installed metadata."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import metadata

from registry.installation import distribution

_REQUIREMENT = re.compile(r"\s*([A-Za-z0-9][\w.-]*)\s*(?:\[[^\]]*\])?\s*\(?([^;()]*)\)?\s*(;.*)?")
_CLAUSE = re.compile(r"(===|==|!=|~=|>=|<=|>|<)\s*([\w.*+!-]+)")


@dataclass(frozen=True)
class Requirement:
    """A distribution's name, normalised, and its range such as ``>=0.7.3,<0.8`` (empty for any version)."""

    name: str
    range: str


def requirements() -> list[Requirement]:
    """What the installed lmms-eval-hallu requires, optional extras left out; empty where it is not installed."""
    try:
        lines = metadata.requires(distribution.NAME) or []
    except metadata.PackageNotFoundError:
        return []
    found = [_REQUIREMENT.fullmatch(line) for line in lines]
    return [
        Requirement(normalised(match[1]), match[2].replace(" ", ""))
        for match in found
        if match and "extra" not in (match[3] or "")
    ]


def normalised(name: str) -> str:
    """A distribution's name as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def version(name: str) -> str | None:
    """Version of an installed distribution, None where there is none. Imports nothing of it."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def contains(range_text: str, version_text: str) -> bool:
    """Whether a version lies in a range. Compares release numbers; suffixes such as ``rc1`` do not count."""
    return all(_holds(operator, bound, version_text) for operator, bound in _CLAUSE.findall(range_text))


def _holds(operator: str, bound: str, version_text: str) -> bool:
    prefix = bound.endswith(".*")
    wanted = _release(bound.removesuffix(".*"))
    have = _release(version_text)
    if operator in ("==", "===", "!="):
        same = have[: len(wanted)] == wanted if prefix else _padded(have, wanted) == _padded(wanted, have)
        return same is not (operator == "!=")
    left, right = _padded(have, wanted), _padded(wanted, have)
    if operator == "~=":
        return left >= right and have[: len(wanted) - 1] == wanted[:-1]
    return {">=": left >= right, "<=": left <= right, ">": left > right, "<": left < right}[operator]


def _release(text: str) -> tuple[int, ...]:
    match = re.match(r"v?(\d+(?:\.\d+)*)", text.partition("!")[2] or text)
    return tuple(int(part) for part in match[1].split(".")) if match else (0,)


def _padded(release: tuple[int, ...], other: tuple[int, ...]) -> tuple[int, ...]:
    return release + (0,) * (len(other) - len(release))


def advice(names: Iterable[str]) -> str:
    """What is installed of these requirements, the ranges that were tested, and the command that installs them."""
    wanted = set(names)
    tested = [item for item in requirements() if item.name in wanted and item.range]
    have = ", ".join(f"{name} {version(name) or '(none)'}" for name in names)
    if not tested:
        return f"Installed: {have}."
    ranged = ", ".join(f"{item.name} {item.range}" for item in tested)
    command = " ".join(f"'{item.name}{item.range}'" for item in tested)
    return f"Installed: {have}. Tested with: {ranged}; to install these: pip install {command}"
