"""The data folder: which files of a benchmark are there, and that they stay inside it."""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

__all__ = ["VARIABLE", "Folder", "Missing", "benchmark", "checksum", "root"]

VARIABLE = "HALLU_DATA"
"""The environment variable that names the data folder."""


class Missing(ValueError):
    """Data that are not there; every other problem with data is a plain `ValueError`."""


def root() -> Path | None:
    """The folder that ``HALLU_DATA`` names, ``None`` when it is unset; `ValueError` when it is no folder."""
    given = os.environ.get(VARIABLE)
    if not given:
        return None
    path = Path(os.path.expanduser(given))
    if not path.is_dir():
        problem = "is not a folder" if path.exists() else "does not exist"
        raise ValueError(f"{VARIABLE}={path} {problem}; name the folder that holds coco, pope, mme, ...")
    return path.absolute()


def benchmark(data: Path, name: str) -> Path | None:
    """The folder of a benchmark in the data folder, ``None`` when there is nothing of that name.

    Raises `ValueError` for a file and for a link that leads nowhere, which were meant to be the data.
    """
    path = data / name
    if path.is_dir():
        return path
    if not os.path.lexists(path):
        return None
    problem = "is not a folder" if path.exists() else f"is a link to {os.readlink(path)}, which does not exist"
    raise ValueError(f"{path} {problem}; put the folder of the benchmark there, or remove it")


class Folder:
    """A benchmark's own folder below the data folder.

    The folder itself may be a link to another disk. What lies in it may not lead out of it, so that an unpacked
    archive cannot make a run read other files.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def __repr__(self) -> str:
        return f"Folder({str(self.path)!r})"

    def beside(self, name: str) -> Folder:
        """The folder of another benchmark, whose images this one uses; `Missing` when there is none."""
        path = benchmark(self.path.parent, name)
        if path is None:
            raise Missing(f"{self.path.parent} has no folder {name}")
        return Folder(path)

    def anywhere(self, name: str) -> Path:
        """The one file called `name` at any depth below this folder; `Missing` for none, `ValueError` for several."""
        found = sorted(path for path in self.path.rglob(name) if path.is_file())
        if not found:
            raise Missing(f"{self.path} has no file {name}, at any depth")
        if len({checksum(path) for path in found}) > 1:
            raise ValueError(
                f"{self.path} has {len(found)} different files {name}: {', '.join(map(str, found))}; keep one"
            )
        return _whole(self._inside(found[0]))

    def file(self, *names: str) -> Path:
        """The first of `names` (relative paths) that is a file here; `Missing` names them all."""
        found = next((path for path in map(self.path.joinpath, names) if path.is_file()), None)
        if found is None:
            raise Missing(f"{self.path} has no {' and no '.join(names)}")
        return _whole(self._inside(found))

    def texts(self) -> list[Path]:
        """The ``.txt`` files here, in order of name, without those that macOS adds to archives (``._name.txt``)."""
        return [path for path in sorted(self.path.glob("*.txt")) if not path.name.startswith("._")]

    def folder(self, *names: str) -> Path:
        """The first of `names` that is a folder here; `Missing` names them all."""
        found = next((path for path in map(self.path.joinpath, names) if path.is_dir()), None)
        if found is None:
            raise Missing(f"{self.path} has no folder {' and no '.join(names)}")
        return self._inside(found)

    def images(self, folder: Path, names: Iterable[str]) -> dict[str, Path]:
        """The path of every image of `folder` by name; `Missing` says how many are absent and names the first."""
        wanted = list(dict.fromkeys(names))
        there = _listing(folder)
        absent = [name for name in wanted if name not in there and not (folder / name).is_file()]
        if absent:
            raise Missing(
                f"{folder} has {len(wanted) - len(absent)} of {len(wanted)} images; the first missing one is "
                f"{absent[0]}"
            )
        return {name: _whole(self._inside(folder / name, there)) for name in wanted}

    def _inside(self, path: Path, plain: frozenset[str] = frozenset()) -> Path:
        # A plain entry of a folder that was checked leads nowhere else; resolving 40,000 of them takes seconds.
        if path.name in plain:
            return path
        if not path.resolve().is_relative_to(self.path.resolve()):
            raise ValueError(
                f"{path} leads out of {self.path}, to {path.resolve()}; put the file itself there, or make {self.path} "
                "the link"
            )
        return path


def _whole(path: Path) -> Path:
    """The file, unless it is empty, as a full disk and an interrupted download leave it."""
    if not path.stat().st_size:
        raise ValueError(f"{path} is empty (0 bytes); fetch it again")
    return path


def _listing(folder: Path) -> frozenset[str]:
    """Names of the plain files of a folder, links left out."""
    with os.scandir(folder) as entries:
        return frozenset(entry.name for entry in entries if entry.is_file(follow_symlinks=False))


@functools.lru_cache(maxsize=256)
def _digest(path: str, size: int, changed: int) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def checksum(path: Path | Sequence[Path]) -> str:
    """The SHA-256 of a file's content, in hexadecimal; of several files, that of their digests in the order given."""
    if isinstance(path, Path):
        state = path.stat()
        return _digest(str(path), state.st_size, state.st_mtime_ns)
    return hashlib.sha256("\n".join(checksum(one) for one in path).encode()).hexdigest()
