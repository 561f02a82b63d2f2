"""``hallu new-method``: write a method that works as it is, with its card and its test."""

from __future__ import annotations

import argparse
import keyword
from pathlib import Path

import registry
from hallu_models.new_method import files
from hallu_models.new_method.hooks import SKETCHES
from registry.cards import built_in
from registry.errors import BadArgument, BadName, did_you_mean, near
from registry.plugins import lazy

HOOKS = tuple(SKETCHES)
EPILOG = """\
hooks, each with a tiny method that acts:
"""

RUN = (
    "hallu run --model {arm} --model_args pretrained=demo --tasks hallu_demo_mme --limit 4 "
    "--output_path results/{arm} --log_samples"
)
"""A few questions to the demo model; the control arm's and the method's, to be compared."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``hallu new-method``."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    width = max(map(len, HOOKS))
    parser.epilog = EPILOG + "\n".join(f"  {hook:{width}}  {one.claim}" for hook, one in SKETCHES.items())
    parser.add_argument("name", metavar="NAME", help="lower-case letters, digits and _; model ids follow: llava_NAME")
    parser.add_argument("--hook", default=HOOKS[0], metavar="HOOK", help=f"what it edits (default {HOOKS[0]})")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--package", type=Path, metavar="DIR", help="the package's folder (default hallu-NAME)")
    where.add_argument("--here", action="store_true", help="write into this repository instead")


def run(given: argparse.Namespace) -> int:
    """``hallu new-method NAME``. Raises ValueError for a name that cannot be, an unknown hook, files that are there."""
    name, hook = given.name, given.hook
    if hook not in SKETCHES:
        raise BadArgument(f"--hook={hook}: unknown hook{did_you_mean(near(hook, HOOKS))}; allowed: {', '.join(HOOKS)}")
    _require_free(name)
    if given.here:
        root = Path(registry.__file__).parents[1]
        if not (root / "setup.cfg").is_file():
            raise ValueError(f"--here: {root} is no clone of the repository; leave it out for a package of your own")
        written = {
            (root / path if len(path.parts) > 1 else built_in.folder() / path): text
            for path, text in files.here(name, SKETCHES[hook]).items()
        }
    else:
        root = given.package or Path(f"hallu-{name.replace('_', '-')}")
        written = {root / path: text for path, text in files.package(name, SKETCHES[hook]).items()}
    if there := [path for path in written if path.exists()]:
        raise ValueError(f"{there[0]} is there already, and nothing is overwritten; choose another name or --package")
    for path, text in written.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    print(_next(name, root, written, here=given.here))
    return 0


def _require_free(name: str) -> None:
    """Raises BadName for what cannot be a method's name, and for one that is taken."""
    lazy.LazyRegistry().register(name, "package.module:Class", "hallu new-method")
    if keyword.iskeyword(name):
        raise BadName(f"{name!r} cannot be a method's name: it is a word of Python; choose another")
    methods = lazy.interventions()
    if name in methods:
        raise BadName(f"{name!r} is a method already, of {methods.origin(name)}; choose another name")


def _next(name: str, root: Path, written: dict[Path, str], *, here: bool) -> str:
    (method,) = (path for path in written if path.stem == name and path.suffix == ".py")
    (card,) = (path for path in written if path.suffix == ".yaml")
    (test,) = (path for path in written if path.stem == f"test_method_{name}")
    steps = [] if here else [f"pip install --editable {root}"]
    steps += [f'python -m pytest {test} -k "range or llava"', f"hallu methods {name} --verbose"]
    arms = ("llava_base", f"llava_{name}")
    steps += [RUN.format(arm=arm) for arm in arms]
    steps += [f"hallu compare results/{arms[0]} results/{arms[1]}"]
    where = {method: "the method", card: "its card: steps, parameters and ranges", test: "its test"}
    width = max(len(str(path)) for path in written)
    lines = [f"  {path!s:{width}}  {where.get(path, '')}".rstrip() for path in written]
    return "\n".join(
        ["written:", *lines, "", "It works as it is; edit it there, and then:", *(f"  {s}" for s in steps)]
    )
