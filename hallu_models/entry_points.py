"""What lmms-eval loads on every start: the manifests of our model ids. Imports no torch and never raises.

lmms-eval swallows the first exception of its plugin loop, and with it every plugin that comes later; so a fault here
is reported as a warning and leaves the others alone.
"""

from __future__ import annotations

import sys
from typing import Any

SENTINEL = "lmms-eval-hallu"


def manifests() -> list[Any]:
    """One manifest a model id, and lmms-eval's task search extended by our task folders."""
    try:
        import registry

        if getattr(registry, "SENTINEL", None) != SENTINEL:
            culprit = getattr(registry, "__file__", registry)
            return _refuse(f"{culprit} hides the registry package of lmms-eval-hallu; rename that file")

        from registry.plugins import model_ids
        from registry.runner import model_class
        from registry.task_search import task_folders

        task_folders.install_hook()
        return model_class.manifests((row.id, row.class_path) for row in model_ids.table().values())
    except Exception as error:  # A fault of ours must not hide the plugins that lmms-eval loads after us.
        return _refuse(f"{type(error).__name__}: {error}; run `hallu doctor`")


def _refuse(reason: str) -> list[Any]:
    print(f"lmms-eval-hallu: no models registered: {reason}", file=sys.stderr)
    return []
