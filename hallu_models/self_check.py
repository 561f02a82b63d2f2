"""A proof on the loaded model itself, before its first answer: what a method relies on holds here.

Two noise pictures with questions of unequal length are answered by the plain model, then with the same tokens under
probes, small methods that use the same edit points: half of the rows are edited without effect and have to give the
plain model's logits, the others are edited drastically and must not. A beam search that has to reorder its rows comes
last.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor

from hallu_models import generation
from hallu_models.engines.branches import Mode, Negative
from hallu_models.engines.maps import Maps
from hallu_models.hosts import forward, generate
from hallu_models.hosts import host as hosts
from hallu_models.hosts.host import Host
from hallu_models.hosts.mismatch import HostMismatch
from hallu_models.interventions.base import ContrastStep, Intervention, LayerStep, Prompt
from hallu_models.session import Session

STEPS = 4
"""Tokens: the first two show a prefill and a step apart, the third a step behind a step; the last is edited."""

BRANCH = "negative branch"
ENGINES = {
    "last row": ("row_scores", "row_attention"),
    "maps": ("maps",),
    "head outputs": ("head_outputs",),
    "passes": ("read", "negative"),
    BRANCH: (),
}
"""What a method can use, and the hooks that use it."""

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
    """The engines that methods use on a model of this depth, by the hooks that they override."""
    used = set()
    for item in interventions:
        if item.contrasts():
            used.add(BRANCH)
        if item.layer_list(depth):
            used.update(engine for engine, hooks in ENGINES.items() if any(map(item.overrides, hooks)))
    return tuple(engine for engine in ENGINES if engine in used)


def prove(
    host: Host, interventions: Sequence[Intervention], branch: Mode = "paired", inputs: Mapping[str, Any] | None = None
) -> Proof | None:
    """Check once a process and model what the methods use; None where they use nothing.

    inputs: model inputs to check with, where there is no processor to make some. Raises SelfCheckFailed.
    """
    engines = engines_of(interventions, host.depth)
    if not engines:
        return None
    mode = branch if BRANCH in engines else None
    key = (engines, mode, host.backend, str(host.model.dtype))
    proven = _PROVEN.setdefault(host.model, {})
    if key not in proven:
        proven[key] = check(host, engines, mode, inputs)
    return proven[key]


def is_proven(host: Host, interventions: Sequence[Intervention], branch: Mode) -> bool:
    """Whether :func:`prove` has nothing left to do."""
    engines = engines_of(interventions, host.depth)
    mode = branch if BRANCH in engines else None
    return not engines or (engines, mode, host.backend, str(host.model.dtype)) in _PROVEN.get(host.model, {})


def check(
    host: Host, engines: Sequence[str], branch: Mode | None = None, inputs: Mapping[str, Any] | None = None
) -> Proof:
    """Check these engines now. Raises SelfCheckFailed with what does not hold."""
    began = time.perf_counter()
    model = host.model
    devices = [torch.cuda.current_device()] if host.device.type == "cuda" else []
    try:
        with torch.random.fork_rng(devices), torch.inference_mode():
            given = few_rows(inputs) if inputs is not None else pictured(host, len(engines))
            largest = _Check(host, tuple(engines), branch, given).run()
    except torch.OutOfMemoryError:
        raise
    except HostMismatch as error:
        raise _failed(model, engines, error.what) from error
    except Exception as error:
        raise _failed(model, engines, f"{type(error).__name__}: {error}") from error
    return Proof(tuple(engines), branch, time.perf_counter() - began, largest)


def findings(loading: Mapping[str, Any]) -> Iterator[tuple[bool, str, str, str]]:
    """Whether each engine holds on a checkpoint, its name, what was found, and what mends it.

    ``loading`` are arguments of :func:`hallu_models.load`.
    """
    host = hosts.load(**loading)
    # Where no attention can be acted on, predictions can still be contrasted.
    ways: list[tuple[str, Mode | None]] = [] if host.closed else [(one, None) for one in ENGINES if one != BRANCH]
    for engine, branch in [*ways, (BRANCH, "paired"), (BRANCH, "sequential")]:
        name = f"{engine}, {branch}" if branch else engine
        try:
            proof = check(host, (engine,), branch)
        except SelfCheckFailed as error:
            said, _, advice = str(error).partition("\n")
            yield False, name, said, advice
        else:
            yield True, name, f"holds, to {proof.largest:.1e} of the logits' range ({proof.seconds:.1f} s)", ""


def _failed(model: Any, engines: Sequence[str], what: str) -> SelfCheckFailed:
    return SelfCheckFailed(
        f"self-check failed on {type(model).__name__} ({', '.join(engines)}), so nothing was answered: {what}"
    )


def pictured(host: Host, number: int) -> Any:
    """Model inputs of questions of unequal length about pictures of noise, two at least."""
    from PIL import Image

    noise = np.random.default_rng(0)
    asked = ["Describe the image.", "Is there a dog in the image? Answer yes or no."]
    questions = [
        generation.conversation(
            Image.fromarray(noise.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)), asked[row % len(asked)]
        )
        for row in range(max(2, number))
    ]
    return generation.encode(host, questions)


SIDE = 224
"""Height and width of the pictures, in pixels."""


def few_rows(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Two rows of model inputs, where rows are all that their first axes count; else all of them."""
    ids = forward.ids_of(inputs)
    if ids is None or not all(isinstance(value, Tensor) and len(value) == len(ids) for value in inputs.values()):
        return dict(inputs)
    return {name: value[:2] for name, value in inputs.items()}


