"""A long run with methods put on and taken off all the time: memory, file handles and threads stay what they were.

``make soak``: 20,000 documents on the demo model, answers of three tokens in batches of 16, another method every five
batches. It ends with status 1 where, from the end of the warm-up on, resident memory grows by more than 2 %, or a file
handle or a thread is gained.
"""

from __future__ import annotations

import argparse
import gc
import os
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import numpy as np
import psutil
from PIL import Image

import hallu_models
import registry
from hallu_models import generation

BATCH, TOKENS, BATCHES = 16, 3, 5
GROWTH = 0.02
WARM = 0.2
"""The share of the documents after which caches are full; every method has had its turn several times by then."""
NEEDED = {"ad_hh": {"heads": "L5H3"}}
"""What a method's card does not say of the demo model."""
CYCLE: tuple[str | None, ...] = (None, *sorted(registry.methods()), "eah+vhr")


@dataclass(frozen=True)
class Reading:
    """Taken between two methods. memory: resident, in bytes."""

    documents: int
    memory: int
    handles: int
    threads: int

    @classmethod
    def now(cls, documents: int) -> Reading:
        gc.collect()
        own = psutil.Process()
        return cls(documents, own.memory_info().rss, own.num_fds(), own.num_threads())


def judged(readings: Sequence[Reading]) -> tuple[list[str], str]:
    """What grew from the first tenth of the readings to the last one, and the figures. Medians, for memory breathes."""
    tenth = max(1, len(readings) // 10)
    first, last = readings[:tenth], readings[-tenth:]
    before, after = (statistics.median(one.memory for one in part) for part in (first, last))
    growth = after / before - 1
    grown = [f"memory grew by {growth:.1%}, allowed {GROWTH:.0%}"] if growth > GROWTH else []
    for name in ("handles", "threads"):
        most = max(getattr(one, name) for one in first)
        if (gained := getattr(last[-1], name) - most) > 0:
            grown.append(f"{gained} {name} gained")
    figures = (
        f"memory {before / 2**20:.0f} to {after / 2**20:.0f} MiB ({growth:+.1%}), handles {first[0].handles} to "
        f"{last[-1].handles}, threads {first[0].threads} to {last[-1].threads}"
    )
    return grown, figures


def questions(random: np.random.Generator, number: int) -> list[list[dict[str, object]]]:
    """Conversations about pictures that no earlier batch had."""
    found = []
    for _ in range(number):
        picture = Image.fromarray(random.integers(0, 256, (64, 64, 3), dtype=np.uint8))
        found.append(hallu_models.conversation(picture, f"Describe thing {random.integers(1000)} in this image."))
    return found


def turns(documents: int) -> Iterator[Reading]:
    """A reading after each turn of a method."""
    host = hallu_models.load("demo", device="cpu")
    random = np.random.default_rng(0)
    done = turn = 0
    while done < documents:
        method = CYCLE[turn % len(CYCLE)]
        asked = [questions(random, BATCH) for _ in range(BATCHES)]
        others = [generation.images_of(one)[0] for one in questions(random, BATCH)]
        with hallu_models.attach(host, method, other_images=others, **NEEDED.get(method or "", {})) as session:
            for batch in asked:
                answers = generation.generate_in(session, batch, max_new_tokens=TOKENS)
                assert len(answers) == BATCH
        done, turn = done + BATCH * BATCHES, turn + 1
        yield Reading.now(done)


def main(given: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=20_000, help="how many are answered (default: 20000)")
    asked = parser.parse_args(given).documents
    least = round(2 * len(CYCLE) * BATCH * BATCHES / WARM)
    if asked < least:
        parser.error(f"--documents {asked}: at least {least}, so that every method has two turns in the warm-up")
    began, readings = time.monotonic(), []
    for reading in turns(asked):
        readings.append(reading)
        if len(readings) % len(CYCLE) == 0:
            print(f"{reading.documents} documents, {time.monotonic() - began:.0f} s: {reading}", flush=True)
    grown, figures = judged([one for one in readings if one.documents > WARM * asked])
    print(f"{readings[-1].documents} documents in {time.monotonic() - began:.0f} s; after the warm-up {figures}")
    for line in grown:
        print(f"soak: {line}", file=sys.stderr)
    return 1 if grown else 0


if __name__ == "__main__":
    sys.exit(main())
