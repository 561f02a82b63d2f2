"""What a batch is worth: documents per second through the class that lmms-eval runs, batch 16 against batch 1."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet
from forwards import PROMPT
from lmms_eval.api.instance import Instance
from loguru import logger
from pairs import Bound, Row, pairs, ratio_row

import hallu_tasks.demo
from hallu_models import models
from hallu_models.adapter import HalluModel
from hallu_tasks.demo import task as demo

BATCH = 16
BOUNDS = {"base": 4.0, "vhr": 4.0}
"""Smallest speed-up of batch 16, by method."""

GREEDY = {"temperature": 0, "do_sample": False, "until": []}


def rows(methods: Sequence[str], *, documents: int, repeats: int) -> list[Row]:
    """The control arm and every method, on this many captions and as many yes/no questions of the demo tasks."""
    logger.remove()
    logger.add(sys.stderr, level="WARNING")
    tasks = _tasks(documents)
    with _own_recovery_folder():
        return [_row(method, tasks, repeats) for method in ("base", *methods)]


def _row(method: str, tasks: Mapping[str, tuple[list[dict[str, Any]], dict[str, Any]]], repeats: int) -> Row:
    measurement, where = f"documents/s, batch {BATCH} / batch 1", f"llava_{method} on demo tasks"
    single, batched = (
        getattr(models, f"llava_{method}")(pretrained="demo", device="cpu", batch_size=size) for size in (1, BATCH)
    )
    few = {name: (docs[:2], options) for name, (docs, options) in tasks.items()}
    try:
        for model in (single, batched):
            _documents_per_second(model, few)
    except (RuntimeError, NotImplementedError) as error:
        return Row(measurement, where, note=str(error))
    speeds = pairs(
        lambda: _documents_per_second(single, tasks),
        {method: lambda: _documents_per_second(batched, tasks)},
        repeats,
        where,
    )[method]
    bound = Bound(BOUNDS[method], at_least=True) if method in BOUNDS else None
    return ratio_row(measurement, where, speeds, "/s", bound)


def _tasks(documents: int) -> dict[str, tuple[list[dict[str, Any]], dict[str, Any]]]:
    """Documents and generation options of the demo's caption and POPE tasks."""
    folder = Path(hallu_tasks.demo.__file__).parent
    questions = pyarrow.parquet.read_table(folder / "pope.parquet", columns=["image_id", "question"]).to_pylist()
    return {
        "captions": (
            [{"image_id": n, "text": PROMPT} for n in range(documents)],
            {**GREEDY, "max_new_tokens": 64},
        ),
        "questions": (
            [{"image_id": row["image_id"], "text": row["question"]} for row in questions[:documents]],
            {**GREEDY, "max_new_tokens": 8},
        ),
    }


def _messages(doc: Mapping[str, Any]) -> list[dict[str, Any]]:
    content = [{"type": "image", "url": demo.visual(doc)[0]}, {"type": "text", "text": doc["text"]}]
    return [{"role": "user", "content": content}]


def _documents_per_second(model: HalluModel, tasks: Mapping[str, tuple[list[dict[str, Any]], dict[str, Any]]]) -> float:
    requests = []
    for name, (docs, options) in tasks.items():
        model.task_dict[name] = {"test": docs}
        requests += [
            Instance(
                request_type="generate_until",
                arguments=(doc["text"], _messages, dict(options), index, name, "test"),
                idx=0,
                metadata={"task": name, "doc_id": index, "repeats": 1},
            )
            for index, doc in enumerate(docs)
        ]
    # The adapter's own progress bar would break up this benchmark's.
    with contextlib.redirect_stderr(io.StringIO()):
        began = time.perf_counter()
        model.generate_until(requests)
        seconds = time.perf_counter() - began
    return len(requests) / seconds


@contextlib.contextmanager
def _own_recovery_folder() -> Iterator[None]:
    """No answers of an unfinished run of the user's are taken over, and none are left behind."""
    before = os.environ.get("HALLU_RECOVERY")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["HALLU_RECOVERY"] = folder
        try:
            yield
        finally:
            if before is None:
                del os.environ["HALLU_RECOVERY"]
            else:
                os.environ["HALLU_RECOVERY"] = before