@dataclass
class Seen:
    """What the probes find during one generation."""

    phases: list[tuple[bool, int]] = field(default_factory=list)
    """Prefill or not, and columns so far, of each forward."""
    problems: list[str] = field(default_factory=list)
    passed: dict[int, Tensor] = field(default_factory=dict)

    def require(self, holds: bool, otherwise: str) -> None:
        if not holds:
            self.problems.append(otherwise)


@dataclass(frozen=True)
class Probe(Intervention):
    """A method that changes nothing in the even rows of a batch, and all it can in some of the odd ones.

    where: layers. own: the prompt whose two rows are edited drastically, the odd one in the prefill and the even one in
    the last forward; None for none.
    """

    where: tuple[int, ...] = ()
    own: int | None = None
    tolerance: float = 0.0
    seen: Seen = field(default_factory=Seen)

    def layer_list(self, depth: int) -> tuple[int, ...]:
        return self.where

    def drastic(self, step: int, like: Tensor) -> Tensor:
        """(B,) rows that are edited drastically in a forward; 0 is the prefill. ``like`` (B, ...)."""
        chosen = torch.zeros(len(like), dtype=torch.bool, device=like.device)
        if self.own is not None and step in (0, STEPS - 1):
            chosen[2 * self.own + (step == 0)] = True
        return chosen

    def edited(self, values: Tensor) -> Tensor:
        """Zero in the rows that are edited drastically (B, ...)."""
        rows = self.drastic(len(self.seen.phases) - 1, values)
        return values.masked_fill(rows.view(-1, *[1] * (values.ndim - 1)), 0.0)

    def note(self, at: LayerStep) -> None:
        if at.layer == self.where[0]:
            self.seen.phases.append((at.prefill, at.columns.length))


class HeadProbe(Probe):
    """Head outputs as they are."""

    name: ClassVar[str] = "self-check of head outputs"

    def head_outputs(self, outputs: Tensor, at: LayerStep) -> Tensor:
        self.note(at)
        return self.edited(outputs)


class RowProbe(Probe):
    """The last row's attention as it is: a distribution over what the row sees."""

    name: ClassVar[str] = "self-check of last row"

    def row_attention(self, attention: Tensor, at: LayerStep) -> Tensor:
        self.note(at)
        total = attention.sum(dim=-1)
        self.seen.require(
            bool((total - 1).abs().amax() < 1e-3),
            f"the attention of the last row sums to {float(total.amin()):.4g} to {float(total.amax()):.4g}, not to 1",
        )
        hidden = float(attention.masked_fill(at.columns.visible[:, None], 0.0).amax())
        self.seen.require(hidden < 1e-6, f"the last row gives padding an attention of {hidden:.2g}")
        return self.edited(attention)


