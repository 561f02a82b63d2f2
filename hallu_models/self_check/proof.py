"""A proof on the loaded model itself, before its first answer: what a method relies on holds here.

Two noise pictures with questions of unequal length are answered by the plain model, then with the same tokens under
probes, small methods that use the same edit points: half of the rows are edited without effect and have to give the
plain model's logits, the others are edited drastically and must not. A beam search that has to reorder its rows comes
last.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor

from hallu_models import processing
from hallu_models.conversations import conversation
from hallu_models.engines import points
from hallu_models.engines.behind import ROWS_BEHIND
from hallu_models.engines.branches import Mode
from hallu_models.engines.heads import HEAD_OUTPUTS
from hallu_models.engines.hidden import ATTENTION_OUTPUT, FEED_FORWARD_OUTPUT, LAYER_OUTPUT
from hallu_models.engines.hiding import HIDING
from hallu_models.engines.maps import MAPS
from hallu_models.engines.rows import LAST_ROW
from hallu_models.engines.values import VALUES
from hallu_models.hosts import forward, generate
from hallu_models.hosts import host as hosts
from hallu_models.hosts.host import Host, UnsupportedModel
from hallu_models.hosts.mismatch import HostMismatch
from hallu_models.interventions.base import Intervention
from hallu_models.self_check.forcing import forced, swapped
from hallu_models.self_check.inner_probes import EncoderProbe, InsideProbe, PartsProbe
from hallu_models.self_check.probes import (
    STEPS,
    AttentionOutputProbe,
    BranchProbe,
    DecodingProbe,
    EarlyProbe,
    FeedForwardProbe,
    HeadProbe,
    HidingProbe,
    LayerOutputProbe,
    LogitsProbe,
    MapProbe,
    PassProbe,
    Probe,
    RowProbe,
    Seen,
    TextProbe,
    ValueProbe,
    apart,
)
from hallu_models.session import Session

BRANCH, PASSES, LOGITS, DECODING = "negative branch", "passes", "token logits", "decoding"
EARLY, INSIDE, PARTS = "early logits", "early logits inside a forward", "parts of layers"
ENCODER = "image encoder"
PROBES: dict[str, Callable[..., Probe]] = {
    VALUES.name: ValueProbe,
    ROWS_BEHIND.name: TextProbe,
    LAST_ROW.name: RowProbe,
    MAPS.name: MapProbe,
    HEAD_OUTPUTS.name: HeadProbe,
    ATTENTION_OUTPUT.name: AttentionOutputProbe,
    FEED_FORWARD_OUTPUT.name: FeedForwardProbe,
    LAYER_OUTPUT.name: LayerOutputProbe,
    PASSES: PassProbe,
    EARLY: EarlyProbe,
    INSIDE: InsideProbe,
    PARTS: PartsProbe,
    LOGITS: LogitsProbe,
    BRANCH: BranchProbe,
    HIDING.name: HidingProbe,
    DECODING: DecodingProbe,
    ENCODER: EncoderProbe,
}
"""What a method can use, and what proves it."""

ENGINES = tuple(PROBES)
APART = (DECODING, ENCODER)
"""Of these those that are proved in generations of their own."""
WITH_LAYERS = (*(point.name for point in points.IN_LAYERS), PASSES)
"""Of these those that act in layers."""

TOLERANCE = {torch.float64: 1e-6, torch.float32: 1e-4, torch.float16: 0.03, torch.bfloat16: 0.05}
"""Of the range of a row's logits: what rounding may move them by."""


class SelfCheckFailed(HostMismatch):
    """What a method relies on does not hold on this model with these host libraries; nothing was answered."""


@dataclass(frozen=True)
class Proof:
    """A check that passed: what was proved, how a negative branch ran, and how long it took in seconds."""

    engines: tuple[str, ...]
    branch: Mode | None
    seconds: float
    largest: float
    """Largest difference to the plain model's logits, as a share of their range."""

    def to_json(self) -> dict[str, Any]:
        """For results, which are the same for the same run."""
        return {
            "passed": True,
            "engines": list(self.engines),
            **({"branch": self.branch} if self.branch else {}),
            "largest_difference": self.largest,
        }


