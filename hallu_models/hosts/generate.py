"""What ``generate`` is told, by its arguments, the configuration given, or the model's own."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from hallu_models.hosts import forward
from hallu_models.hosts.mismatch import HostMismatch

_ASSISTED = "assisted decoding reads several tokens at once, and methods act where one follows another"
REFUSED = {
    "assistant_model": _ASSISTED,
    "prompt_lookup_num_tokens": _ASSISTED,
    "prefill_chunk_size": "methods look at a prompt as a whole, and one read in chunks shows no layer all of it",
    "guidance_scale": "it runs the model once more between two tokens, where a method would act on the wrong prompt",
}
"""Ways of generating under which a method could not act, or not on every token."""


def named(model: Any, args: tuple[Any, ...], options: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a call of ``generate`` by name, those too that were given by position."""
    found = {**dict(zip(forward.names(type(model).generate), args)), **options}
    # What it calls its first argument are the prompt's ids.
    return {forward.IDS if name == "inputs" and value is not None else name: value for name, value in found.items()}


def effective(model: Any, options: Mapping[str, Any], name: str) -> Any:
    """The value of a setting: of the call, None too, else of the configuration given, else the model's own."""
    if name in options:
        return options[name]
    for source in (options.get("generation_config"), model.generation_config):
        if (found := getattr(source, name, None)) is not None:
            return found
    return None


def refuse(model: Any, options: Mapping[str, Any]) -> None:
    """Raises ValueError for settings under which a method could not act, wherever they are made."""
    for name, reason in REFUSED.items():
        value = effective(model, options, name)
        if value is not None and not (name == "guidance_scale" and value == 1):
            where, fix = _where(options, name, "None")
            raise ValueError(f"{name}={_spelled(value)}{where}: {reason}; {fix}")
    cached = effective(model, options, "use_cache")
    if not cached and (cached is not None or "use_cache" in options):
        where, fix = _where(options, "use_cache", "True")
        raise ValueError(
            f"use_cache={cached}{where}: methods need the key-value cache to tell the prompt from decoding; {fix}"
        )


def _where(options: Mapping[str, Any], name: str, better: str) -> tuple[str, str]:
    """Where a setting is made, and how it is mended."""
    fix = f"set {name}={better}"
    if name in options:
        return "", fix
    if getattr(options.get("generation_config"), name, None) is not None:
        return " in the generation_config given", f"{fix} there"
    return (
        " in the generation configuration of the model",
        f"call generate() with {name}={better}, or take it out of the checkpoint's generation_config.json",
    )


def cached(options: Mapping[str, Any]) -> int:
    """Columns in the cache that a call of ``generate`` is given; 0 without one."""
    return max((forward.columns_in(value) for value in options.values() if forward.is_cache(value)), default=0)


