"""One function for each ``hallu diagnose --what``: run the model on a subject and keep what was seen, as named arrays.

Everything is measured on the plain model unless the caller gives the method parameters that change it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from hallu_models import processing
from hallu_models.diagnostics import flow, mentions
from hallu_models.diagnostics.mentions import Mark
from hallu_models.diagnostics.subjects import Subject
from hallu_models.engines.maps import Maps
from hallu_models.hosts.inputs import layout_of, with_answer
from hallu_models.interventions import sevi
from hallu_models.interventions.eah import EAH
from hallu_models.loading import Host
from hallu_models.observations import Observation

BATCH = 16
RESAMPLES = 2000


@dataclass(frozen=True)
class Options:
    """parameters: of the method. method, other_image: of a contrast."""

    parameters: Mapping[str, Any] = field(default_factory=dict)
    max_new_tokens: int = 64
    method: str = "cicd"
    other_image: Any = None


@dataclass(frozen=True)
class Reading:
    """What was seen: named arrays, the answer's tokens with their marks, and a summary for the terminal."""

    what: str
    arrays: Mapping[str, Observation]
    summary: Sequence[str]
    subjects: Sequence[Subject]
    tokens: Sequence[str] = ()
    marks: Sequence[Mark] = ()
    settings: str = ""

    def to_json(self) -> dict[str, Any]:
        """Infinities and NaN, which JSON does not know, become null."""
        return {
            "what": self.what,
            "settings": self.settings,
            "subjects": [{"name": s.name, "prompt": s.prompt} for s in self.subjects],
            "tokens": list(self.tokens),
            "marks": list(self.marks),
            "summary": list(self.summary),
            "arrays": {name: _finite(array) for name, array in self.arrays.items()},
        }


def _finite(array: Observation) -> dict[str, Any]:
    if array.values.dtype.kind != "f":
        return array.to_json()
    values = array.values.astype(object)
    values[~np.isfinite(array.values)] = None
    return {**array.to_json(), "values": values.tolist()}


@dataclass(frozen=True)
class Answered:
    """One answer: its text, its tokens and what was observed in its row."""

    text: str
    tokens: list[int]
    observed: Mapping[str, Observation]


def answered(
    host: Host, subjects: Sequence[Subject], method: str, options: Options, defaults: Mapping[str, Any]
) -> list[Answered]:
    """The subjects' answers with ``method`` at ``defaults``, which the caller's parameters overrule."""
    found: list[Answered] = []
    others = None if options.other_image is None else [options.other_image]
    parameters = {**defaults, **options.parameters}
    for start in progress(range(0, len(subjects), BATCH), "batch"):
        part = [subject.conversation() for subject in subjects[start : start + BATCH]]
        made = host.generate(
            part, method=method, max_new_tokens=options.max_new_tokens, other_images=others, **parameters
        )
        found += [
            Answered(
                one.text,
                list(one.token_ids),
                {
                    name: Observation(array.values[one.row], array.axes[1:], array.layers)
                    for name, array in one.observations.items()
                },
            )
            for one in made
        ]
    return found


def progress(items: Sequence[Any], unit: str) -> Any:
    """A bar on a terminal, a line every half minute in a log file, nothing for a single item."""
    slow = 0.2 if sys.stderr.isatty() else 30
    return tqdm(items, unit=unit, disable=len(items) < 2, mininterval=slow)


def vhd(host: Host, subjects: Sequence[Subject], options: Options) -> Reading:
    """Vision-aware head divergence at the first answer token (VHR, eq. 3)."""
    (answer,) = answered(host, subjects, "vhr", options, {"layers": "all", "alpha": 1.0})
    arrays = {name: answer.observed[name] for name in ("vhd", "selected")}
    divergence = arrays["vhd"]
    layer, head = np.unravel_index(divergence.values.argmax(), divergence.values.shape)
    summary = [f"most vision-aware: layer {divergence.layers[layer]}, head {head} ({divergence.values.max():.1f})"]
    return Reading("vhd", arrays, summary, subjects)


