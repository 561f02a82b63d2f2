"""The documents of one task: read from the data folder, else from the Hub, and checked while they are read."""

from __future__ import annotations

import importlib
import posixpath
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hallu_tasks.data.folder import VARIABLE, Folder, Missing, benchmark, root

if TYPE_CHECKING:
    from datasets import Dataset

__all__ = ["Documents", "Hub", "Local", "Source", "Unavailable"]


class Unavailable(ValueError):
    """A task's data are neither in the data folder nor to be had from the Hub; the message names every way out."""


@dataclass(frozen=True)
class Source:
    """What a person must know of a benchmark's data.

    `folder` is the subfolder of the data folder, `layout` the paths below it, `obtain` where the files are,
    `licence` the terms of annotations and images.
    """

    folder: str
    title: str
    layout: tuple[str, ...]
    obtain: tuple[str, ...]
    licence: str

    @property
    def paths(self) -> tuple[str, ...]:
        """`layout` below the data folder: images may lie in the folder of another benchmark."""
        return tuple(posixpath.normpath(f"{self.folder}/{line}") for line in self.layout)


@dataclass(frozen=True)
class Local:
    """What a reader found in the data folder.

    `rows` are the documents, with the path of the image under ``image``; `facts` are counts and digests by name, for
    ``hallu data check``.
    """

    rows: list[dict[str, Any]]
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Hub:
    """A data set on the Hub; `convert` gives its rows the columns that the local reader makes.

    `revision` is a branch, a tag or a commit. What comes is checked by `count` and by `convert`.
    """

    repository: str
    split: str
    count: int
    convert: Callable[[Any], Any]
    revision: str = "main"


@dataclass(frozen=True)
class Prepared:
    """The documents as a data set; `origin` is a folder, or a data set of the Hub with its commit."""

    dataset: Any
    origin: str
    facts: Mapping[str, str]

    @property
    def provenance(self) -> str:
        """What tells these documents from others, without naming a path of this machine."""
        digests = [f"{name} {value[:16]}" for name, value in self.facts.items() if name.endswith("sha256")]
        return ", ".join(digests) or self.origin


class Documents:
    """Reads the documents of one task; an object of this kind is what a task's ``process_docs`` names.

    lmms-eval hands it a placeholder, the one data set that is always there, and gets the real documents back.
    """

    def __init__(self, source: Source, read: Callable[[Folder], Local], hub: Hub | None = None) -> None:
        self.source = source
        self.hub = hub
        self._read = read
        self._prepared: dict[str, Prepared] = {}

    def __repr__(self) -> str:
        """What lmms-eval writes into its results: with the origin once the documents are read."""
        read = [f", {one.provenance}" for one in self._prepared.values()]
        return f"<documents of {self.source.title}{''.join(read[-1:])}>"

    def __deepcopy__(self, memo: object) -> Documents:
        # lmms-eval copies a task's configuration into its results.
        return self

    def __call__(self, placeholder: Dataset) -> Any:
        from loguru import logger  # late: commands that read results have no log to write

        prepared = self.prepare()
        logger.info(f"{self.source.title}: {len(prepared.dataset):,} documents from {prepared.origin}")
        return prepared.dataset

    def prepare(self) -> Prepared:
        """Read and check the documents, once a process.

        Raises `Unavailable` when there are none, `ValueError` that names file and entry when they are not right.
        A benchmark's folder that is there counts, also when the Hub has the data.
        """
        folder = self.folder()
        key = str(folder) if folder else ""
        if key not in self._prepared:
            self._prepared[key] = self._from_hub() if folder is None else self._from_folder(folder)
        return self._prepared[key]

    def folder(self) -> Folder | None:
        """The benchmark's folder, ``None`` where there is none; without a Hub data set it has to be there."""
        data = root()
        place = benchmark(data, self.source.folder) if data else None
        if place is None and self.hub is None:
            raise Unavailable(self._message(self._absent(data)))
        return Folder(place) if place else None

    def local(self, folder: Folder) -> Local:
        """What the reader finds in a folder."""
        try:
            return self._read(folder)
        except Missing as error:
            raise Unavailable(self._message(str(error))) from None
        except OSError as error:
            raise ValueError(f"{error.filename} cannot be read: {error.strerror}") from None

    def _from_folder(self, folder: Folder) -> Prepared:
        datasets = importlib.import_module("datasets")
        found = self.local(folder)
        rows = [
            {name: str(value) if isinstance(value, Path) else value for name, value in row.items()}
            for row in found.rows
        ]
        dataset = datasets.Dataset.from_list(rows)
        if "image" in dataset.features:
            dataset = dataset.cast_column("image", datasets.Image())
        return Prepared(dataset, str(folder.path), found.facts)

    def _from_hub(self) -> Prepared:
        assert self.hub is not None
        datasets = importlib.import_module("datasets")
        hub = self.hub
        try:
            loaded = datasets.load_dataset(hub.repository, split=hub.split, revision=hub.revision)
        # Whatever the network, the cache and the Hub raise: the way out is the same.
        except Exception as error:
            place = self._absent(root())
            first = (str(error).strip().splitlines() or [""])[0]
            problem = (
                f"{place}, and {hub.repository} could not be loaded from the Hub ({type(error).__name__}: {first})"
            )
            raise Unavailable(self._message(problem)) from error
        dataset = hub.convert(loaded)
        if len(dataset) != hub.count:
            raise ValueError(
                f"{hub.repository}, split {hub.split}, gives {len(dataset)} documents of {self.source.title}, not "
                f"{hub.count}; the data set has changed, so put the official files into {VARIABLE}/{self.source.folder}"
            )
        return Prepared(
            dataset, f"Hub {hub.repository}@{_commit(loaded) or hub.revision}", {"documents": f"{len(dataset):,}"}
        )

    def _absent(self, data: Path | None) -> str:
        return f"{data} has no folder {self.source.folder}" if data else f"{VARIABLE} is not set"

    def _message(self, problem: str) -> str:
        layout = "".join(f"\n  {line}" for line in self.source.paths)
        obtain = "".join(f"\n  {line}" for line in self.source.obtain)
        connected = f"; or connect once, so that {self.hub.repository} is fetched from the Hub" if self.hub else ""
        return (
            f"{self.source.title} is not available: {problem}. {VARIABLE} names a folder with{layout}\nfrom{obtain}\n"
            f"`hallu data check` says what is missing{connected}"
        )


def _commit(dataset: Any) -> str | None:
    """The commit that a data set from the Hub was loaded from: its files are called ``hf://...@<commit>/...``."""
    for name in dataset.info.download_checksums or ():
        if "@" in name:
            return str(name).split("@", 1)[1].split("/", 1)[0]
    return None
