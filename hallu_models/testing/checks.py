"""The contract's checks: each raises Differs with what does not hold, on one model."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Mapping
from typing import Any

import torch
from torch import Tensor

from hallu_models.hosts import host as hosts
from hallu_models.testing.trial import Answers, Trial

ROUNDING = 1e-5
"""Of the range of a row's logits, between two ways to compute the same in float32 ..."""
THROUGH_LAYERS = 1e-4
"""... and where other kernels round differently in every layer."""
EFFECT = 1e-3
"""Of the range: what an edit has to move at least."""
BEAMS, SHORT = 4, 6
DECODING: Mapping[str, Mapping[str, Any]] = {
    "greedy": {},
    "two beams": {"num_beams": 2},
    "sampling": {"do_sample": True, "temperature": 0.9, "top_k": 0},
}


class Differs(AssertionError):
    """What was found in the place of what was expected."""


def apart(found: Tensor, expected: Tensor) -> Tensor:
    """Largest difference (A, T) of logits (A, T, V) as a share of their range (of 1 where that is less)."""
    possible = expected.isfinite()
    same = (found.isfinite() == possible).all(dim=-1)
    high, low = (expected.masked_fill(~possible, value) for value in (-torch.inf, torch.inf))
    difference = (found - expected).abs().masked_fill(~(possible & found.isfinite()), 0.0).amax(dim=-1)
    return (difference / (high.amax(dim=-1) - low.amin(dim=-1)).clamp(min=1.0)).where(same, torch.inf)


def agree(found: Answers, expected: Answers, what: str, within: float = THROUGH_LAYERS) -> None:
    """The same tokens from the same logits, up to rounding."""
    for row, number in enumerate(expected.numbers):
        if not torch.equal(found.tokens[row], expected.tokens[row]):
            raise Differs(
                f"row {number + 1}: {what}: {found.tokens[row].tolist()}, not {expected.tokens[row].tolist()}"
            )
    if found.predicted is not None and expected.predicted is not None:
        near(found.predicted, expected.predicted, expected.numbers, what, within)


def near(found: Tensor, expected: Tensor, numbers: tuple[int, ...], what: str, within: float) -> None:
    """The same logits (A, T, V), up to ``within`` of their range."""
    difference = apart(found, expected)
    if not bool((difference <= within).all()):
        row, step = divmod(int(difference.argmax()), difference.shape[1])
        raise Differs(
            f"row {numbers[row] + 1}, token {step + 1}: {what}: logits are apart by {float(difference[row, step]):.2g} "
            f"of their range, and {within:g} is rounding"
        )


def identity(trial: Trial) -> None:
    """Settings that switch the method off give the plain model, token for token."""
    for name, options in list(DECODING.items())[: 1 if trial.decides else None]:
        off, plain = (trial.answered(method, trial.numbers, steps=SHORT, **options) for method in (trial.off, None))
        if not torch.equal(off.tokens, plain.tokens):
            row = int((off.tokens != plain.tokens).any(dim=1).nonzero()[0])
            raise Differs(
                f"{name}: with the identity settings row {plain.numbers[row] + 1} is {off.tokens[row].tolist()}, and "
                f"the plain model's is {plain.tokens[row].tolist()}"
            )


def acts(trial: Trial) -> None:
    """The method does something to what has an image."""
    acted, plain = trial.acted, trial.answered(None, trial.numbers)
    if acted.predicted is None:
        moved = not torch.equal(acted.tokens, plain.tokens)
    else:
        rows = [acted.numbers.index(number) for number in trial.with_image]
        # The prompt is the same whatever is answered; only what acts later needs the plain model on its tokens.
        moved = _moved(acted, plain, rows, 1) or _moved(acted, trial.plain, rows, None)
    if not moved:
        raise Differs(
            f"{trial.acting!r} moves no logit by more than {EFFECT:g} of their range; give stronger parameters=, which "
            "act on four layers and a handful of image tokens"
        )


def _moved(acted: Answers, plain: Answers, rows: list[int], tokens: int | None) -> bool:
    assert acted.predicted is not None
    assert plain.predicted is not None
    return bool((apart(acted.predicted[rows, :tokens], plain.predicted[rows, :tokens]) > EFFECT).any())


def without_image(trial: Trial) -> None:
    """Rows without an image are the plain model's."""
    acted, plain = trial.acted, trial.plain
    for number in set(trial.numbers) - set(trial.with_image):
        # Beside negative rows, or longer questions, the same row is rounded otherwise.
        longer = trial.acting.contrasts() or trial.acting.overrides("question")
        within = THROUGH_LAYERS if longer else 0.0
        agree(acted.row(number), plain.row(number), "it has no image, and is not the plain model's", within)


