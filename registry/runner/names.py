"""What lmms-eval is called where nothing of it is imported: package, programs, entry-point groups, folders, files."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

DISTRIBUTION = "lmms-eval"
PACKAGE = "lmms_eval"

PROGRAM = "lmms-eval"
MODULE = ("-m", PACKAGE)
PROGRAMS = ([PROGRAM], ["python", *MODULE])
"""How an evaluation is started, as a record of the command line begins."""

MODEL_GROUP = "lmms_eval.models"
"""Entry-point group whose entries give model manifests."""
TASK_GROUP = "lmms_eval.tasks"
"""Entry-point group of task folders. lmms-eval has none of its own; this is the name that it would have."""

MODELS = f"{PACKAGE}.models"
"""The module whose import loads the entry points of `MODEL_GROUP`."""
TASKS = f"{PACKAGE}.tasks"
"""The module of the task search."""

RESULTS = "_results.json"
"""How the name of a results file ends, after the run's date."""

LISTINGS = ("list", "list_groups", "list_tags", "list_subtasks")
"""Values of ``--tasks`` that list tasks and evaluate none."""

# What decides a run's results.
OPTIONS: Mapping[str, Any] = {
    "model": None, "model_args": "", "tasks": None, "num_fewshot": None, "batch_size": 1, "max_batch_size": None,
    "device": None, "limit": None, "offset": 0, "gen_kwargs": "", "repeats": 1, "system_instruction": None,
    "apply_chat_template": False, "fewshot_as_multiturn": False, "include_path": None, "seed": [0, 1234, 1234, 1234],
    "output_path": None, "log_samples": False,
}  # fmt: skip
"""Options of the command line with their defaults."""


def folder() -> Path | None:
    """Where the package lies, found without importing it; None where it is not installed."""
    try:
        spec = importlib.util.find_spec(PACKAGE)
    except ValueError:
        return None
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations)))


def task_files() -> Path | None:
    """The folder of lmms-eval's own tasks; None where it is not installed."""
    package = folder()
    return None if package is None else package / "tasks"


def samples_file(results: str, task: str) -> str:
    """The name of a task's sample file beside a results file of the name ``results``."""
    return f"{results.removesuffix(RESULTS)}_samples_{task}.jsonl"


def is_program(argv: Sequence[str]) -> bool:
    """Whether a process with this command line is lmms-eval's."""
    if not argv:
        return False
    program = Path(argv[0])
    return program.stem == PROGRAM or (program.name == "__main__.py" and program.parent.name == PACKAGE)


def reads_model_entries() -> bool:
    """Whether the installed lmms-eval's source names the entry-point group `MODEL_GROUP`. Imports nothing of it."""
    package = folder()
    files = [] if package is None else (package / "models").glob("*.py")
    return any(f'"{MODEL_GROUP}"' in file.read_text(encoding="utf-8", errors="replace") for file in files)
