"""What decides a run's answers beside its settings: code, versions, cards, checkpoint; and how two of them differ.

Nothing here imports torch or a model. Contents are identified by SHA-256.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import os
import subprocess
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from registry.cards import built_in
from registry.installation import distribution
from registry.plugins import lazy

__all__ = ["changes", "checkpoint_files", "checkpoint_folder", "code", "git", "now", "of_methods", "versions"]

WHOLE = 16 * 2**20
"""Files up to this size enter a checkpoint's hash whole, larger ones by `BLOCKS` blocks of `BLOCK` bytes."""

BLOCKS, BLOCK = 256, 2**16

_CHECKPOINT = (".json", ".jinja", ".txt", ".model", ".tiktoken", ".py", ".safetensors", ".bin", ".pt", ".pth")
_PACKAGES = ("registry", "hallu_tasks", "hallu_models")
_CODE = (".py", ".yaml")
_BESIDE = ("lmms-eval", "transformers", "torch")


def now(method: str | None, pretrained: str) -> dict[str, Any]:
    """What a run of this method (None: the plain model) on this checkpoint would record now.

    `pretrained` is ``demo``, a folder, or a name on the Hub, whose contents are not known here. Raises what
    ``lazy.composition`` raises.
    """
    folder = checkpoint_folder(pretrained)
    root = distribution.root()
    return {
        "versions": versions(),
        "git": git(root),
        "code": code(root),
        "cards": of_methods(lazy.composition(method) if method else ()),
        "checkpoint_files": checkpoint_files(folder) if folder else None,
    }


def changes(recorded: Mapping[str, Any], current: Mapping[str, Any]) -> str | None:
    """``made by lmms-eval-hallu 0.1.0 commit abc1234, now commit def5678``; None where nothing has changed.

    Both are as `now` gives them; what only one of them knows of a checkpoint's files does not count. The same code at
    another commit is the same code. Where its hash was not recorded, as by older versions, it is the same at one commit
    without further changes.
    """
    if not recorded.get("versions"):
        return "its results do not say what made them"
    found = []
    if not _same_code(recorded, current):
        before, after = _label(recorded), _label(current)
        # Of two commits of one version the second is named alone.
        short = after.removeprefix(f"{before.partition(' commit ')[0]} ")
        found.append(f"made by {before}, now {short if before != after else 'by other changes'}")
    for name in _BESIDE:
        old, new = recorded["versions"].get(name), current["versions"].get(name)
        if old != new:
            found.append(f"made with {name} {old}, now {new}")
    if recorded.get("cards") != current["cards"]:
        found.append(f"made with {_cards(recorded.get('cards') or {})}, now {_cards(current['cards'])}")
    files = recorded.get("checkpoint_files"), current["checkpoint_files"]
    if None not in files and files[0] != files[1]:
        found.append(f"made with other files of the checkpoint {recorded.get('pretrained')}")
    return "; ".join(found) or None


def versions() -> dict[str, str]:
    """Of this package, lmms-eval, transformers and torch."""
    return {distribution.NAME: distribution.version(), **{name: metadata.version(name) for name in _BESIDE}}


def of_methods(names: Iterable[str]) -> dict[str, Any]:
    """For each method its card's version, or the distribution that brings it with its version."""
    return {name: built_in.load(name).version if name in built_in.names() else _origin(name) for name in names}


def checkpoint_folder(pretrained: str) -> Path | None:
    """Where a checkpoint lies, ``demo`` or a folder; None for a name on the Hub."""
    if pretrained == "demo":
        spec = importlib.util.find_spec("hallu_models")
        if spec is None or not spec.submodule_search_locations:
            return None
        return Path(next(iter(spec.submodule_search_locations))) / "demo" / "checkpoint"
    return Path(pretrained) if Path(pretrained).is_dir() else None


@functools.cache
def checkpoint_files(folder: Path) -> str:
    """SHA-256 over the names and contents of the files directly in a folder that a checkpoint consists of.

    Weights, configuration, tokenizer, templates, code, and what ``presets/`` holds for methods. Of a file above `WHOLE`
    bytes the size and `BLOCKS` evenly spread blocks count, the first and the last among them: reading every byte of a
    large model takes minutes. A process reads a folder once.
    """
    whole = hashlib.sha256()
    files = [path for path in folder.iterdir() if path.suffix in _CHECKPOINT] + list((folder / "presets").glob("*"))
    for path in sorted(path for path in files if path.is_file()):
        whole.update(f"{path.relative_to(folder).as_posix()} {_file(path)}\n".encode())
    return whole.hexdigest()


def code(root: Path) -> str:
    """SHA-256 over the code and the data files of the packages in `root`, committed or not."""
    whole = hashlib.sha256()
    for package in _PACKAGES:
        for path in sorted(path for path in (root / package).rglob("*") if path.suffix in _CODE):
            whole.update(
                f"{path.relative_to(root).as_posix()} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode()
            )
    return whole.hexdigest()


def git(root: Path) -> dict[str, Any] | None:
    """The last commit that changed the package's code, and whether files were changed since; None where unknown.

    `root` is the folder that holds the packages. One that merely lies inside another project's checkout, as an
    installed package does, has no commit of its own.
    """
    if not (root / ".git").exists():
        return None
    try:
        commit, changed = (
            subprocess.run(
                ["git", "-C", str(root), *command, "--", *_PACKAGES],
                capture_output=True,
                text=True,
                check=True,
                timeout=10,
                env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
            ).stdout.strip()
            for command in (("log", "-1", "--format=%H"), ("status", "--porcelain"))
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return {"commit": commit, "dirty": bool(changed)} if commit else None


def _label(made: Mapping[str, Any]) -> str:
    """``lmms-eval-hallu 0.1.0 commit abc1234 with uncommitted changes``."""
    source = made.get("git")
    text = f"{distribution.NAME} {made['versions'].get(distribution.NAME)}"
    if source:
        text += f" commit {source['commit'][:7]}" + (" with uncommitted changes" if source["dirty"] else "")
    return text


def _same_code(recorded: Mapping[str, Any], current: Mapping[str, Any]) -> bool:
    if recorded.get("code"):
        return bool(recorded["code"] == current["code"])
    dirty = any((made.get("git") or {}).get("dirty") for made in (recorded, current))
    return _label(recorded) == _label(current) and not dirty


def _cards(found: Mapping[str, Any]) -> str:
    """``card 1 of vhr``, or ``spotlight of mypackage 1.2``."""
    shown = (f"card {of} of {name}" if isinstance(of, int) else f"{name} of {of}" for name, of in found.items())
    return " and ".join(shown) or "no recorded card"


def _origin(name: str) -> str:
    """``mypackage 1.2`` for a method of another distribution."""
    return lazy.interventions().origin(name).partition(", entry point")[0]


def _file(path: Path) -> str:
    size = path.stat().st_size
    found = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        if size <= WHOLE:
            found.update(file.read())
        else:
            for number in range(BLOCKS):
                file.seek(number * (size - BLOCK) // (BLOCKS - 1))
                found.update(file.read(BLOCK))
    return found.hexdigest()
