"""The listing commands of ``hallu``: methods, models, families, tasks, tasks-path, doctor."""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from registry import terminal
from registry.cards import built_in, card_text
from registry.installation import distribution
from registry.model_families import family
from registry.plugins import lazy, model_ids
from registry.task_search import task_folders


def add_json(parser: argparse.ArgumentParser) -> None:
    """The option every listing has."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def methods_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``hallu methods``."""
    parser.add_argument("name", nargs="?", help="one method, with its parameters")
    parser.add_argument("--verbose", action="store_true", help="also steps, presets, deviations, published numbers")
    parser.add_argument("--matrix", action="store_true", help="which method works on which model family")
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    add_json(parser)


def methods(arguments: argparse.Namespace) -> int:
    """``hallu methods [NAME]``, ``hallu methods --matrix``."""
    if arguments.matrix:
        return _matrix(arguments)
    cards = [lazy.card(arguments.name)] if arguments.name else list(lazy.cards().values())
    if arguments.json:
        print_json(cards[0] if arguments.name else cards)
    elif arguments.markdown:
        print(card_text.markdown(cards))
    elif arguments.name or arguments.verbose:
        width = min(card_text.WIDTH, terminal.width() or card_text.WIDTH)
        texts = (
            card_text.describe(card, verbose=arguments.verbose, width=width, origin=_origin(card.name))
            for card in cards
        )
        print("\n\n".join(texts))
    else:
        parts = zip(("METHOD", "CONTROL"), card_text.apart(cards))
        tables = [
            table((head, "FIDELITY", "WHAT IT DOES"), [(c.name, c.fidelity, c.summary) for c in part])
            for head, part in parts
            if part
        ]
        print("\n\n".join(tables))
    return 0


def _origin(name: str) -> str:
    """The distribution of a method that is not this package's."""
    return "" if name in built_in.names() else lazy.interventions().origin(name)


def _matrix(arguments: argparse.Namespace) -> int:
    from registry.model_families import matrix

    chosen = [lazy.card(arguments.name)] if arguments.name else [built_in.load(name) for name in built_in.names()]
    if arguments.json:
        print_json(matrix.table(chosen))
    elif arguments.markdown:
        print(matrix.markdown(chosen))
    else:
        (head, *rows), columns, notes = matrix.text(chosen)
        print(table(head, rows))
        width = terminal.width()
        legend = [f"{letter}: {', '.join(names)}" for letter, *names in columns if len(names) > 1]
        legend += [*([""] if legend else []), *(f"({number}) {note}" for number, note in enumerate(notes, 1))]
        print("", *(line for entry in legend for line in terminal.folded(entry, width, "    ") or [""]), sep="\n")
    return 0


def models(arguments: argparse.Namespace) -> int:
    """``hallu models``."""
    rows = model_ids.table().values()
    if arguments.json:
        print_json(list(rows))
    else:
        head = ("MODEL", "FAMILY", "METHOD")
        print(table(head, [(r.id, r.family or "any", r.method or ("none" if r.family else "any")) for r in rows]))
    return 0


def families(arguments: argparse.Namespace) -> int:
    """``hallu families``."""
    rows = family.load().values()
    if arguments.json:
        print_json([{**_fields(row), "cells": row.cells} for row in rows])
    else:
        head = ("FAMILY", "MODELS", "DEFAULT CHECKPOINT", "MODEL TYPES")
        print(table(head, [(r.id, r.title, r.checkpoint or "-", ", ".join(r.model_types)) for r in rows]))
    return 0


def tasks(arguments: argparse.Namespace) -> int:
    """``hallu tasks``."""
    rows = task_folders.tasks().values()
    if arguments.json:
        print_json(list(rows))
    else:
        head = ("TASK", "KIND", "WHAT IT IS", "FILE")
        print(table(head, [(r.name, r.kind, _first_sentence(r.description), str(r.file)) for r in rows]))
    return 0


def tasks_path(arguments: argparse.Namespace) -> int:
    """``hallu tasks-path``."""
    own = task_folders.own_folder()
    if own is None:
        raise ValueError(
            f"the package hallu_tasks is missing; pip install --force-reinstall {distribution.requirement()}"
        )
    if arguments.json:
        print_json({"path": own, "folders": task_folders.folders()})
    else:
        print(own)
    return 0


def doctor_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``hallu doctor``."""
    parser.add_argument("--quick", action="store_true", help="list the plugins without loading them")
    parser.add_argument(
        "--model_args",
        metavar="pretrained=...",
        help="load this checkpoint and prove that what methods rely on holds there, e.g. pretrained=demo",
    )
    add_json(parser)


def doctor(arguments: argparse.Namespace) -> int:
    """``hallu doctor``; 1 if something is wrong."""
    from registry.commands import doctor as examination

    report = examination.examine(load_plugins=not arguments.quick)
    if arguments.model_args is not None:
        report.sections["Self-check"] = examination.self_check(arguments.model_args, arguments.findings)
    if arguments.json:
        print_json(report.as_dict())
    else:
        print(report)
    return 0 if report.ok else 1


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Aligned columns, folded to the terminal's width."""
    return terminal.table(head, rows, terminal.width())


def print_json(value: object) -> None:
    """Print dataclasses, mappings and sequences as JSON; infinite numbers become text, paths too."""
    print(json.dumps(_plain(value), indent=2, ensure_ascii=False))


def _plain(value: object) -> object:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _plain(_fields(value))
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return os.fspath(value) if isinstance(value, Path) else value


def _fields(value: Any) -> dict[str, object]:
    return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}


def _first_sentence(text: str) -> str:
    return text.split(". ")[0].rstrip(".")
