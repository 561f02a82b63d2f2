"""An answer as lmms-eval takes it, and the speed that it reports."""

from __future__ import annotations

from typing import Any, Protocol

from loguru import logger

from registry.runner.mismatch import RunnerMismatch, part


class Answer(Protocol):
    """What a model gives back for a request. Token counts are read with `counts`."""

    text: str


def answer(text: str, prompt_tokens: int | None, tokens: int | None) -> Answer:
    """An answer with its numbers of tokens. Raises `RunnerMismatch` where lmms-eval's is made otherwise."""
    result, numbers = part("api.instance", "GenerationResult"), part("api.instance", "TokenCounts")
    try:
        made: Answer = result(text=text, token_counts=numbers(input_tokens=prompt_tokens, output_tokens=tokens))
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
