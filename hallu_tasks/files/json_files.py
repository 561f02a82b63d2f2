"""JSON files that are read whole, such as a benchmark's annotations."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

__all__ = ["load", "require"]


def require(path: str | os.PathLike[str], wanted: str) -> None:
    """Raise `ValueError` unless `path` is a file; `wanted` says what was expected there."""
    if not Path(path).is_file():
        problem = "is a folder" if Path(path).is_dir() else "does not exist"
        raise ValueError(f"{os.fspath(path)} {problem}; {wanted}")


def load(path: str | os.PathLike[str], again: str = "fetch it again") -> Any:
    """The content of a JSON file in UTF-8; `again` is the fix for one that is damaged.

    Raises `ValueError` that names the file for another encoding, invalid JSON, and what Python refuses to read: very
    deep nesting and numbers of thousands of digits. `OSError` as `open` does.
    """
    name = os.fspath(path)
    try:
        with open(name, encoding="utf-8-sig") as file:
            return json.load(file)
    except UnicodeDecodeError as error:
        raise ValueError(f"{name} is not UTF-8 text (byte {error.start}); save it as UTF-8") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"{name} is not valid JSON ({error}); it was cut off or edited, so {again}") from None
    except RecursionError:
        raise ValueError(f"{name} is nested too deeply to be read; it was edited, so {again}") from None
    except ValueError as error:
        raise ValueError(f"{name} holds a number that cannot be read ({error}); it was edited, so {again}") from None