def tvhd(host: Host, subjects: Sequence[Subject], options: Options) -> Reading:
    """Token-VHD along an answer, or its distribution at right and wrong object words over many (VHR, figure 1)."""
    answers = answered(host, subjects, "vhr", options, {"layers": "all", "alpha": 1.0})
    marked = [mentions.marks(host.tokens, answer.tokens, subject.objects) for answer, subject in zip(answers, subjects)]
    values = [answer.observed["tvhd"].values[: len(answer.tokens)] for answer in answers]
    groups = {
        kind: [np.array([v for v, m in zip(row, marks) if m == kind]) for row, marks in zip(values, marked)]
        for kind in ("correct", "hallucinated")
    }
    summary = [_medians(groups)]
    if len(subjects) == 1:
        tokens = mentions.texts(host.tokens, answers[0].tokens)
        return Reading("tvhd", {"tvhd": Observation(values[0], ("token",))}, summary, subjects, tokens, marked[0])
    if all(len(np.concatenate(rows)) for rows in groups.values()):
        summary.append(_separation(groups["correct"], groups["hallucinated"]))
    arrays = {kind: Observation(np.concatenate(rows), ("mention",)) for kind, rows in groups.items()}
    return Reading("tvhd", arrays, summary, subjects)


def _medians(groups: Mapping[str, list[np.ndarray]]) -> str:
    parts = []
    for kind, rows in groups.items():
        values = np.concatenate(rows)
        middle = f", median T-VHD {np.median(values):.1f}" if len(values) else ""
        parts.append(f"{len(values)} {kind} object words{middle}")
    return "; ".join(parts)


def _separation(right: list[np.ndarray], wrong: list[np.ndarray]) -> str:
    """P(T-VHD of a correct word > that of a hallucinated one), with an interval from resampled images."""
    rng = np.random.default_rng(0)
    draws = []
    for _ in range(RESAMPLES):
        chosen = rng.integers(len(right), size=len(right))
        drawn = [np.concatenate([rows[index] for index in chosen]) for rows in (right, wrong)]
        if all(len(values) for values in drawn):
            draws.append(_probability(*drawn))
    low, high = np.percentile(draws, (2.5, 97.5))
    share = _probability(np.concatenate(right), np.concatenate(wrong))
    return f"P(correct above hallucinated) {share:.3f}, 95 % interval [{low:.3f}, {high:.3f}] over {len(right)} images"


def _probability(right: np.ndarray, wrong: np.ndarray) -> float:
    ordered = np.sort(wrong)
    below, upto = (np.searchsorted(ordered, right, side=side) for side in ("left", "right"))  # type: ignore[call-overload]
    return float((below + upto).mean() / 2 / len(wrong))


def sinks(host: Host, subjects: Sequence[Subject], options: Options) -> Reading:
    """Share of image columns that are vision sinks, for each head (EAH)."""
    (subject,) = subjects
    method = EAH(**options.parameters).bind(host.family, host.depth)
    inputs = dict(processing.encode(host, [subject.conversation()]))
    layout = layout_of(inputs, host.image_tokens)
    columns = layout.columns(layout.padding.shape[1])
    densities: dict[int, torch.Tensor] = {}

    def collect(layer: int, call: Any) -> torch.Tensor:
        densities[layer] = method.density(Maps(call, layout), columns)[0]
        return call.outputs()  # type: ignore[no-any-return]

    flow.watched(host, inputs, collect)
    values = torch.stack([densities[layer] for layer in sorted(densities)]).cpu().numpy()
    edited = ", ".join(map(str, method.layer_list(host.depth)))
    layer, head = np.unravel_index(values.argmax(), values.shape)
    summary = [
        f"beta={method.beta}; most sinks: layer {layer}, head {head} ({values.max():.0%} of the image columns)",
        f"EAH edits layer {edited}",
    ]
    if not values.any():
        summary[0] = f"beta={method.beta}: no head has a vision sink; EAH leaves this prompt as it is"
    return Reading("sinks", {"density": Observation(values, ("layer", "head"), tuple(densities))}, summary, subjects)


def iava(host: Host, subjects: Sequence[Subject], options: Options) -> Reading:
    """Attention to image tokens under the general instruction and the question, and the tokens kept (IAVA)."""
    (answer,) = answered(host, subjects, "iava", options, {"alpha": 0.0})
    arrays = {name: answer.observed[name] for name in ("att1", "att2", "selected")}
    kept = arrays["selected"].values
    return Reading("iava", arrays, [f"{kept.sum()} of {kept.size} image tokens kept"], subjects)