_PROVEN: WeakKeyDictionary[Any, dict[Any, Proof]] = WeakKeyDictionary()


def engines_of(interventions: Sequence[Intervention], depth: int) -> tuple[str, ...]:
    """What methods use on a model of this depth, by the hooks that they override."""
    used: set[str] = set()
    for item in interventions:
        if item.layer_list(depth):
            used.update(point.name for point in points.IN_LAYERS if any(map(item.overrides, point.hooks)))
            used.update([PASSES] if item.overrides("read") or item.overrides("negative") else [])
        if item.early_layers(depth):
            used.update([EARLY, INSIDE] if item.overrides(LAYER_OUTPUT.hook) else [EARLY])
        used.update([PARTS] if item.inside_layers(depth) else [])
        used.update([LOGITS] if item.overrides("token_logits") else [])
        used.update([ENCODER] if item.encoder_layers(1) else [])
        used.update([DECODING] if item.overrides("decode") else [])
        if item.contrasts():
            used.update([BRANCH, *engines_of(item.negative_methods(depth), depth)])
    return tuple(engine for engine in ENGINES if engine in used)


def prove(
    host: Host, interventions: Sequence[Intervention], branch: Mode = "paired", inputs: Mapping[str, Any] | None = None
) -> Proof | None:
    """Check once a process and model what the methods use; None where they use nothing.

    inputs: model inputs to check with, where there is no processor to make some. Raises SelfCheckFailed.
    """
    key = _key(host, interventions, branch)
    if key is None:
        return None
    proven = _PROVEN.setdefault(host.model, {})
    if key not in proven:
        proven[key] = check(host, key[0], key[1], inputs)
    return proven[key]


def is_proven(host: Host, interventions: Sequence[Intervention], branch: Mode) -> bool:
    """Whether :func:`prove` has nothing left to do."""
    key = _key(host, interventions, branch)
    return key is None or key in _PROVEN.get(host.model, {})


def _key(
    host: Host, interventions: Sequence[Intervention], branch: Mode
) -> tuple[tuple[str, ...], Mode | None, str, str] | None:
    """What a proof is about; None where the methods use nothing."""
    engines = engines_of(interventions, host.depth)
    return (engines, branch if BRANCH in engines else None, host.backend, str(host.model.dtype)) if engines else None


def check(
    host: Host, engines: Sequence[str], branch: Mode | None = None, inputs: Mapping[str, Any] | None = None
) -> Proof:
    """Check these engines now. Raises SelfCheckFailed with what does not hold."""
    began = time.perf_counter()
    model = host.model
    devices = [torch.cuda.current_device()] if host.device.type == "cuda" else []
    try:
        with torch.random.fork_rng(devices), torch.inference_mode():
            given, one = (
                pictured(host, number) if inputs is None else few_rows(inputs, number)
                for number in (max(2, len(engines)), 1)
            )
            largest = _Check(host, tuple(engines), branch, given).run(one)
    except (torch.OutOfMemoryError, UnsupportedModel):
        raise
    except HostMismatch as error:
        raise _failed(model, engines, error.what) from error
    except Exception as error:
        raise _failed(model, engines, f"{type(error).__name__}: {error}") from error
    return Proof(tuple(engines), branch, time.perf_counter() - began, largest)


def _failed(model: Any, engines: Sequence[str], what: str) -> SelfCheckFailed:
    return SelfCheckFailed(
        f"self-check failed on {type(model).__name__} ({', '.join(engines)}), so nothing was answered: {what}"
    )


def pictured(host: Host, number: int) -> Any:
    """Model inputs of so many questions of unequal length about pictures of noise."""
    from PIL import Image

    noise = np.random.default_rng(0)
    asked = ["Describe the image.", "Is there a dog in the image? Answer yes or no."]
    questions = [
        conversation(Image.fromarray(noise.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)), asked[row % len(asked)])
        for row in range(number)
    ]
    return processing.encode(host, questions)


