"""lmms-eval and ``hallu`` in processes forked from one that has imported them: a start takes a second, not fifteen.

Each is a process of its own, with folder, environment and output of its own, as on a command line. What changes what is
imported, such as another ``PYTHONPATH``, gets a fresh interpreter.
"""

from __future__ import annotations

import functools
import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from multiprocessing import forkserver
from pathlib import Path

CHANGES_IMPORTS = ("PYTHONPATH", "LMMS_EVAL_PLUGINS", "HALLU_TASKS", "HF_HOME", "HF_HUB_OFFLINE")

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["warm_imports"])


def started(
    command: Sequence[str], cwd: Path, changes: Mapping[str, str], timeout: float = 900
) -> subprocess.CompletedProcess[str]:
    """As :func:`subprocess.run` with captured text, under this process's environment with ``changes``.

    Raises TimeoutExpired.
    """
    environment = {**os.environ, **changes}
    # With -m the folder's own modules are imported before all others.
    shadowed = "-m" in command[:2] and any(Path(cwd).glob("*.py"))
    if (program := _program(command)) is None or shadowed or not _same_imports(changes):
        return subprocess.run(
            command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=timeout, check=False
        )
    _start()
    with tempfile.TemporaryDirectory() as folder:
        files = [str(Path(folder) / name) for name in ("stdout", "stderr")]
        process = _FORKS.Process(target=_called, args=(program, list(command), str(cwd), environment, files))
        process.start()
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired(command, timeout)
        stdout, stderr = (Path(file).read_text(errors="replace") for file in files)
    return subprocess.CompletedProcess(command, process.exitcode, stdout, stderr)


def _program(command: Sequence[str]) -> str | None:
    """What is called, where it is one of those that can be forked."""
    if Path(command[0]).name in ("lmms-eval", "hallu"):
        return Path(command[0]).name
    module = command[2] if list(command[:2]) == [sys.executable, "-m"] else None
    return module if module in ("lmms_eval", "registry.evaluation") else None


def _same_imports(changes: Mapping[str, str]) -> bool:
    return all(changes.get(name, os.environ.get(name)) == os.environ.get(name) for name in CHANGES_IMPORTS)


@functools.cache
def _start() -> None:
    """Start what is forked from, where :mod:`warm_imports` is found."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(Path(__file__).parent), before]))
    try:
        forkserver.ensure_running()
    finally:
        del os.environ["PYTHONPATH"]
        if before is not None:
            os.environ["PYTHONPATH"] = before


def _called(program: str, command: list[str], cwd: str, environment: dict[str, str], files: list[str]) -> None:
    for number, file in zip((1, 2), files):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT), number)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(cwd)
    sys.argv = command[2:] if command[1:2] == ["-m"] else command
    if program == "hallu":
        from registry.commands import cli

        sys.exit(cli.main())
    if program == "registry.evaluation":
        from registry.evaluation import process

        sys.exit(process.main(sys.argv[1:]))
    from lmms_eval.cli import dispatch

    dispatch.main()
