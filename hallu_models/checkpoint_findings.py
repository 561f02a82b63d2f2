"""What ``hallu doctor`` finds about a checkpoint."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hallu_models import loading
from hallu_models.engines.branches import Mode
from hallu_models.hosts.host import UnsupportedModel
from hallu_models.self_check import BRANCH, ENGINES, SelfCheckFailed, check


def findings(arguments: Mapping[str, Any]) -> Iterator[tuple[bool, str, str, str]]:
    """Whether each engine holds on a checkpoint, its name, what was found, and what mends it.

    ``arguments`` are those of :func:`hallu_models.load`.
    """
    host = loading.load(**arguments)
    # Where no attention can be acted on, predictions can still be contrasted.
    ways: list[tuple[str, Mode | None]] = [] if host.closed else [(one, None) for one in ENGINES if one != BRANCH]
    for engine, branch in [*ways, (BRANCH, "paired"), (BRANCH, "sequential")]:
        name = f"{engine}, {branch}" if branch else engine
        try:
            proof = check(host, (engine,), branch)
        except UnsupportedModel as error:
            yield True, name, f"methods that use it are refused: {error}", ""
        except SelfCheckFailed as error:
            said, _, advice = str(error).partition("\n")
            yield False, name, said, advice
        else:
            yield True, name, f"holds, to {proof.largest:.1e} of the logits' range ({proof.seconds:.1f} s)", ""
