"""``hallu doctor``: what is installed, what hides what, which plugins fail and why."""

from __future__ import annotations

import json
import platform
import shlex
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from registry.arguments.model_args import loading_of
from registry.cards import built_in
from registry.commands import surroundings
from registry.commands.findings import Line, Report
from registry.errors import CardError
from registry.installation import distribution, ranges, shadows
from registry.model_families import family
from registry.plugins import discovery, lazy
from registry.plugins.lazy import GROUP as METHOD_GROUP
from registry.runner import names, task_hook
from registry.runner.names import MODEL_GROUP
from registry.task_search import task_folders

GROUPS = (MODEL_GROUP, METHOD_GROUP, task_folders.GROUP)
PACKAGES = ("lmms-eval", "torch", "transformers", "accelerate", "evaluate", "pyyaml")
TRIAL_SECONDS = 300

Findings = Callable[[Mapping[str, Any]], Iterable[tuple[bool, str, str, str]]]
"""From what loads a checkpoint to what holds there: whether it does, what, its state, and what mends it."""


def examine(*, load_plugins: bool = True) -> Report:
    """Look at everything. ``load_plugins=False`` lists the entry points without trying them."""
    report = Report()
    with warnings.catch_warnings():
        # The report itself says what is left out.
        warnings.simplefilter("ignore", discovery.PluginWarning)
        report.sections["Versions"] = versions()
        report.sections["Shadowed packages"] = shadowed()
        report.sections["Plugins"] = tried(trial()) if load_plugins else listed()
        report.sections["Cards and families"] = data_files()
        report.sections["Tasks"] = task_state()
        report.sections["Environment"] = surroundings.lines()
    return report


def versions() -> list[Line]:
    """Python and the packages this one builds on, against the ranges in our metadata."""
    required = {requirement.name: requirement.range for requirement in ranges.requirements()}
    own = ranges.version(distribution.NAME)
    lines = [Line(True, "python", platform.python_version())]
    lines.append(Line(own is not None, distribution.NAME, own or "not installed", _install()))
    for name in sorted({*PACKAGES, *required}):
        wanted, have = required.get(name, ""), ranges.version(name)
        if have is None:
            needed = name in required or not required
            lines.append(Line(not needed, name, "not installed", f"pip install '{name}{wanted}'"))
        elif ranges.contains(wanted, have):
            lines.append(Line(True, name, f"{have} (tested: {wanted})" if wanted else have))
        else:
            fix = f"pip install '{name}{wanted}'"
            lines.append(Line(False, name, f"{have} is outside the tested range {wanted}", fix))
    return lines


def self_check(model_args: str, findings: Findings) -> list[Line]:
    """What methods rely on, proved on a checkpoint by ``findings``: a line for each of their ways to act.

    Raises ``BadArgument`` for malformed arguments, and what loading the checkpoint raises.
    """
    return [Line(ok, what, state, fix) for ok, what, state, fix in findings(loading_of(model_args))]


def shadowed() -> list[Line]:
    """Packages of ours that another file takes the place of."""
    found = shadows.find()
    return [
        Line(False, name, f"{found[name]} is imported in its place", _away(found[name]))
        if name in found
        else Line(True, name, "not shadowed")
        for name in shadows.PACKAGES
    ]


def _away(path: Path) -> str:
    return f"mv {shlex.quote(str(path))} {shlex.quote(f'{path}.away')}, or start from another folder"


def _uninstall(distribution: str) -> str:
    return f"repair {distribution}, or pip uninstall {distribution.partition(' ')[0]}"


def trial() -> dict[tuple[str, str], str | None]:
    """Load every plugin in a separate process: (group, entry name) to its error, None where it loads."""
    request = json.dumps({"path": [entry or "." for entry in sys.path], "groups": GROUPS})
    script = Path(__file__).with_name("plugin_trial.py")
    try:
        answer = subprocess.run(
            [sys.executable, str(script)],
            input=request,
            capture_output=True,
            text=True,
            timeout=TRIAL_SECONDS,
            check=False,
        ).stdout
    except subprocess.TimeoutExpired as expired:
        answer = (expired.stdout or b"").decode() if isinstance(expired.stdout, bytes) else expired.stdout or ""
    found = [json.loads(line) for line in answer.splitlines() if line.endswith("}")]
    return {(entry["group"], entry["name"]): entry["error"] for entry in found}


