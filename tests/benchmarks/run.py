"""Costs of the methods and of the plugin, each against the control arm in the same run: ``make bench``.

Repeats are interleaved in alternating order; a row is the median of the per-pair ratios with their quartiles. A ratio
close to its bound needs a machine with nothing else running: the header shows the load. Everything runs on the CPU.
"""

from __future__ import annotations

import argparse
import gc
import os
import platform
import sys
import time
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# Taken before torch is imported, which is work itself.
LOAD = os.getloadavg()[0] if hasattr(os, "getloadavg") else None

import documents  # noqa: E402
import forwards  # noqa: E402
import memory  # noqa: E402
import proofs  # noqa: E402
import startup  # noqa: E402
import tables  # noqa: E402
import torch  # noqa: E402
from pairs import Row  # noqa: E402
from transformers.utils import logging  # noqa: E402

import registry  # noqa: E402

PARTS = ("demo", *forwards.RANDOM, "documents", "memory", "startup")


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, help="pairs a row; short measurements take four times as many (10)")
    parser.add_argument("--quick", action="store_true", help="two pairs, a small random model, few documents")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="these parts only")
    parser.add_argument("--methods", nargs="+", metavar="METHOD", help="these methods only (all)")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--markdown", action="store_true")
    form.add_argument("--json", action="store_true")
    chosen = parser.parse_args(given)
    known = list(registry.methods())
    chosen.methods = chosen.methods or known
    if unknown := [name for name in chosen.methods if name not in known]:
        parser.error(f"--methods {' '.join(unknown)}: not known; choose from {', '.join(known)}")
    if chosen.repeats is None:
        chosen.repeats = 2 if chosen.quick else 10
    if chosen.repeats < 1:
        parser.error(f"--repeats {chosen.repeats}: at least 1")
    return chosen


def measure(chosen: argparse.Namespace) -> tuple[list[Row], list[str]]:
    """The rows of the chosen parts, and a line about each model."""
    repeats, methods, quick = chosen.repeats, chosen.methods, chosen.quick
    many = repeats if quick else 4 * repeats
    rows: list[Row] = []
    notes: list[str] = []
    if "demo" in chosen.only:
        scenario = forwards.demo_scenario()
        rows += forwards.rows(scenario, methods, steps=4 if quick else 32, repeats=many)
        if "cicd" in methods:
            rows += forwards.branch_rows(scenario, steps=4 if quick else 32, repeats=many)
        rows += proofs.rows(scenario, methods, repeats=repeats)
        notes.append(scenario.description(repeats))
    for part in [name for name in forwards.RANDOM if name in chosen.only]:
        scenario = forwards.RANDOM[part](2 if quick else 16)
        rows += forwards.rows(scenario, methods, steps=4 if quick else 16, repeats=repeats)
        if "cicd" in methods:
            rows += forwards.branch_rows(scenario, steps=4 if quick else 16, repeats=repeats)
        if part == "random":
            rows += proofs.rows(scenario, methods, repeats=min(repeats, 3))
        notes.append(scenario.description(min(repeats, 3)))
        del scenario
        gc.collect()
    if "documents" in chosen.only:
        rows += documents.rows(
            [name for name in methods if name in documents.BOUNDS],
            documents=documents.BATCH if quick else 64,
            repeats=repeats,
        )
    if "memory" in chosen.only:
        rows += memory.rows(repeats=2 if quick else 3)
    if "startup" in chosen.only:
        rows += startup.rows(repeats=many)
    return rows, notes


def header() -> dict[str, str]:
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "CPU": f"{_cpu_model()}, {usable} cores, torch uses {torch.get_num_threads()} threads",
        "load before the run": "unknown" if LOAD is None else f"{LOAD:.2f}",
        "versions": ", ".join(
            [f"Python {platform.python_version()}"]
            + [f"{name} {metadata.version(name)}" for name in ("torch", "transformers", "lmms-eval")]
        ),
    }


def _cpu_model() -> str:
    return _proc_value("/proc/cpuinfo", "model name") or platform.processor() or platform.machine()


def _proc_value(file: str, key: str) -> str:
    """The first value of a key in a Linux status file; empty where there is none."""
    if not Path(file).exists():
        return ""
    lines = (line.partition(":") for line in Path(file).read_text().splitlines())
    return next((value.strip() for name, _, value in lines if name.strip() == key), "")


def main() -> None:
    chosen = arguments()
    logging.disable_progress_bar()
    began = time.perf_counter()
    rows, notes = measure(chosen)
    form = tables.markdown if chosen.markdown else tables.as_json if chosen.json else tables.text
    print(form(header(), rows, notes))
    print(f"{(time.perf_counter() - began) / 60:.1f} minutes", file=sys.stderr)


if __name__ == "__main__":
    main()
