"""What the plugin adds to every start of lmms-eval, ``import lmms_eval.models`` in a fresh process."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time

from pairs import Bound, Row, difference_row, pairs

BOUND = 0.15
"""Seconds."""

# Both arms run the same text, so that the filter itself costs both the same.
SCRIPT = """
import sys
from importlib import metadata

hidden = "hallu_models" if sys.argv[1] == "without" else "no such module"
select = metadata.EntryPoints.select

def filtered(self, **params):
    found = select(self, **params)
    return metadata.EntryPoints(
        point for point in found if point.group != "lmms_eval.models" or not point.value.startswith(hidden)
    )

metadata.EntryPoints.select = filtered
import lmms_eval.models
print(int("llava_base" in lmms_eval.models.list_available_models()), int("torch" in sys.modules))
"""


def rows(*, repeats: int) -> list[Row]:
    """One row. Raises RuntimeError if an arm is not what it is called, or the entry point imports torch."""
    _check()
    seconds = pairs(lambda: _seconds("without"), {"with": lambda: _seconds("with")}, repeats, "start-up")["with"]
    note = "no torch is imported through the entry point"
    return [difference_row("import lmms_eval.models, with plugin - without", "start-up", seconds, Bound(BOUND), note)]


def _check() -> None:
    """Also the warm-up: byte code is compiled and files are read."""
    plain_has_models, plain_has_torch = _run("without")
    has_models, has_torch = _run("with")
    if plain_has_models or not has_models:
        raise RuntimeError(
            "start-up: the model ids must be there with the plugin and gone without it; "
            f"found {json.dumps({'with': has_models, 'without': plain_has_models})}. Is lmms-eval-hallu installed?"
        )
    if has_torch and not plain_has_torch:
        raise RuntimeError("start-up: the entry point of lmms-eval-hallu imports torch")


def _seconds(arm: str) -> float:
    began = time.perf_counter()
    _run(arm)
    return time.perf_counter() - began


def _run(arm: str) -> tuple[bool, bool]:
    """Whether our model ids are known, and whether torch is loaded, in a fresh interpreter in an empty folder."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, arm], cwd=folder, capture_output=True, text=True, check=True
        )
    has_models, has_torch = done.stdout.split()[-2:]
    return has_models == "1", has_torch == "1"
