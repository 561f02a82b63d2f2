"""Which rooms the packages have, from the ground up: a file imports from its own room or from rooms below.

A room is a folder with code or a single module right below a package. Importing late, inside a function, is for cost,
never for direction; nor does it matter whether a module is imported by statement or named in a string. The
``__init__.py`` of a package that is not listed lies below its rooms, ``__main__.py`` above.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

REGISTRY: dict[str, str] = {
    "registry.errors": "the errors that a user can meet, and near matches to a name",
    "registry.terminal": "text as wide as the terminal",
    "registry.moved": "former import paths, each with a warning",
    "registry.files": "YAML as plain data, and typed access to it with errors that name file and key",
    "registry.installation": "this distribution, the version ranges of what it requires, files that hide its packages",
    "registry.runner": "the contact layer of lmms-eval, which alone knows its names and shapes",
    "registry.cards": "the methods' cards (YAML), their parameters, and lists of layers",
    "registry.model_families": "the model families (YAML), and which method works on which",
    "registry.plugins": "other distributions' entry points; methods and model ids by name, imported on first use",
    "registry.arguments": "`--model_args`: sorted by method, coerced, checked against the cards; preset files",
    "registry.task_search": "task folders, the tasks in them, and how lmms-eval learns of them",
    "registry.runs": "what a run leaves: code, versions and checkpoint behind it, how it ended, its command line",
    "registry.evaluation": "lmms-eval with an exit status that tells the truth; `hallu run`",
    "registry.commands": "the command `hallu`, its listings, completion, and `hallu doctor`",
    "registry": "the facade: methods, families, models and tasks",
}

HALLU_TASKS: dict[str, str] = {
    "hallu_tasks.files": "JSON and rows with their places, files that are whole or not there, image names, the cache",
    "hallu_tasks.scoring": "scorers as pure functions: text in, numbers out; intervals and tests",
    "hallu_tasks.runs": "what lmms-eval wrote of a run: settings, samples, scores; `hallu show`",
    "hallu_tasks.benchmark": "the types: a benchmark, its metrics, their direction",
    "hallu_tasks.data": "documents from the data folder or the Hub, checked, and what every task asks of one",
    "hallu_tasks.estimates": "scores of files with intervals, and the form of a `hallu score`",
    "hallu_tasks.choices": "what multiple-choice benchmarks share: questions in sets, metrics, the form of a score",
    "hallu_tasks.chair": "CHAIR: tasks, documents, caption files, the truth and its cache",
    "hallu_tasks.pope": "POPE and OPOPE: tasks, documents, question and answer files",
    "hallu_tasks.dash_b": "DASH-B: task, documents, answer files",
    "hallu_tasks.crpe": "CRPE: task, documents, answer files",
    "hallu_tasks.mmvp": "MMVP: task, documents, answer files",
    "hallu_tasks.mme": "MME: tasks, documents, result folders",
    "hallu_tasks.amber": "AMBER: tasks, documents, response files",
    "hallu_tasks.textvqa": "TextVQA: tasks and documents",
    "hallu_tasks.hallusion": "HallusionBench: task and documents",
    "hallu_tasks.demo": "the demo tasks with their documents",
    "hallu_tasks.benchmarks": "the table of benchmarks; `hallu data`",
    "hallu_tasks.score": "`hallu score`",
    "hallu_tasks.compare": "what two runs must share, paired differences, verdicts, published numbers",
    "hallu_tasks.report": "a comparison as text, Markdown, LaTeX, JSON, plot and page; `hallu compare`",
    "hallu_tasks.export": "`hallu export`",
    "hallu_tasks.sweep": "`hallu sweep`",
    "hallu_tasks.reproduce": "`hallu reproduce`",
    "hallu_tasks.metrics": "modules for `evaluate.load`",
}

HALLU_MODELS: dict[str, str] = {
    "hallu_models.layout": "the columns of a row: image, padding, in front of the image, behind it",
    "hallu_models.observations": "arrays with named axes: what a method saw and did",
    "hallu_models.notes": "what an error says of its place",
    "hallu_models.pictures": "pictures decoded whole or refused",
    "hallu_models.hosts": "the contact layer of transformers and torch, which alone knows their names and shapes",
    "hallu_models.conversations": "conversations as chat messages, their images, and what they must be",
    "hallu_models.processing": "from conversations to model inputs: template, batch, image columns and features",
    "hallu_models.engines": "the edit points, one a file; passes over a prompt; the negative branch",
    "hallu_models.interventions": "the contract of a method with all that it may use, and the methods, one a file",
    "hallu_models.methods": "from what a user writes to methods bound to a model",
    "hallu_models.session": "a plan of what acts where, what is kept from step to step, one generation after another",
    "hallu_models.self_check": "the proof on the loaded model, before its first answer",
    "hallu_models.attaching": "`attach`: a method on a model, and off again",
    "hallu_models.generation": "from conversations to answers",
    "hallu_models.loading": "`load`, and the host that answers conversations",
    "hallu_models.checkpoint_findings": "what `hallu doctor` finds about a checkpoint",
    "hallu_models.testing": "for authors: `assert_contract`, tiny models of all families, dense references",
    "hallu_models.new_method": "`hallu new-method`: package, method, card and test that work as they are",
    "hallu_models.adapter": "the model class that lmms-eval runs; recovery, caches, provenance, ranks",
    "hallu_models.models": "a class a model id",
    "hallu_models.entry_points": "what lmms-eval loads on every start",
    "hallu_models.demo": "the demo model: scenes, training, checkpoint",
    "hallu_models.diagnostics": "`hallu diagnose`: readings and pictures of what models and methods do",
    "hallu_models.calibrate": "`hallu calibrate`: settings found on a model",
    "hallu_models": "the facade: `load`, `attach`, `conversation`",
}

PACKAGES: dict[str, dict[str, str]] = {
    "registry": REGISTRY,
    "hallu_tasks": HALLU_TASKS,
    "hallu_models": HALLU_MODELS,
}
"""The packages from the ground up; one without rooms is not looked into."""

ROOMS: dict[str, str] = {**REGISTRY, **HALLU_TASKS, **HALLU_MODELS}

BY_NAME: dict[str, str] = {
    "registry.commands.cli": "the command table: a command's code lies anywhere, and is handed what lies above it",
    "registry.moved": "former import paths lead to wherever the code is today",
    "hallu_tasks": "former import paths of its own",
}
"""Tables that may name modules above them in strings, and why. Their import statements follow the rule."""

MOST_LINES = 400


def faults(root: Path, packages: Mapping[str, Mapping[str, str]], by_name: Collection[str] = ()) -> list[str]:
    """What is wrong with the packages below `root`, a line each. Strings of modules `by_name` are let through."""
    known = {name: file for package in packages for name, file in _modules(root, package).items()}
    checked = {name: file for name, file in known.items() if packages[name.split(".")[0]]}
    order = [room for rooms in packages.values() for room in rooms]
    found = [fault for package, rooms in packages.items() if rooms for fault in _unlisted(root / package, rooms)]
    for name, file in checked.items():
        lines = len(file.read_text(encoding="utf-8").splitlines())
        if lines > MOST_LINES:
            found.append(f"{name}: {lines} lines; at most {MOST_LINES}")
    edges: dict[str, set[str]] = {}
    for name, file in checked.items():
        for line, target in _imported(name, file, known, name not in by_name):
            edges.setdefault(name, set()).add(target)
            if _place(target, packages, order) > _place(name, packages, order):
                found.append(f"{name}, line {line}: imports {target}, which lies above it")
    if circle := _circle(edges):
        found.append(f"a circle: {' -> '.join(circle)}")
    return found


def _modules(root: Path, package: str) -> dict[str, Path]:
    found = {}
    for file in sorted((root / package).rglob("*.py")):
        parts = file.relative_to(root).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


def _unlisted(folder: Path, rooms: Mapping[str, str]) -> Iterator[str]:
    """Rooms that are there and not listed, and listed ones that are not there."""
    there = {path.stem for path in folder.glob("*.py")} - {"__init__", "__main__"}
    there |= {path.name for path in folder.iterdir() if path.is_dir() and any(path.rglob("*.py"))}
    names = {f"{folder.name}.{name}" for name in there}
    yield from (f"{name} is in no room; list it, or move it into one" for name in sorted(names - rooms.keys()))
    yield from (f"{name} is listed and not there" for name in sorted(rooms.keys() - names - {folder.name}))


def _imported(module: str, file: Path, known: Mapping[str, Path], strings: bool) -> Iterator[tuple[int, str]]:
    """The line and the module of every import of `known` ones, wherever in the file it stands."""
    own = module.split(".") + ["__init__"] * (file.name == "__init__.py")
    tree = ast.parse(file.read_text(encoding="utf-8"))
    found = {(node.lineno, name) for node in ast.walk(tree) for name in _stated(node, own)}
    if strings:
        found |= set(_named(tree, own))
    for line, name in sorted(found):
        parts = name.split(".")
        ways = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
        target = next((way for way in ways if way in known), None)
        if target is not None and target != module:
            yield line, target


def _stated(node: ast.AST, own: list[str]) -> list[str]:
    """What an import statement imports."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        base = own[: -node.level] if node.level else []
        base = [*base, *([node.module] if node.module else [])]
        return [".".join([*base, alias.name]) for alias in node.names]
    return []


