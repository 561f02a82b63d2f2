"""``hallu data check``: which tasks have their data, what is missing, where to get it and under which terms."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from hallu_tasks.benchmarks.table import TASKS
from hallu_tasks.data.cached import is_cached, offline
from hallu_tasks.data.documents import Documents, Hub, Source, Unavailable
from hallu_tasks.data.folder import VARIABLE, root
from registry.files import yaml_files
from registry.task_search import task_folders

__all__ = ["Finding", "arguments", "lacking", "leaves", "run"]

DESCRIPTION = """\
Which tasks have their data, what is missing, where to get it and under which terms.

HALLU_DATA names a folder with a subfolder for each benchmark, laid out as in the official archives. A benchmark
without a folder there is fetched from the Hub where a data set is known. Nothing is downloaded by this check.
"""
EXAMPLES = """\
examples:
  hallu data check                   every benchmark
  hallu data check hallu_pope        one task or group; exit code 1 unless its data are ready
  HALLU_DATA=/data/hallu hallu data check hallu_chair_s0
                                     counts, the SHA-256 of the files and of the list of images
"""


@dataclass(frozen=True)
class Finding:
    """What the check found for tasks that share their documents.

    `state` is ready, missing, damaged or hub; `facts` are counts and digests by name, `problem` says what is wrong.
    """

    tasks: tuple[str, ...]
    source: Source
    state: str
    place: str
    facts: Mapping[str, str]
    problem: str = ""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``hallu data``."""
    form = argparse.RawDescriptionHelpFormatter
    parser.formatter_class, parser.epilog = form, EXAMPLES
    commands = parser.add_subparsers(dest="data_command", metavar="COMMAND", required=True)
    check = commands.add_parser(
        "check",
        help="what is there and what is missing",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=form,
    )
    check.add_argument("tasks", metavar="TASK", nargs="*", help="a task or group (default: all)")
    check.add_argument("--json", action="store_true", help="print JSON")


def run(given: argparse.Namespace) -> int:
    """``hallu data check``: 0, or 1 when data are damaged or those of a task named are missing."""
    named = leaves(given.tasks) if given.tasks else list(TASKS)
    findings = [_find(names, documents) for names, documents in _grouped([name for name in named if name in TASKS])]
    others = [name for name in named if name not in TASKS]
    print(_as_json(findings, others) if given.json else _as_text(findings, others))
    sys.stdout.flush()
    bad = {"damaged", "missing"} if given.tasks else {"damaged"}
    return int(any(finding.state in bad for finding in findings))


def leaves(names: Iterable[str]) -> list[str]:
    """The tasks that tasks and groups stand for, also those that need no data; `ValueError` for an unknown name."""
    known = task_folders.tasks()
    found: list[str] = []
    for name in names:
        if name in TASKS:
            found.append(name)
        elif name in known and known[name].kind == "group":
            config = yaml_files.read(known[name].file)
            members = config["task"] if isinstance(config, dict) else []
            found += leaves(one for one in members if isinstance(one, str) and (one in TASKS or one in known))
        elif name in known:
            found.append(name)
        else:
            raise ValueError(f"unknown task {name!r}; allowed: {', '.join(TASKS)}, and groups such as hallu_pope")
    return list(dict.fromkeys(found))


def lacking(names: Iterable[str]) -> list[str]:
    """Lines that say which data of these tasks are not there, and where to get them. No data are read."""
    found: dict[tuple[Source, str], list[str]] = {}
    for tasks, documents in _grouped([name for name in leaves(names) if name in TASKS]):
        try:
            finding = None if documents.folder() else _from_hub(tasks, documents.source, _hub(documents))
        except Unavailable as error:
            finding = _missing(tasks, documents.source, error)
        if finding is not None and finding.state == "missing":
            found.setdefault((finding.source, finding.problem), []).extend(tasks)
    return [
        line
        for (source, problem), tasks in found.items()
        for line in (f"{source.title}, for {', '.join(tasks)}: {problem}", *_ways(source))
    ]