UNDONE = {name for point in points.IN_ATTENTION for name in point.undoes}
SHARED = tuple(point.name for point in points.IN_ATTENTION if point.undoes or point.name in UNDONE)
"""Engines of which no two go together in one layer."""

SIDE = 224
"""Height and width of the pictures, in pixels."""


def few_rows(inputs: Mapping[str, Any], number: int) -> dict[str, Any]:
    """So many rows of model inputs, where rows are all that their first axes count; else all of them."""
    ids = forward.ids_of(inputs)
    if ids is None or not all(isinstance(value, Tensor) and len(value) == len(ids) for value in inputs.values()):
        return dict(inputs)
    return {name: value[:number] for name, value in inputs.items()}


class _Check:
    def __init__(self, host: Host, engines: tuple[str, ...], branch: Mode | None, inputs: Mapping[str, Any]) -> None:
        self.host, self.engines, self.branch, self.inputs = host, engines, branch, inputs
        self.tolerance = TOLERANCE.get(host.model.dtype, TOLERANCE[torch.bfloat16])
        ids = forward.ids_of(inputs)
        assert ids is not None
        self.rows = len(ids)
        # What edits logits alone leaves nothing behind in its row, which can then prove a drastic edit and none.
        alone = set(self.engines) - {*APART}
        self.copies = 1 if len(alone) == 1 and alone <= {BRANCH, LOGITS, EARLY} else 2

    def run(self, one: Mapping[str, Any]) -> float:
        """Largest difference of an ineffective edit; ``one`` is a prompt for beams. Raises HostMismatch."""
        model = self.host.model
        tokens, plain = generate.scored(model, self.inputs, STEPS)
        # A first generation leaves things of its own behind.
        before = hosts.fingerprint(model)
        largest = self.decode(tokens, plain) if DECODING in self.engines else 0.0
        if ENCODER in self.engines:
            largest = max(largest, self.encode(tokens, plain))
        if not (probes := tuple(self.probes())):
            return largest
        _, logits = self.answered(
            probes,
            self.inputs,
            force=forced(tokens.repeat_interleave(self.copies, dim=0)),
            do_sample=True,
            num_return_sequences=self.copies,
        )
        self.require_phases(probes)
        largest = max(largest, self.compare(plain, logits, probes))
        # A pass reads the prompt, whatever follows it.
        chosen = [probe for probe in probes if not isinstance(probe, PassProbe)] or probes
        calm = tuple(replace(probe, own=None, seen=Seen()) for probe in chosen)
        self.answered(calm, one, force=swapped(), num_beams=2)
        self.require_phases(calm)
        if hosts.fingerprint(model) != before:
            raise HostMismatch("the model is not what it was before a method was put on and taken off")
        return largest

    def probes(self) -> Iterator[Probe]:
        """A probe an engine, in the first and the last layer; passes end early."""
        depth = self.host.depth
        ends = tuple(sorted({0, depth - 1}))
        for number, engine in enumerate(engine for engine in self.engines if engine not in APART):
            where = ends if engine in WITH_LAYERS else ()
            if engine == PASSES:
                where = tuple(range(min(2, depth)))
            elif engine in (EARLY, INSIDE):
                where = ends[-1:]
            elif (own_layer := self.apart(engine)) is not None:
                where = (own_layer,)
            elif engine == PARTS:
                where = ends[-1:]
            # The first prompt is the padded one: where rows have no copies, it stays as it is.
            own = (number if self.copies > 1 else self.rows - 1) % self.rows
            yield PROBES[engine](where=where, own=own, copies=self.copies, tolerance=self.tolerance)

    def apart(self, engine: str) -> int | None:
        """The one layer of an engine that another would undo, or that would undo another; None where none does."""
        # The last row is what the parts of a layer are tried on.
        used = [LAST_ROW.name if one == PARTS else one for one in (*self.engines, engine)]
        found = [one for one in SHARED if one in used]
        if used[-1] not in found or len(found) < 2:
            return None
        return self.host.depth - 1 if used[-1] == found[-1] else found.index(used[-1])

    def encode(self, tokens: Tensor, plain: Tensor) -> float:
        """Largest difference of the logits when the image encoder is edited without effect."""
        moved = []
        for factor in (1.0, 0.0):
            with Session(self.host, (EncoderProbe(factor=factor),)).attached():
                _, logits = generate.scored(self.host.model, self.inputs, STEPS, force=forced(tokens))
            moved.append(apart(logits, plain))
        if not moved[0] <= self.tolerance:
            raise HostMismatch(
                f"an edit of the image encoder without effect moves logits by {moved[0]:.2g} of their range"
            )
        if moved[1] <= max(3 * moved[0], 1e-5):
            raise HostMismatch("an edit of the image encoder as strong as can be has no effect")
        return moved[0]

    def decode(self, tokens: Tensor, plain: Tensor) -> float:
        """Largest difference of the logits that a decoding policy is given."""
        probe = DecodingProbe(tokens=tokens)
        with Session(self.host, (probe,)).attached():
            generate.decoded(self.host.model, self.inputs, STEPS)
        expected = [*plain, *plain[1:].repeat_interleave(2, dim=1)]
        steps = [apart(*pair) for rows, own in zip(probe.given, expected, strict=True) for pair in zip(rows, own)]
        if not (largest := max(steps)) <= self.tolerance:
            raise HostMismatch(
                f"a decoding policy is given other logits than generate, by {largest:.2g} of their range"
            )
        return largest

    def answered(self, probes: tuple[Probe, ...], inputs: Mapping[str, Any], **options: Any) -> tuple[Tensor, Tensor]:
        session = Session(self.host, probes, branch=self.branch or "paired")
        with session.attached():
            found = generate.scored(self.host.model, inputs, STEPS, **options)
        for probe in probes:
            if probe.seen.problems:
                raise HostMismatch(probe.seen.problems[0])
        return found

    def require_phases(self, probes: tuple[Probe, ...]) -> None:
        for probe in probes:
            found = [(prefill, length - probe.seen.phases[0][1]) for prefill, length in probe.seen.phases]
            expected = [(step == 0, step) for step in range(1 if isinstance(probe, MapProbe) else STEPS)]
            if found[: len(expected)] != expected:
                said = ", ".join(f"{'prefill' if prefill else 'step'} at {length}" for prefill, length in found)
                raise HostMismatch(f"one prefill and then single steps were expected, not {said or 'nothing'}")

    def compare(self, plain: Tensor, logits: Tensor, probes: tuple[Probe, ...]) -> float:
        """Logits (STEPS, B, V) of the plain model and (STEPS, copies * B, V) of the edited rows."""
        ineffective, effective = logits[:, :: self.copies], logits[:, self.copies - 1 :: self.copies]
        largest = 0.0
        for step in range(STEPS):
            for row in range(self.rows):
                drastic = step == STEPS - 1 or (step == 0 and self.copies == 1)
                if drastic and any(probe.own == row for probe in probes):
                    continue
                found = apart(ineffective[step, row], plain[step, row])
                largest = max(largest, found)
                if not found <= self.tolerance:
                    raise HostMismatch(
                        f"an edit without effect moves the logits of token {step + 1} in row {row + 1} by {found:.2g} "
                        f"of their range, and {self.tolerance:g} is rounding"
                    )
        for probe in probes:
            moved = [apart(effective[0, probe.own], plain[0, probe.own])]
            if not isinstance(probe, MapProbe):
                moved.append(apart(ineffective[-1, probe.own], plain[-1, probe.own]))
            # An effect stands out from rounding, whatever that is here.
            least = max(3 * largest, 1e-5)
            if min(moved) <= least:
                when = "the prefill" if moved[0] <= least else "a later step"
                raise HostMismatch(f"{probe.name}: an edit as strong as can be has no effect in {when}")
        return largest