class MapProbe(Probe):
    """The first and the last head's own map, in the place of the backend's outputs."""

    name: ClassVar[str] = "self-check of maps"

    def maps(self, maps: Maps, outputs: Tensor, at: LayerStep) -> Tensor:
        self.note(at)
        made = outputs.clone()
        for head in {0, maps.heads - 1}:
            chosen = torch.full((len(outputs),), head, device=outputs.device)
            made[:, :, head] = maps.outputs(chosen)[:, :, head]
        # What a padding row attends to is nobody's.
        made = torch.where(at.layout.padding[:, : made.shape[1], None, None], outputs, made)
        return self.edited(made)


class PassProbe(HeadProbe):
    """A pass over the prompt sees at its end what the prefill sees there; and where the image is."""

    name: ClassVar[str] = "self-check of passes"

    def read(self, prompt: Prompt) -> None:
        read_again(prompt, self.seen, self.tolerance)
        rows = torch.arange(len(prompt.embeddings), device=prompt.embeddings.device)
        one = rows.new_zeros(len(rows), 1)
        found = prompt.run.head_outputs_along(one, rows, self.where, image=True, scales={})
        self.seen.passed.update({layer: outputs[:, 0] for layer, outputs in found.items()})
        blind = prompt.run.head_outputs_without_image(prompt.layout, self.where)
        last = self.where[-1]
        self.seen.require(
            apart(blind[last], self.seen.passed[last]) > self.tolerance / 10,
            "a pass without the image gives the same head outputs as one with it",
        )

    def head_outputs(self, outputs: Tensor, at: LayerStep) -> Tensor:
        if at.prefill:
            # Odd rows may be edited by now.
            found = apart(self.seen.passed[at.layer][::2], at.layout.last_row(outputs)[::2])
            self.seen.require(
                found <= self.tolerance,
                f"a pass over the prompt gives other head outputs in layer {at.layer} than the prefill, by {found:.2g} "
                "of their range",
            )
        return super().head_outputs(outputs, at)


class BranchProbe(Probe):
    """Contrast with the same prompt, two columns further right, in which nothing is to be subtracted."""

    name: ClassVar[str] = "self-check of negative branch"

    def contrasts(self) -> bool:
        return True

    def negative(self, prompt: Prompt) -> Negative:
        again = read_again(prompt, self.seen, self.tolerance)
        active = torch.ones(len(prompt.embeddings), dtype=torch.bool, device=prompt.embeddings.device)
        return Negative(again.padded(2), active)

    def contrast(self, logits: Tensor, negative: Tensor, at: ContrastStep) -> Tensor:
        self.seen.phases.append((at.step == 0, at.step))
        # Edits of other probes reach the main rows alone, and those of their own prompts.
        mine = slice(None) if self.own is None else slice(2 * self.own, 2 * self.own + 1)
        found = apart(negative[mine], logits[mine])
        self.seen.require(
            found <= self.tolerance or (self.own is not None and at.step == STEPS - 1),
            f"negative rows that see the same prompt give other logits at token {at.step + 1}, by {found:.2g} of their "
            "range",
        )
        return torch.where(self.drastic(at.step, logits)[:, None], -logits, 2 * logits - negative)


def read_again(prompt: Prompt, seen: Seen, tolerance: float) -> Any:
    """The prompt as the model reads it once more, which has to be the same."""
    again, own = prompt.run.again(), prompt.run.prompt
    real = own.mask
    seen.require(
        bool(torch.equal(again.mask, own.mask)) and apart(again.embeddings[real], own.embeddings[real]) <= tolerance,
        "the model gives its decoder other embeddings for the same inputs",
    )
    if own.crossing is None:
        words = prompt.run.words()
        away = (own.embeddings - words).abs().amax(dim=-1) > 0
        seen.require(
            bool((away & real).eq(prompt.layout.image).all()),
            "image features are not in the columns of the image token alone",
        )
    return again


