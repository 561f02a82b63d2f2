"""Runs as a script in a process of its own: loads each entry point of the groups we share with others.

Reads ``{"path": sys.path, "groups": [...]}`` from standard input and writes one JSON line per entry point:
``{"group", "name", "error"}``, error null where it loads. A plugin may import torch, print, or end the
process; here that touches nobody else.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import sys
from typing import Any


def main() -> None:
    """Try every entry point and report it at once."""
    request = json.loads(sys.stdin.read())
    sys.path[:] = request["path"]
    # What plugins print goes to standard error; the answers keep standard output for themselves.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    from registry.plugins.discovery import plugins
    from registry.runner import names

    # Ours, like others, expects lmms-eval to be the one that imports it.
    with contextlib.suppress(BaseException):
        importlib.import_module(names.MODELS)
    for group in request["groups"]:
        for plugin in plugins(group):
            try:
                _use(group, plugin)
                error = None
            # The report of any failure, SystemExit included, is this script's purpose.
            except BaseException as problem:
                error = f"{type(problem).__name__}: {problem}"
            print(json.dumps({"group": group, "name": plugin.name, "error": error}), file=answers, flush=True)


def _use(group: str, plugin: Any) -> None:
    from registry.runner import names

    if group == names.TASK_GROUP:
        from registry.task_search.task_folders import plugin_folders

        plugin_folders(plugin)
        return
    loaded = plugin.load()
    if group == names.MODEL_GROUP:
        manifests = loaded() if callable(loaded) else loaded
        single = hasattr(manifests, "model_id")
        for manifest in [manifests] if single else manifests:
            if not hasattr(manifest, "model_id"):
                raise TypeError(f"{manifest!r} is not a ModelManifest")
    elif not isinstance(loaded, type):
        raise TypeError(f"{loaded!r} is not a class")


if __name__ == "__main__":
    main()