def _grouped(names: Sequence[str]) -> list[tuple[tuple[str, ...], Documents]]:
    documents = {id(TASKS[name]): TASKS[name] for name in names}
    return [(tuple(name for name in names if id(TASKS[name]) == key), one) for key, one in documents.items()]


def _find(tasks: tuple[str, ...], documents: Documents) -> Finding:
    source = documents.source
    try:
        folder = documents.folder()
        if folder is None:
            return _from_hub(tasks, source, _hub(documents))
        return Finding(tasks, source, "ready", str(folder.path), documents.local(folder).facts)
    except Unavailable as error:
        return _missing(tasks, source, error)
    except ValueError as error:
        return Finding(tasks, source, "damaged", "", {}, str(error))


def _hub(documents: Documents) -> Hub:
    assert documents.hub is not None
    return documents.hub


def _missing(tasks: tuple[str, ...], source: Source, error: Unavailable) -> Finding:
    return Finding(tasks, source, "missing", "", {}, str(error).split(f". {VARIABLE} names", 1)[0])


def _ways(source: Source) -> list[str]:
    """Where files are to be had, and where they belong."""
    return [*(f"get: {line}" for line in source.obtain), *(f"put: {VARIABLE}/{path}" for path in source.paths)]


def _from_hub(tasks: tuple[str, ...], source: Source, hub: Hub) -> Finding:
    cached, barred = is_cached(hub.repository), offline()
    if barred and not cached:
        absent = f"no folder {source.folder} in {VARIABLE}" if root() else f"{VARIABLE} is not set"
        problem = f"{absent}, and {hub.repository} is not in the cache; {barred} forbids to fetch it"
        return Finding(tasks, source, "missing", "", {}, problem)
    said = "yes" if cached else "no, it is fetched when a task runs"
    return Finding(tasks, source, "hub", f"Hub {hub.repository}", {"documents": f"{hub.count:,}", "in the cache": said})


_WORDS = {"ready": "ready", "hub": "from the Hub", "missing": "MISSING", "damaged": "NOT RIGHT"}


def _as_text(findings: Sequence[Finding], others: Sequence[str]) -> str:
    data = root()
    unset = "not set; it names your data folder. Data sets of the Hub are used where they are known"
    lines = [f"{VARIABLE}: {data or unset}"]
    shown = None
    for finding in findings:
        source = finding.source
        if source.title != shown:
            shown = source.title
            lines += ["", f"{source.title}. Licence: {source.licence}"]
        lines.append(f"  {_WORDS[finding.state]:<12}  {', '.join(finding.tasks)}")
        if finding.problem:
            lines.append(f"{'':14}{finding.problem}")
        if finding.state in ("missing", "damaged"):
            lines += [f"{'':14}{line}" for line in _ways(source)]
        if finding.place:
            lines.append(f"{'':14}{finding.place}")
        lines += [f"{'':14}{name}: {value}" for name, value in finding.facts.items()]
    if others:
        lines += ["", f"  {'ready':<12}  {', '.join(others)}", f"{'':14}needs no data from outside the package"]
    counted = {state: sum(len(one.tasks) for one in findings if one.state == state) for state in _WORDS}
    counted["ready"] += len(others)
    summary = ", ".join(f"{count} {_WORDS[state]}" for state, count in counted.items() if count)
    return "\n".join([*lines, "", f"{sum(counted.values())} tasks: {summary}"])


def _as_json(findings: Sequence[Finding], others: Sequence[str]) -> str:
    value = [
        {
            "tasks": finding.tasks,
            "state": finding.state,
            "place": finding.place or None,
            "problem": finding.problem or None,
            "facts": finding.facts,
            "title": finding.source.title,
            "folder": finding.source.folder,
            "layout": finding.source.layout,
            "obtain": finding.source.obtain,
            "licence": finding.source.licence,
        }
        for finding in findings
    ]
    found = {"data_folder": str(root() or "") or None, "tasks": value, "tasks_without_data": others}
    return json.dumps(found, indent=2, ensure_ascii=False)