def ours(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options of our own calls; what a checkpoint says of caches and compiling changes no answer and is overruled."""
    return {"use_cache": True, "prefill_chunk_size": None, **uncompiled(options)}


def _spelled(value: Any) -> str:
    return str(value) if isinstance(value, (int, float, str)) else type(value).__name__


class Numbers:
    """A forward hook that changes nothing and keeps each row's largest logit on the device, unread.

    It is NaN where any logit is, infinite where one is, and -inf where no token is possible.
    """

    def __init__(self) -> None:
        self._largest: list[Tensor] = []
        self._thread = threading.current_thread()

    def __call__(self, _: Any, args: tuple[Any, ...], output: Any) -> None:
        # Models without a session may be generated with by several threads.
        if threading.current_thread() is self._thread and (made := forward.made_in(output)) is not None:
            self._largest.append(made[:, -1].amax(dim=-1))

    def first_missing(self) -> tuple[int, int, int] | None:
        """Forward, row, and number of rows where a largest logit is first no number; None where all are. Waits once."""
        if not self._largest:
            return None
        missing = (~torch.cat(self._largest).isfinite()).cpu()
        if not bool(missing.any()):
            return None
        for step, rows in enumerate(missing.split([len(values) for values in self._largest])):
            if bool(rows.any()):
                return step, int(rows.int().argmax()), len(rows)
        raise AssertionError


@contextlib.contextmanager
def looked_at(causal: Any) -> Iterator[Numbers]:
    """Inside, the logits of each forward are looked at, as hooks that were there before have left them."""
    numbers = Numbers()
    hook = causal.register_forward_hook(numbers)
    try:
        yield numbers
    finally:
        hook.remove()


def one_answer(model: Any, options: Mapping[str, Any]) -> bool:
    """Whether each prompt gets one answer, by one beam."""
    return all((effective(model, options, name) or 1) == 1 for name in ("num_beams", "num_return_sequences"))


def uncompiled(options: Mapping[str, Any]) -> dict[str, Any]:
    """A compiled decode step would not see the edits of a session."""
    return {"disable_compile": True, **options}


def with_processor(options: Mapping[str, Any], processor: Any) -> dict[str, Any]:
    """A call of ``generate`` by which ``processor`` is the last that is given the scores of each token."""
    return {**options, "logits_processor": [*(options.get("logits_processor") or ()), processor]}


def prompt(options: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """What a call of ``generate``, its arguments by name, gives the model to read."""
    return forward.prompt(options, names)


def ends(model: Any, options: Mapping[str, Any]) -> int | list[int] | None:
    """Ids that end an answer."""
    return effective(model, options, "eos_token_id")  # type: ignore[no-any-return]


def sequences(output: Any) -> Tensor:
    """(A, L) prompt and answer tokens, of whatever ``generate`` returned."""
    return output if isinstance(output, Tensor) else output.sequences


def scored(
    model: Any, inputs: Mapping[str, Any], steps: int, *, force: Any = None, **options: Any
) -> tuple[Tensor, Tensor]:
    """Tokens (A, T) and logits (T, A, V), as the model gives them, of exactly ``steps`` tokens.

    force: a logits processor. Whatever the checkpoint's configuration says of sampling, beams and ways of generating is
    overruled.
    """
    output = model.generate(
        **inputs,
        **ours(dict.fromkeys(REFUSED)),
        **{"do_sample": False, "num_beams": 1, "num_return_sequences": 1, **options},
        max_new_tokens=steps,
        min_new_tokens=steps,
        logits_processor=[] if force is None else [force],
        output_logits=True,
        return_dict_in_generate=True,
    )
    if len(output.logits) < steps:
        raise HostMismatch(f"generate() gave the logits of {len(output.logits)} tokens, not of {steps}")
    return output.sequences[:, -steps:], torch.stack(tuple(output.logits[:steps]))


def decoded(model: Any, inputs: Mapping[str, Any], steps: int) -> Any:
    """What ``generate`` returns for exactly ``steps`` tokens, whatever the checkpoint's configuration says."""
    single = {"do_sample": False, "num_beams": 1, "num_return_sequences": 1}
    return model.generate(
        **inputs, **ours(dict.fromkeys(REFUSED)), **single, max_new_tokens=steps, min_new_tokens=steps
    )


def searched(model: Any, inputs: Mapping[str, Any], steps: int, beams: int) -> tuple[Tensor, Tensor, bool]:
    """Tokens (A, T) and logits (A, T, V) of all ``beams`` hypotheses a prompt, and whether any beam changed its row."""
    output = model.generate(
        **inputs,
        **ours(dict.fromkeys(REFUSED)),
        do_sample=False,
        num_beams=beams,
        num_return_sequences=beams,
        max_new_tokens=steps,
        min_new_tokens=steps,
        output_logits=True,
        return_dict_in_generate=True,
    )
    rows = output.beam_indices[:, :steps]
    logits = torch.stack([step[rows[:, number]] for number, step in enumerate(output.logits[:steps])], dim=1)
    moved = bool((rows[:, 1:] != rows[:, :-1]).any())
    return output.sequences[:, -steps:], logits, moved