def apart(values: Tensor, others: Tensor) -> float:
    """Largest difference of two tensors as a share of the range of the second; infinite where one is no number."""
    values, others = values.float(), others.float().to(values.device)
    difference = float((values - others).abs().amax()) if values.numel() else 0.0
    spread = float(others.amax() - others.amin()) if values.numel() else 1.0
    return difference / max(spread, 1e-12) if np.isfinite(difference) else float("inf")


class _Check:
    def __init__(self, host: Host, engines: tuple[str, ...], branch: Mode | None, inputs: Mapping[str, Any]) -> None:
        self.host, self.engines, self.branch, self.inputs = host, engines, branch, inputs
        self.tolerance = TOLERANCE.get(host.model.dtype, TOLERANCE[torch.bfloat16])
        ids = forward.ids_of(inputs)
        assert ids is not None
        self.rows, self.length = ids.shape

    def run(self) -> float:
        """Largest difference of an ineffective edit. Raises HostMismatch."""
        model = self.host.model
        tokens, plain = generate.scored(model, self.inputs, STEPS)
        # A first generation leaves things of its own behind.
        before = hosts.fingerprint(model)
        probes = tuple(self.probes())
        _, logits = self.answered(
            probes, force=forced(tokens.repeat_interleave(2, dim=0)), do_sample=True, num_return_sequences=2
        )
        self.require_phases(probes)
        largest = self.compare(plain, logits, probes)
        calm = tuple(replace(probe, own=None, seen=Seen()) for probe in probes)
        self.answered(calm, force=swapped(), num_beams=2)
        self.require_phases(calm)
        if hosts.fingerprint(model) != before:
            raise HostMismatch("the model is not what it was before a method was put on and taken off")
        return largest

    def probes(self) -> Iterator[Probe]:
        """A probe an engine, in the first and the last layer; maps have theirs to themselves."""
        layers: tuple[int, ...] = () if self.host.closed else tuple(sorted({0, self.host.depth - 1}))
        kinds: dict[str, Callable[..., Probe]] = {
            "last row": RowProbe, "maps": MapProbe, "head outputs": HeadProbe,
            "passes": PassProbe, BRANCH: BranchProbe,
        }  # fmt: skip
        for number, engine in enumerate(self.engines):
            where = layers
            if engine == BRANCH:
                where = ()
            elif {"last row", "maps"} <= set(self.engines) and len(layers) > 1:
                where = layers[:1] if engine == "maps" else layers[1:]
            yield kinds[engine](where=where, own=number % self.rows, tolerance=self.tolerance)

    def answered(self, probes: tuple[Probe, ...], **options: Any) -> tuple[Tensor, Tensor]:
        session = Session(self.host, probes, branch=self.branch or "paired")
        with session.attached():
            found = generate.scored(self.host.model, self.inputs, STEPS, **options)
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
        """Logits (STEPS, B, V) of the plain model and (STEPS, 2B, V) of the edited rows."""
        ineffective, effective = logits[:, ::2], logits[:, 1::2]
        largest = 0.0
        for step in range(STEPS):
            for row in range(self.rows):
                if step == STEPS - 1 and any(probe.own == row for probe in probes):
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


def forced(tokens: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
    """A logits processor that leaves only these tokens (B, T) possible, one after another."""
    steps = iter(tokens.T)

    def force(_: Tensor, scores: Tensor) -> Tensor:
        return torch.full_like(scores, -torch.inf).scatter(1, next(steps)[:, None].to(scores.device), 0.0)

    return force


def swapped() -> Callable[[Tensor, Tensor], Tensor]:
    """A logits processor under which beam search has to take both beams from the second of them, then the first."""
    step = iter(range(STEPS))

    def force(_: Tensor, scores: Tensor) -> Tensor:
        worse = (0, 1)[next(step) % 2 == 0]
        scores = scores.clone()
        scores[worse::2] -= 50.0
        return scores

    return force
