"""The console script ``hallu``. Each command's code is imported when the command is used."""

from __future__ import annotations

import argparse
import errno
import functools
import importlib
import os
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

EXAMPLES = """\
examples:
  hallu methods                      what there is, one line each
  hallu methods vhr --verbose        steps, parameters, published numbers of one method
  hallu models                       what lmms-eval --model takes
  lmms-eval --model llava_vhr --tasks hallu_pope
  lmms-eval --model llava_vhr --model_args pretrained=demo,alpha=1.5 --tasks hallu_demo
  lmms-eval tasks --include-path "$(hallu tasks-path)"
  hallu run --model llava_vhr --tasks hallu_pope --output_path results/llava_vhr --log_samples
  hallu data check hallu_pope        whether a task's data are there, and where to get them
  hallu show results/llava_vhr       settings, versions, scores, the command that repeats the run
  hallu sweep --model llava_vhr --model_args pretrained=demo --grid alpha=0.5,1,2 --tasks hallu_demo
  hallu reproduce vhr --on llava     the runs behind a paper's numbers; --run starts them and shows both
  hallu export results/llava_vhr --format model-card --model-id llava-hf/llava-1.5-7b-hf --output scores.md
  hallu score pope --answers answers.jsonl --questions coco_pope_random.json
  hallu diagnose --what tvhd --image demo:3 --output tvhd.png
  hallu new-method spotlight         a package with a method that works as it is
  hallu doctor                       when something is not found or does not load
"""


@dataclass(frozen=True)
class Command:
    """A subcommand: ``run`` names ``function(arguments) -> exit code``, ``arguments`` what fills its parser.

    With ``passes_on`` what follows the command is another program's, and comes as the list ``passed``.
    ``hands_over`` names functions of packages above the command's own, which come as these ``arguments``.
    """

    help: str
    run: str
    arguments: str = "registry.commands.listing:add_json"
    passes_on: bool = False
    hands_over: Mapping[str, str] = field(default_factory=dict)


COMMANDS: Mapping[str, Command] = {
    "methods": Command(
        "list the methods, or describe one",
        "registry.commands.listing:methods",
        "registry.commands.listing:methods_arguments",
    ),
    "models": Command("list the model ids for lmms-eval --model", "registry.commands.listing:models"),
    "families": Command("list the model families", "registry.commands.listing:families"),
    "tasks": Command("list the tasks for lmms-eval --tasks", "registry.commands.listing:tasks"),
    "tasks-path": Command("print the task folder, for --include_path", "registry.commands.listing:tasks_path"),
    "run": Command(
        "run lmms-eval, with an exit status that is not 0 after an error",
        "registry.evaluation.launch:run",
        "registry.evaluation.launch:arguments",
        passes_on=True,
    ),
    "compare": Command(
        "compare runs of lmms-eval document by document",
        "hallu_tasks.report.command:run",
        "hallu_tasks.report.command:arguments",
    ),
    "show": Command(
        "show where a run's results come from, and how to repeat it",
        "hallu_tasks.runs.command:run",
        "hallu_tasks.runs.command:arguments",
    ),
    "sweep": Command(
        "run a method at many settings, and compare them",
        "hallu_tasks.sweep.command:run",
        "hallu_tasks.sweep.command:arguments",
    ),
    "reproduce": Command(
        "run what is behind published numbers, and show both",
        "hallu_tasks.reproduce.command:run",
        "hallu_tasks.reproduce.command:arguments",
    ),
    "export": Command(
        "write a run's scores for leaderboards and model cards",
        "hallu_tasks.export.command:run",
        "hallu_tasks.export.command:arguments",
    ),
    "score": Command(
        "score files of captions or answers that other code wrote",
        "hallu_tasks.score.command:run",
        "hallu_tasks.score.command:arguments",
    ),
    "data": Command(
        "check the benchmarks' data, and say where to get them",
        "hallu_tasks.benchmarks.command:run",
        "hallu_tasks.benchmarks.command:arguments",
    ),
    "diagnose": Command(
        "look into a model while it answers",
        "hallu_models.diagnostics.command:run",
        "hallu_models.diagnostics.command:arguments",
    ),
    "calibrate": Command(
        "suggest a method's layers for a model, and write a preset file",
        "hallu_models.calibrate.command:run",
        "hallu_models.calibrate.command:arguments",
    ),
    "new-method": Command(
        "write a method of your own, with its card and its test",
        "hallu_models.new_method.command:run",
        "hallu_models.new_method.command:arguments",
    ),
    "completion": Command(
        "print what bash or zsh needs to complete hallu",
        "registry.commands.completion:run",
        "registry.commands.completion:arguments",
    ),
    "doctor": Command(
        "check the installation; exit code 1 if something is wrong",
        "registry.commands.listing:doctor",
        "registry.commands.listing:doctor_arguments",
        hands_over={"findings": "hallu_models.checkpoint_findings:findings"},
    ),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``hallu`` and return the exit code: 0, 1 for a bad finding, 2 for a bad call."""
    given = list(sys.argv[1:] if argv is None else argv)
    arguments = _parsed(given)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            code: int = _load(COMMANDS[arguments.command].run)(arguments)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        # The reader, such as head, has seen enough. Python flushes standard output once more on exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        print(f"hallu: the output cannot be written: {error.strerror}", file=sys.stderr)
        return 2
    except ValueError as error:
        print(f"hallu: {error}", file=sys.stderr)
        return 2


def parser(given: Sequence[str]) -> argparse.ArgumentParser:
    """The parser; only commands named in ``given`` get their arguments, the others are listed."""
    top = argparse.ArgumentParser(
        prog="hallu",
        description="What lmms-eval-hallu brings: hallucination-mitigation methods, model ids and tasks for lmms-eval.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action=_Version)
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, command in COMMANDS.items():
        sub = commands.add_parser(name, help=command.help, description=command.help.capitalize() + ".")
        if name in given:
            _load(command.arguments)(sub)
            sub.set_defaults(**{key: functools.partial(_call, target) for key, target in command.hands_over.items()})
    return top


def _parsed(given: Sequence[str]) -> argparse.Namespace:
    command = COMMANDS.get(given[0]) if given else None
    if command is not None and command.passes_on and given[1:2] not in (["-h"], ["--help"]):
        # argparse would refuse options that it does not know, and take abbreviations for its own.
        return argparse.Namespace(command=given[0], passed=list(given[1:]))
    return parser(given).parse_args(given)


class _Version(argparse.Action):
    """Looks the version up when it is asked for."""

    def __init__(self, option_strings: Sequence[str], dest: str) -> None:
        super().__init__(option_strings, dest, nargs=0, help="print the version")

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from registry.installation import distribution

        print(f"hallu {distribution.version()}")
        parser.exit()


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    print(f"hallu: warning: {message}", file=sys.stderr)


def _load(target: str) -> Callable[..., Any]:
    module, _, name = target.partition(":")
    function: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return function


def _call(target: str, *given: Any) -> Any:
    return _load(target)(*given)


if __name__ == "__main__":
    sys.exit(main())