def entropy(host: Host, subjects: Sequence[Subject], options: Options) -> Reading:
    """Layer image attention entropy along the layers, with the threshold (D-LEAF)."""
    return _dleaf("liae", ("liae", "limit", "flagged"), host, subjects, options)


def focus(host: Host, subjects: Sequence[Subject], options: Options) -> Reading:
    """Image attention focus of every head, and the heads that are corrected (D-LEAF)."""
    return _dleaf("iaf", ("iaf", "corrected"), host, subjects, options)


def _dleaf(what: str, names: Sequence[str], host: Host, subjects: Sequence[Subject], options: Options) -> Reading:
    (answer,) = answered(host, subjects, "dleaf", options, {"gamma": 0.0})
    flagged, corrected = (answer.observed[name].values for name in ("flagged", "corrected"))
    summary = [f"{flagged.mean():.0%} of layers flagged per token, {corrected.mean():.0%} of heads would be corrected"]
    tokens = mentions.texts(host.tokens, answer.tokens)
    return Reading(what, {name: answer.observed[name] for name in names}, summary, subjects, tokens)


def semantic(host: Host, subjects: Sequence[Subject], options: Options) -> Reading:
    """Which heads attend to the text behind the image: other, global and core heads (SEVI)."""
    (answer,) = answered(host, subjects, "sevi", options, {"omega": 0.0, "cicd": False, "start_layer": 0})
    category = answer.observed["category"]
    shares = [f"{name} {(category.values == number).mean():.0%}" for number, name in enumerate(sevi.CATEGORIES)]
    tokens = mentions.texts(host.tokens, answer.tokens)
    return Reading("semantic", {"category": category}, ["heads: " + ", ".join(shares)], subjects, tokens)


def contrast(host: Host, subjects: Sequence[Subject], options: Options) -> Reading:
    """Strength of a contrast at each generated token, and how far both branches are apart."""
    (answer,) = answered(host, subjects, options.method, options, {})
    arrays = {name: answer.observed[name] for name in ("alpha", "jsd")}
    tokens = mentions.texts(host.tokens, answer.tokens)
    marks = mentions.marks(host.tokens, answer.tokens, subjects[0].objects)
    alpha = arrays["alpha"].values
    summary = [f"alpha from {alpha.min():.2f} to {alpha.max():.2f}, median {np.median(alpha):.2f}: {answer.text}"]
    return Reading("contrast", arrays, summary, subjects, tokens, marks)


def information(host: Host, subjects: Sequence[Subject], options: Options) -> Reading:
    """Where visual inputs sit, layer by layer, and what hiding the image from a layer on changes (SEVI)."""
    shares, curves = [], []
    for subject in progress(subjects, "image"):
        (answer,) = host.generate([subject.conversation()], max_new_tokens=options.max_new_tokens)
        inputs = with_answer(processing.encode(host, [subject.conversation()]), answer.token_ids)
        shares.append(flow.information_flow(host, inputs).numpy())
        curves.append(flow.masking_curve(host, inputs, len(answer.token_ids)).numpy())
    share = np.mean(shares, axis=0)
    divergence = np.concatenate(curves, axis=1)
    arrays = {
        "share": Observation(share, ("layers passed", "visual or text position")),
        "divergence": Observation(divergence, ("first layer without image", "token")),
    }
    half = int(np.argmax(divergence.mean(axis=1) < divergence[0].mean() / 2))
    summary = [
        f"after the last layer {share[-1, 1]:.0%} of the visual information sits in text positions",
        f"hiding the image from layer {half} on costs less than half of what hiding it everywhere does",
    ]
    return Reading("flow", arrays, summary, subjects)


@dataclass(frozen=True)
class What:
    """A reading: its function, the method whose parameters it takes ("" none), and whether it takes many subjects."""

    read: Callable[[Host, Sequence[Subject], Options], Reading]
    method: str
    many: bool = False

    @property
    def help(self) -> str:
        return (self.read.__doc__ or "").strip().splitlines()[0]


WHATS: Mapping[str, What] = {
    "vhd": What(vhd, "vhr"),
    "tvhd": What(tvhd, "vhr", many=True),
    "sinks": What(sinks, "eah"),
    "iava": What(iava, "iava"),
    "liae": What(entropy, "dleaf"),
    "iaf": What(focus, "dleaf"),
    "semantic": What(semantic, "sevi"),
    "flow": What(information, "", many=True),
    "contrast": What(contrast, "cicd"),
}
