"""lmms-eval as a program whose exit status tells whether the evaluation succeeded: 0 or 2.

``hallu run`` starts it. Each of several processes can be one: ``accelerate launch ... -m registry.evaluation ...``.

lmms-eval catches whatever a run raises and exits with 0; the exception is seen here before it is caught. That works for
every model that lmms-eval knows, and scrapes no output.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from registry.runner import names, program
from registry.runner.mismatch import RunnerMismatch
from registry.runs import outcome
from registry.runs.command_line import redacted

__all__ = ["main"]

FAILED = 2


def main(arguments: Sequence[str], report: str | None = None) -> int:
    """Run lmms-eval with these arguments, and return the exit status.

    `report` is a file to be written with the status and the last error line; without it the line goes to standard
    error. The line is None where lmms-eval itself said what is wrong with the arguments.
    """
    sys.argv = [names.PROGRAM, *arguments]
    _interrupt_once()
    failures: list[str] = []
    begun: list[None] = []
    status = 0
    try:
        program.watch(lambda evaluate: _watched(evaluate, begun, failures))
        program.start()
        # Help and listings end the program; a command such as `tasks` evaluates nothing.
        if not begun and arguments and (arguments[0].startswith("-") or arguments[0] == "eval"):
            raise RunnerMismatch("lmms-eval ended without the function that is known to make an evaluation")
    except SystemExit as end:
        if isinstance(end.code, str):
            failures.append(end.code)
        elif end.code:
            status = FAILED
    except KeyboardInterrupt as error:
        failures.append(_line(error))
    except Exception as error:
        traceback.print_exc()
        failures.append(_line(error))
    line = failures[-1] if failures else None
    status = FAILED if failures else status
    if report is not None:
        Path(report).write_text(json.dumps({"status": status, "error": line}), encoding="utf-8")
    elif line is not None:
        print(f"hallu: the run failed: {line}", file=sys.stderr)
    return status


def _watched(
    evaluate: Callable[[argparse.Namespace], Any], begun: list[None], failures: list[str]
) -> Callable[[argparse.Namespace], Any]:
    """lmms-eval's function for one evaluation, with its failures recorded, in the output folder too."""

    @functools.wraps(evaluate)
    def watched(args: argparse.Namespace) -> Any:
        begun.append(None)
        tasks, output = (program.wanted(args, name) for name in ("tasks", "output_path"))
        if tasks in names.LISTINGS:
            return evaluate(args)
        # Of several processes the first one writes the results.
        place = Path(output) if output else None
        folder = place if os.environ.get("RANK", "0") == "0" else None
        try:
            before = {} if folder is None else _begun(folder)
            program.require_model(program.wanted(args, "model"))
            if folder is None:
                return evaluate(args)
            found = evaluate(args)
            if outcome.results(folder).items() <= before.items():
                raise RuntimeError(f"lmms-eval wrote no results into --output_path {folder}; its log says why")
        except BaseException as error:
            failures.append(_line(error) if tasks else "no task is given; name one with --tasks")
            if folder is not None and folder.is_dir():
                failures[-1] = outcome.fail(folder, failures[-1])
            elif place is not None and place.is_dir():
                outcome.fail_beside(place, failures[-1])
            raise
        outcome.succeed(folder)
        return found

    return watched


def _begun(folder: Path) -> dict[str, int]:
    """Results that are there before the run. Raises `ValueError` for a folder that lmms-eval does not write to."""
    if "," in str(folder):
        raise ValueError(f"--output_path {folder}: lmms-eval cuts it at the comma; name a folder without one")
    try:
        outcome.begin(folder)
    except OSError as error:
        raise ValueError(f"--output_path {folder} cannot be written ({error.strerror})") from None
    return outcome.results(folder)


def _line(error: BaseException) -> str:
    """The error in one line, without secrets."""
    if isinstance(error, KeyboardInterrupt):
        return f"interrupted by {error}" if str(error) else "interrupted"
    if isinstance(error, SystemExit):
        return "lmms-eval ended before it had evaluated anything; its log says why"
    (text,) = redacted([" ".join(f"{type(error).__name__}: {error}".split())])
    return text


def _interrupt_once() -> None:
    """Let a request to end do what Ctrl-C does, once: a terminal's Ctrl-C comes from ``hallu run`` as well.

    Models keep their finished answers then. Signals that whoever started this has ignored stay ignored.
    """
    last = -1.0

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal last
        before, last = last, time.monotonic()
        if before < 0 or last > before + 1:
            raise KeyboardInterrupt(signal.Signals(number).name)

    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, interrupt)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