def batches(trial: Trial) -> None:
    """A row alone is what it is in a left-padded batch of eight, or of as many as the family takes at once."""
    for number in trial.with_image[:4]:
        among = trial.acted.row(number)
        alone = trial.answered(trial.acting, [number], force=among.tokens)
        agree(alone, among, "alone it is another than in its batch")


def backends(trial: Trial) -> None:
    """The model's own kernels and eager attention agree."""
    with hosts.attending(trial.host, "eager"):
        eager = trial.answered(trial.acting, trial.numbers, force=trial.acted.tokens)
    agree(eager, trial.acted, f"eager attention and {trial.host.backend} disagree")


def branches(trial: Trial) -> None:
    """Paired rows and a branch of its own agree."""
    sequential = trial.answered(trial.acting, trial.numbers, branch="sequential", force=trial.acted.tokens)
    agree(sequential, trial.acted, "branch=sequential and branch=paired disagree")


def beams(trial: Trial) -> None:
    """Each hypothesis of a beam search has the logits that its tokens have alone: what is kept follows the beams."""
    numbers = trial.with_image[:2]
    tokens, logits, moved = trial.searched(numbers, BEAMS)
    if not moved:
        raise Differs("no beam has changed its row, so this shows nothing")
    repeated = [number for number in numbers for _ in range(BEAMS)]
    alone = trial.answered(trial.acting, repeated, force=tokens)
    assert alone.predicted is not None
    what = f"one of {BEAMS} beams, and the same tokens alone"
    near(logits.float(), alone.predicted, tuple(repeated), what, THROUGH_LAYERS)


def reference(trial: Trial) -> None:
    """The author's equations on one row give the logits of its row in the batch, at the prefill and every token."""
    assert trial.reference is not None
    for number in trial.with_image[:3]:
        found = trial.acted.row(number)
        if found.predicted is None:
            raise Differs("a method that chooses the tokens itself has no logits to compare; give no reference=")
        row = trial.row(number)
        expected = trial.reference(trial.acting, row)
        if len(expected) == len(row.image):
            expected = row.answers(expected)
        near(found.predicted, expected[None].float(), (number,), "the batch, and the reference", THROUGH_LAYERS)


def clean_exit(trial: Trial) -> None:
    """After use, and after an exception in the middle of generate, the model is what it was."""
    model, numbers = trial.host.model, trial.numbers
    plain = trial.answered(None, numbers)
    before = trial.untouched
    trial.answered(trial.acting, numbers)
    if hosts.fingerprint(model) != before:
        raise Differs(f"after use {_changed(before, hosts.fingerprint(model))}")
    calls = iter(range(trial.steps))

    def fail(ids: Tensor, scores: Tensor) -> Tensor:
        if next(calls) == 2:
            raise _Interrupted
        return scores

    try:
        trial.answered(trial.acting, numbers, processor=fail)
    except _Interrupted:
        pass
    else:
        raise Differs("the logits of a third token were never asked for")
    if hosts.fingerprint(model) != before:
        raise Differs(f"after an exception in the middle of generate {_changed(before, hosts.fingerprint(model))}")
    agree(trial.answered_anew(numbers), plain, "after an exception the plain model is another", 0.0)


class _Interrupted(Exception):
    pass


def _changed(before: Mapping[str, object], after: Mapping[str, object]) -> str:
    names = [name or "the model itself" for name in before if after.get(name) != before[name]]
    return f"hooks, attributes or attention backends are others in {', '.join(names[:3]) or 'new modules'}"


CHECKS: Mapping[str, Callable[[Trial], None]] = {
    "identity": identity,
    "it acts": acts,
    "reference": reference,
    "batches": batches,
    "rows without an image": without_image,
    "backends": backends,
    "branches": branches,
    "beams": beams,
    "clean exit": clean_exit,
}
"""By name, in order."""


def of(trial: Trial, chosen: Collection[str]) -> dict[str, Callable[[], None]]:
    """Those of the chosen checks that apply to a method on a model, by name, in order."""
    if "clean exit" in chosen:
        # Before the first of them.
        _ = trial.untouched
    without = {
        "reference": trial.reference is None,
        "rows without an image": trial.numbers == trial.with_image or trial.decides,
        "branches": not trial.acting.contrasts(),
        "beams": trial.decides,
    }
    return {
        name: functools.partial(check, trial)
        for name, check in CHECKS.items()
        if name in chosen and not without.get(name)
    }
