"""An answer as lmms-eval takes it, and the speed that it reports."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from loguru import logger

from registry.runner.mismatch import RunnerMismatch, part


class Answer(Protocol):
    """What a model gives back for a request. Token counts are read with `counts`."""

    text: str


@dataclass(frozen=True)
class Margin:
    """log p(yes) - log p(no) at the first token of an answer, in nats; None, with the reason, where there is none.

    Where one of both is impossible the value is infinite, and `uncut` is the margin before a method ruled tokens out,
    if that is known. `told` is how samples and kept answers have it.
    """

    value: float | None = None
    uncut: float | None = None
    reason: str = ""

    @property
    def told(self) -> dict[str, Any]:
        """Entries of a JSON object, which knows no infinite numbers: ``{"margin": "inf", "uncut": 3.2}``."""
        if self.value is None:
            return {"no_margin": self.reason} if self.reason else {}
        value = self.value if math.isfinite(self.value) else str(self.value)
        return {"margin": value, **({} if self.uncut is None else {"uncut": self.uncut})}

    @classmethod
    def read(cls, entry: Mapping[str, Any]) -> Margin:
        """The margin that an object holds as `told`. What is no number is none, and a reason."""
        if "margin" not in entry:
            return cls(reason=str(entry.get("no_margin") or ""))
        try:
            value, uncut = (None if given is None else _number(given) for given in map(entry.get, ("margin", "uncut")))
        except (TypeError, ValueError, OverflowError):
            return cls(reason=f"its margin is no number: {entry['margin']!r}")
        return cls(value, uncut)


NO_MARGIN = Margin()


def _number(given: Any) -> float:
    value = float(given)
    if isinstance(given, bool) or math.isnan(value):
        raise ValueError(given)
    return value


@functools.lru_cache(maxsize=1)
def _counted(kind: Any) -> Any:
    """Token counts with a margin: lmms-eval puts what they tell as a dictionary into the samples, from all ranks."""

    class Counted(kind):  # type: ignore[misc]
        margin = NO_MARGIN

        def to_dict(self) -> dict[str, Any]:
            return {**super().to_dict(), **self.margin.told}

    return Counted


def answer(text: str, prompt_tokens: int | None, tokens: int | None, margin: Margin | None = None) -> Answer:
    """An answer with its numbers of tokens and margin. Raises `RunnerMismatch` where lmms-eval's is made otherwise."""
    result, numbers = part("api.instance", "GenerationResult"), part("api.instance", "TokenCounts")
    try:
        counted = _counted(numbers)(input_tokens=prompt_tokens, output_tokens=tokens)
        counted.margin = margin or NO_MARGIN
        made: Answer = result(text=text, token_counts=counted)
    except TypeError as error:
        raise RunnerMismatch(f"GenerationResult and TokenCounts of lmms-eval are made otherwise: {error}") from error
    return made


def counts(given: Answer) -> tuple[int | None, int | None]:
    """Tokens of the prompt and of the answer, None where not known. Raises `RunnerMismatch`."""
    try:
        found: Any = given.token_counts  # type: ignore[attr-defined]
        return (None, None) if found is None else (found.input_tokens, found.output_tokens)
    except AttributeError as error:
        raise RunnerMismatch(f"GenerationResult and TokenCounts of lmms-eval are read otherwise: {error}") from error


def margin(given: Any) -> Margin:
    """The margin of an answer; that of one which has none is empty."""
    found = getattr(getattr(given, "token_counts", None), "margin", None)
    return found if isinstance(found, Margin) else NO_MARGIN


def margin_in(sample: Mapping[str, Any]) -> Margin:
    """The margin in a sample, where lmms-eval writes it with the numbers of tokens; empty where there is none."""
    counted = sample.get("token_counts")
    first = counted[0] if isinstance(counted, list) and counted else None
    return Margin.read(first) if isinstance(first, dict) else NO_MARGIN


def require() -> None:
    """Raises `RunnerMismatch` where lmms-eval would score something else than an answer's text."""
    given = answer("text", 1, 2)
    unwrap = part("api.instance", "unwrap_generation_output")
    try:
        text = unwrap(given)[0]
    except Exception as error:
        raise RunnerMismatch(f"lmms-eval does not read a GenerationResult: {type(error).__name__}: {error}") from error
    if text != "text" or counts(given) != (1, 2):
        raise RunnerMismatch(f"lmms-eval scores {text!r} where a GenerationResult holds 'text'")


def report(seconds: float, tokens: int, more: dict[str, Any]) -> None:
    """Put the speed, and further numbers, into the results, as ``throughput``. A warning where that is not possible."""
    try:
        log = part("models.model_utils.gen_metrics", "log_metrics")
        numbers = {"total_elapsed_time": seconds, "total_gen_tokens": tokens, "avg_speed": tokens / seconds}
        try:
            log(**numbers, additional_metrics=more)
        except TypeError as error:
            raise RunnerMismatch(f"log_metrics of lmms-eval is called otherwise: {error}") from error
    except RunnerMismatch as error:
        logger.warning(f"the results will not hold tokens per second, nor {', '.join(more)}: {error}")
