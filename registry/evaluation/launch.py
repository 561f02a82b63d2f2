"""``hallu run``: lmms-eval in a child process, with an exit status that tells the truth."""

from __future__ import annotations

import argparse
import contextlib
import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType

from registry.evaluation.process import FAILED

__all__ = ["arguments", "command", "failure", "run"]

# The working folder is no place to import from, as for the program lmms-eval: a file there would hide a package.
_CHILD = (
    "import sys; sys.path[:1] == [''] and sys.path.pop(0); "
    "from registry.evaluation.process import main; sys.exit(main(sys.argv[2:], sys.argv[1]))"
)

_HELP = """\
Every argument is passed on: what follows `hallu run` is written as for lmms-eval, whose own help is
`lmms-eval eval --help`. lmms-eval exits with status 0 also after an error; this exits with

  0   lmms-eval ended with status 0, no evaluation raised an error, and with --output_path the run wrote new results
  2   anything else; the last line on standard error says what failed

A run with --output_path that fails leaves unfinished_run.json in that folder, until a run there succeeds. As long as it
is there, `hallu compare` and the other readers refuse the folder instead of taking an older run's results from it.
Ctrl-C and SIGTERM reach lmms-eval; answers that are finished by then are kept, and the same command goes on from there.

examples:
  hallu run --model llava_vhr --model_args pretrained=demo --tasks hallu_demo --output_path results/vhr --log_samples
  hallu run --model llava_base ... && hallu run --model llava_vhr ... && hallu compare results/base results/vhr
  hallu run --tasks list
  accelerate launch --num_processes 8 -m registry.evaluation --model llava_vhr ...     the same with eight processes
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """The help of ``hallu run``; what it is given is lmms-eval's."""
    parser.usage = "hallu run ARGUMENT ..."
    parser.epilog = _HELP
    parser.formatter_class = argparse.RawDescriptionHelpFormatter


def run(given: argparse.Namespace) -> int:
    """``hallu run ARGUMENT ...``. Raises `ValueError` where no argument is given."""
    if not given.passed:
        raise ValueError("run: arguments of lmms-eval are missing; `hallu run --help` shows examples")
    with tempfile.TemporaryDirectory(prefix="hallu-run-") as folder:
        report = Path(folder) / "outcome.json"
        status = _waited(command(report, given.passed))
        line = failure(report, status)
    if line is not None:
        print(f"hallu: the run failed: {line}", file=sys.stderr)
    return FAILED if status or line is not None else 0


def command(report: Path, passed: Sequence[str]) -> list[str]:
    """The child's command line. It writes its status and its last error line to `report` before it ends."""
    return [sys.executable, "-c", _CHILD, str(report), *passed]


def _waited(arguments: Sequence[str]) -> int:
    """Start the child, pass on requests to end, and wait for its end however long that takes."""
    pending: list[int] = []
    child: subprocess.Popen[bytes] | None = None

    def forward(number: int, frame: FrameType | None) -> None:
        if child is None:
            pending.append(number)
        else:
            child.send_signal(number)

    with _handled(forward):
        child = subprocess.Popen(arguments)
        for number in pending:
            child.send_signal(number)
        return child.wait()


@contextlib.contextmanager
def _handled(handler: signal._HANDLER) -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        for number, old in before.items():
            if old is not signal.SIG_IGN:
                signal.signal(number, handler)
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


def failure(report: Path, status: int) -> str | None:
    """The last error line of a child that has ended, None after a success and where lmms-eval has said it already."""
    if status < 0:
        name = signal.Signals(-status).name
        return f"lmms-eval was ended by {name}" + (
            "; where nobody sent it, memory ran out" if name == "SIGKILL" else ""
        )
    try:
        told = json.loads(report.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return f"lmms-eval ended with exit status {status} and no word on how it went"
    if told["error"] is not None:
        return str(told["error"])
    return None if told["status"] == status else f"lmms-eval ended with exit status {status}"