def _named(tree: ast.Module, own: list[str]) -> Iterator[tuple[int, str]]:
    """The line and the text of every string that is imported, or is a dotted path as a table of modules has it."""
    constants = {
        target.id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and _DOTTED.fullmatch(str(node.value)):
            yield node.lineno, str(node.value).partition(":")[0]
        elif isinstance(node, ast.Call) and _called(node.func) in _IMPORTERS:
            given = [*node.args, *(keyword.value for keyword in node.keywords if keyword.arg == "name")][:1]
            for text in given:
                name = _text(constants.get(text.id, text) if isinstance(text, ast.Name) else text)
                level = len(name) - len(name.lstrip("."))
                yield node.lineno, ".".join([*own[:-level], name[level:]]) if level else name


_DOTTED = re.compile(r"[a-z_]\w*(\.\w+)+(:\w+)?")
_IMPORTERS = ("import_module", "__import__")


def _called(function: ast.expr) -> str:
    name = getattr(function, "attr", getattr(function, "id", ""))
    return str(name)


def _text(node: ast.expr) -> str:
    """A string, or how one begins that is put together; empty where that is not known."""
    first = node.values[0] if isinstance(node, ast.JoinedStr) and node.values else node
    return first.value if isinstance(first, ast.Constant) and isinstance(first.value, str) else ""


def _place(module: str, packages: Mapping[str, Mapping[str, str]], order: list[str]) -> tuple[int, int]:
    """Where a module lies: its package, and its room in there."""
    package, *below = module.split(".")
    room = ".".join([package, *below[:1]])
    ground, sky = -1, len(order)
    unlisted = sky if below == ["__main__"] else ground
    return list(packages).index(package), order.index(room) if room in packages[package] else unlisted


def _circle(edges: Mapping[str, set[str]]) -> list[str]:
    """A circle of imports, its first module once more at the end; empty where there is none."""
    left = dict(edges)
    while ends := [name for name, targets in left.items() if not targets & left.keys()]:
        for name in ends:
            del left[name]
    if not left:
        return []
    path = [min(left)]
    while path[-1] not in path[:-1]:
        path.append(min(left[path[-1]] & left.keys()))
    return path[path.index(path[-1]) :]
