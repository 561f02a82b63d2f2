"""Finished answers of a run that failed, kept until the same command is run again."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from lmms_eval.api.instance import GenerationResult, TokenCounts


def folder() -> Path:
    """``$HALLU_RECOVERY``, by default ``hallu/recovery`` in the user's cache folder."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    return Path(os.environ.get("HALLU_RECOVERY", cache / "hallu" / "recovery"))


def digest(*parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


class Answers:
    """Answers by document key. On disk only after a failure; :meth:`forget` once the run is complete."""

    def __init__(self, run: str) -> None:
        self.path = folder() / f"{run[:32]}.jsonl"
        self._answers: dict[str, GenerationResult] = {}
        if self.path.exists():
            for line in self.path.read_text().splitlines():
                entry = json.loads(line)
                self._answers[entry["key"]] = GenerationResult(
                    entry["text"], TokenCounts(input_tokens=entry["input_tokens"], output_tokens=entry["output_tokens"])
                )

    def __len__(self) -> int:
        return len(self._answers)

    def get(self, key: str) -> GenerationResult | None:
        return self._answers.get(key)

    def add(self, key: str, answer: GenerationResult) -> None:
        self._answers[key] = answer

    def save(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # Whole or not at all: half a file would stop the run that reads it.
        unfinished = self.path.with_suffix(".part")
        with unfinished.open("w") as file:
            for key, answer in self._answers.items():
                counts = answer.token_counts or TokenCounts()
                entry = {
                    "key": key,
                    "text": answer.text,
                    "input_tokens": counts.input_tokens,
                    "output_tokens": counts.output_tokens,
                }
                file.write(json.dumps(entry) + "\n")
        unfinished.replace(self.path)

    def forget(self) -> None:
        self.path.unlink(missing_ok=True)