def tried(errors: dict[tuple[str, str], str | None]) -> list[Line]:
    """The plugins with what the trial said about them."""
    lines = []
    culprit: discovery.Plugin | None = None
    for group in GROUPS:
        for plugin in discovery.plugins(group):
            error = errors.get((group, plugin.name), "the process ended or took too long while this was loaded")
            what, origin = f"{group}: {plugin.name}", f"{plugin.value} ({plugin.distribution})"
            if error is not None:
                fix = _uninstall(plugin.distribution)
                if group == MODEL_GROUP and culprit is None:
                    fix += "; lmms-eval stops at the first model plugin that fails and misses those after it"
                    culprit = plugin
                lines.append(Line(False, what, f"{origin} fails: {error}", fix))
            elif group == MODEL_GROUP and culprit is not None:
                state = f"{origin} loads, but lmms-eval never reaches it behind {culprit.name}"
                lines.append(Line(False, what, state, _uninstall(culprit.distribution)))
            else:
                lines.append(Line(True, what, f"{origin} loads"))
    return lines + left_out()


def listed() -> list[Line]:
    """The plugins, none of them loaded."""
    found = [plugin for group in GROUPS for plugin in discovery.plugins(group)]
    lines = [
        Line(True, f"{plugin.group}: {plugin.name}", f"{plugin.value} ({plugin.distribution})") for plugin in found
    ]
    return lines + left_out()


def left_out() -> list[Line]:
    """Plugins that were refused before they were loaded: bad names, taken names, unreadable metadata."""
    lazy.interventions()
    return [
        Line(
            False,
            f"{problem.plugin.group}: {problem.plugin.name}",
            str(problem),
            _uninstall(problem.plugin.distribution),
        )
        for problem in discovery.problems()
        if problem.plugin.group != task_folders.GROUP
    ]


def _install(options: str = "") -> str:
    return f"pip install {options}{distribution.requirement()}"


def _reinstall() -> str:
    return f"correct the file, or {_install('--force-reinstall --no-deps ')}"


def data_files() -> list[Line]:
    """The built-in cards and families, each read."""
    lines = []
    for name in built_in.names():
        try:
            lines.append(Line(True, f"card {name}", built_in.load(name).fidelity))
        except CardError as error:
            lines.append(Line(False, f"card {name}", str(error), _reinstall()))
    for plugin in lazy.third_party():
        try:
            if card := built_in.beside(plugin.module, plugin.name):
                lines.append(Line(True, f"card {plugin.name}", f"{card.fidelity}, of {plugin.distribution}"))
        except CardError as error:
            lines.append(Line(False, f"card {plugin.name}", str(error), "correct the file"))
    try:
        lines.append(Line(True, "families", ", ".join(family.load())))
    except CardError as error:
        lines.append(Line(False, "families", str(error), _reinstall()))
    return lines


def task_state() -> list[Line]:
    """The task folders, and whether lmms-eval finds them by itself."""
    works, text = task_hook.state()
    lines = [Line(works, "hook", text, task_hook.FIX)]
    if not any(plugin.module.startswith("hallu_models") for plugin in discovery.plugins(MODEL_GROUP)):
        state = f"our entry point in {MODEL_GROUP} is not installed, so nothing installs the hook"
        lines.append(Line(False, "entry point", state, _install()))
    if names.folder() is not None and not names.reads_model_entries():
        state = f"the installed lmms-eval does not read entry points in {MODEL_GROUP}, so it does not find our models"
        lines.append(Line(False, "models", state, ranges.advice((names.DISTRIBUTION,))))
    if task_folders.own_folder() is None:
        lines.append(Line(False, "folder", "the package hallu_tasks is missing", _install()))
    for folder in task_folders.folders():
        found, broken = task_folders.scan(folder)
        lines.append(Line(True, "folder", f"{folder}: {len(found)} tasks and groups"))
        lines += [Line(False, "file", f"{file}: {error}", "correct the file") for file, error in broken.items()]
    return lines
