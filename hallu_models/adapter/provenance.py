"""What a run's results say about where they come from: code, command, machine, checkpoint and questions.

Everything here is JSON and costs seconds at most. Contents are identified by SHA-256.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import gather_object

import registry
from hallu_models.hosts.checkpoints import DEMO
from hallu_models.hosts.host import Host
from registry.runner import model_class
from registry.runner import requests as runner_requests
from registry.runner.requests import Instance
from registry.runs import source
from registry.runs.command_line import redacted


def of_process(processes: int) -> dict[str, Any]:
    """Python, the command line without secrets, the package's own environment variables, processes, git and code."""
    root = Path(registry.__file__).resolve().parents[1]
    variables = sorted(name for name in os.environ if name.startswith("HALLU_"))
    return {
        "python": platform.python_version(),
        "command": command(),
        "environment": {name: redacted([f"{name}={os.environ[name]}"])[0].partition("=")[2] for name in variables},
        "processes": processes,
        "machines": max(1, processes // int(os.environ.get("LOCAL_WORLD_SIZE", processes))),
        "git": source.git(root),
        "code": source.code(root),
    }


def of_model(host: Host, pretrained: str) -> dict[str, Any]:
    """The device, the Hub's commit of the checkpoint where there is one, and the hash of a folder's files."""
    device = host.device
    folder = DEMO if pretrained == "demo" else Path(pretrained)
    return {
        "device": device.type,
        "device_name": torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine(),
        "checkpoint_commit": host.commit,
        "checkpoint_files": source.checkpoint_files(folder) if folder.is_dir() else None,
    }


def of_questions(requests: Sequence[Instance], documents: Mapping[str, Any], processes: int) -> dict[str, Any]:
    """For each task the number of documents that are asked and one SHA-256 over all of them, whoever asks them.

    A document counts with its id, its prompt, and its columns, the answers among them; an image counts by its encoded
    bytes, in the data set or in the file whose absolute path a column holds. Columns with lists of media do not count.
    `documents` maps a task and a split to the data set. Every process has to call this.
    """
    found: dict[str, dict[str, str]] = {}
    rows: dict[tuple[str, str], Any] = {}
    for request in requests:
        context, _, _, doc_id, task, split = runner_requests.read(request)
        if (task, split) not in rows:
            rows[task, split] = _undecoded(model_class.documents(documents, task, split))
        asked = [doc_id, context, {name: _contents(value) for name, value in rows[task, split][doc_id].items()}]
        text = json.dumps(asked, sort_keys=True, default=_plain)
        found.setdefault(task, {})[f"{split} {doc_id}"] = hashlib.sha256(text.encode()).hexdigest()
    for part in gather_object([found]) if processes > 1 else []:
        for task, asked_there in part.items():
            found.setdefault(task, {}).update(asked_there)
    return {
        task: {
            "documents": len(asked),
            "sha256": hashlib.sha256("".join(asked[key] for key in sorted(asked)).encode()).hexdigest(),
        }
        for task, asked in sorted(found.items())
    }


def command() -> list[str]:
    """The command line of this process without secrets, as it can be typed."""
    program = Path(sys.argv[0])
    start = [program.name] if program.suffix != ".py" else ["python", sys.argv[0]]
    if program.name == "__main__.py":
        start = ["python", "-m", program.parent.name]
    return [*start, *redacted(sys.argv[1:])]


def _undecoded(documents: Any) -> Any:
    """The data set with media as stored: decoding them would take as long as a short run."""
    for name, feature in getattr(documents, "features", {}).items():
        if hasattr(feature, "decode"):
            documents = documents.cast_column(name, replace(feature, decode=False))
        elif hasattr(getattr(feature, "feature", None), "decode"):
            documents = documents.remove_columns(name)  # A list of media has no such view.
    return documents


def _contents(value: Any) -> Any:
    """A column's value without the place where a file lies on this machine."""
    if isinstance(value, dict) and value.keys() == {"bytes", "path"}:
        value = value["bytes"] or value["path"]
    if isinstance(value, str) and os.path.isabs(value) and os.path.isfile(value):
        return Path(value).read_bytes()
    return value


def _plain(value: Any) -> str:
    """What JSON does not know: bytes and pictures by their contents, anything else by its kind."""
    if isinstance(value, bytes):
        return hashlib.sha256(value).hexdigest()
    if hasattr(value, "tobytes"):
        return hashlib.sha256(value.tobytes()).hexdigest()
    return type(value).__name__
