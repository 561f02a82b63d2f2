"""``python -m hallu_tasks`` prints the folder to give to lmms-eval's ``--include_path``."""

from __future__ import annotations

from hallu_tasks import path

if __name__ == "__main__":
    print(path())
