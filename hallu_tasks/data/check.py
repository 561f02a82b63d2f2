"""``hallu data check``: which tasks have their data, what is missing, where to get it and under which terms."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hallu_tasks.data.catalog import TASKS
from hallu_tasks.data.documents import Documents, Source, Unavailable
from hallu_tasks.data.folder import VARIABLE, root
from registry import task_folders, yaml_files

__all__ = ["Finding", "arguments", "find", "run"]

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
    findings = [_find(names, documents) for names, documents in _grouped(leaves(given.tasks) or list(TASKS))]
    print(_as_json(findings) if given.json else _as_text(findings))
    sys.stdout.flush()
    bad = {"damaged", "missing"} if given.tasks else {"damaged"}
    return int(any(finding.state in bad for finding in findings))


def find(task: str) -> Finding:
    """The check of one task; `ValueError` for a name that is no task with data."""
    return _find((task,), TASKS[leaves([task])[0]])


def leaves(names: Iterable[str]) -> list[str]:
    """The tasks that tasks and groups stand for; `ValueError` names one that needs no data or does not exist."""
    known = task_folders.tasks()
    found: list[str] = []
    for name in names:
        if name in TASKS:
            found.append(name)
        elif name in known and known[name].kind == "group":
            config = yaml_files.read(known[name].file)
            members = config["task"] if isinstance(config, dict) else []
            found += leaves(member for member in members if member in TASKS or member in known)
        elif name in known:
            continue
        else:
            raise ValueError(f"unknown task {name!r}; allowed: {', '.join(TASKS)}, and groups such as hallu_pope")
    return list(dict.fromkeys(found))


def _grouped(names: Sequence[str]) -> list[tuple[tuple[str, ...], Documents]]:
    documents = {id(TASKS[name]): TASKS[name] for name in names}
    return [(tuple(name for name in names if id(TASKS[name]) == key), one) for key, one in documents.items()]


def _find(tasks: tuple[str, ...], documents: Documents) -> Finding:
    source = documents.source
    try:
        folder = documents.folder()
        if folder is None:
            assert documents.hub is not None
            place = f"Hub {documents.hub.repository}"
            cached = _cached(documents.hub.repository)
            return Finding(
                tasks, source, "hub", place, {"documents": f"{documents.hub.count:,}", "in the cache": cached}
            )
        return Finding(tasks, source, "ready", str(folder.path), documents.local(folder).facts)
    except Unavailable as error:
        return Finding(tasks, source, "missing", "", {}, str(error).split(f". {VARIABLE} names", 1)[0])
    except ValueError as error:
        return Finding(tasks, source, "damaged", "", {}, str(error))


def _cached(repository: str) -> str:
    """Whether the Hub's cache holds a data set, without importing its library."""
    home = Path(os.environ.get("HF_HOME", Path.home() / ".cache" / "huggingface"))
    folder = Path(os.environ.get("HF_HUB_CACHE", home / "hub")) / f"datasets--{repository.replace('/', '--')}"
    return "yes" if folder.is_dir() else "no, it is fetched when a task runs"


_WORDS = {"ready": "ready", "hub": "from the Hub", "missing": "MISSING", "damaged": "NOT RIGHT"}


def _as_text(findings: Sequence[Finding]) -> str:
    data = root()
    lines = [f"{VARIABLE}: {data or 'not set; data sets of the Hub are used where they are known'}"]
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
            lines += [f"{'':14}get: {line}" for line in source.obtain]
            lines += [f"{'':14}put: {source.folder}/{line}" for line in source.layout]
        if finding.place:
            lines.append(f"{'':14}{finding.place}")
        lines += [f"{'':14}{name}: {value}" for name, value in finding.facts.items()]
    counted = {state: sum(len(one.tasks) for one in findings if one.state == state) for state in _WORDS}
    summary = ", ".join(f"{count} {_WORDS[state]}" for state, count in counted.items() if count)
    return "\n".join([*lines, "", f"{sum(counted.values())} tasks: {summary}"])


def _as_json(findings: Sequence[Finding]) -> str:
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
    return json.dumps({"data_folder": str(root() or "") or None, "tasks": value}, indent=2, ensure_ascii=False)
