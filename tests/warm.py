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

LAUNCHER = "torch.distributed.run"
CHANGES_IMPORTS = ("PYTHONPATH", "LMMS_EVAL_PLUGINS", "HALLU_TASKS", "HF_HOME", "HF_HUB_OFFLINE")

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["warm_imports"])


def started(
    command: Sequence[str], cwd: Path, changes: Mapping[str, str], timeout: float = 900, added: Sequence[Path] = ()
) -> subprocess.CompletedProcess[str]:
    """As :func:`subprocess.run` with captured text, under this process's environment with ``changes``.

    added: folders in front of the path, of packages that nothing has imported yet. Raises TimeoutExpired.
    """
    # With -m the folder's own modules are imported before all others.
    shadowed = "-m" in command[:2] and any(Path(cwd).glob("*.py"))
    if _program(command) is None or shadowed or not _same_imports(changes):
        return subprocess.run(
            command,
            cwd=cwd,
            env=_environment(changes, added),
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
    with tempfile.TemporaryDirectory() as folder:
        stdout, stderr = (Path(folder) / name for name in ("stdout", "stderr"))
        process = Process(command, cwd, changes, stdout, stderr, added)
        try:
            code = process.wait(timeout)
        finally:
            process.kill()
        return subprocess.CompletedProcess(
            command, code, stdout.read_text(errors="replace"), stderr.read_text(errors="replace")
        )


class Process:
    """A forked ``lmms-eval``, ``hallu`` or ``python -m`` of them that is going on, with what Popen has."""

    def __init__(
        self,
        command: Sequence[str],
        cwd: Path,
        changes: Mapping[str, str],
        stdout: Path,
        stderr: Path,
        added: Sequence[Path] = (),
    ) -> None:
        _start()
        self.args = list(command)
        given = (_program(command), self.args, str(cwd), _environment(changes, added), [str(stdout), str(stderr)])
        self._process = _FORKS.Process(target=_called, args=(*given, list(map(str, added))))
        self._process.start()

    def poll(self) -> int | None:
        """The exit status, None while it runs."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """The exit status, once there is one. Raises TimeoutExpired."""
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return self._process.exitcode

    def kill(self) -> None:
        """End it at once, if it is still there."""
        self._process.kill()
        self._process.join()


def _program(command: Sequence[str]) -> str | None:
    """What is called, where it is one of those that can be forked."""
    if Path(command[0]).name in ("lmms-eval", "hallu"):
        return Path(command[0]).name
    module = command[2] if list(command[:2]) == [sys.executable, "-m"] else None
    return module if module in ("lmms_eval", "registry.evaluation", LAUNCHER) else None


def _same_imports(changes: Mapping[str, str]) -> bool:
    return all(changes.get(name, os.environ.get(name)) == os.environ.get(name) for name in CHANGES_IMPORTS)


def _environment(changes: Mapping[str, str], added: Sequence[Path]) -> dict[str, str]:
    environment = {**os.environ, **changes}
    if added:
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [*map(str, added), environment.get("PYTHONPATH")]))
    return environment


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


def _called(
    program: str, command: list[str], cwd: str, environment: dict[str, str], files: list[str], added: list[str]
) -> None:
    for number, file in zip((1, 2), files):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(cwd)
    if added:
        sys.path[:0] = added
        _find_plugins()
    _run(program, command[2:] if command[1:2] == ["-m"] else command)


def _run(program: str, arguments: list[str]) -> None:
    """Be this program. ``arguments`` begin with its own name."""
    sys.argv = arguments
    if program == "lmms_eval":
        import lmms_eval.__main__

        # What a module that is run is called.
        sys.argv = [str(lmms_eval.__main__.__file__), *arguments[1:]]
    if program == "hallu":
        from registry.commands import cli

        sys.exit(cli.main())
    if program == "registry.evaluation":
        from registry.evaluation import process

        sys.exit(process.main(sys.argv[1:]))
    if program == LAUNCHER:
        _launch(arguments[1:])
    else:
        from lmms_eval.cli import dispatch

        dispatch.main()


def _launch(arguments: list[str]) -> None:
    """Torch's own launcher, whose agent starts, watches and ends the ranks; these are forked from here."""
    from torch.distributed import run

    configure = run.config_from_args

    def forking(given):
        config, _, command = configure(given)
        config.start_method = "fork"
        module = command[command.index("-m") + 1 :]
        return config, _run, [module[0], module]

    run.config_from_args = forking
    run.main(arguments)


def _find_plugins() -> None:
    """Look for entry points once more: the path has others than when everything was imported."""
    import lmms_eval.models

    from registry.plugins import lazy, model_ids

    lazy.interventions.cache_clear()
    model_ids.table.cache_clear()
    lmms_eval.models.MODEL_REGISTRY_V2.load_entrypoint_manifests(overwrite=True)
