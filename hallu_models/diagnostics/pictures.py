"""The pictures of ``hallu diagnose``. Colours are told apart by colour-blind readers too (Okabe and Ito; cividis)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from hallu_models.diagnostics.readings import Reading
from hallu_models.interventions import sevi
from hallu_models.observations import Observation

BLUE, ORANGE, GREEN, GREY, BLACK = "#0072B2", "#D55E00", "#009E73", "#BBBBBB", "#222222"
MARKS = {"": (GREY, ""), "correct": (BLUE, ""), "hallucinated": (ORANGE, "///")}
LABELS = {"": "other tokens", "correct": "object in the image", "hallucinated": "object not in the image"}


def draw(reading: Reading) -> Figure:
    """The picture of a reading."""
    name = "distribution" if reading.what == "tvhd" and len(reading.subjects) > 1 else reading.what
    return DRAWINGS[name](reading)


def _figure(width: float, height: float, title: str, reading: Reading) -> Figure:
    figure = Figure(figsize=(width, height), layout="constrained")
    subjects = reading.subjects
    about = f"{len(subjects)} images" if len(subjects) > 1 else f"{subjects[0].name}: {subjects[0].prompt}"
    figure.suptitle(f"{title}\n", fontsize=11, fontweight="bold")
    figure.text(0.5, 0.985, "\n" + about, ha="center", va="top", fontsize=8, color="#555555")
    return figure


def _heads(axes: Axes, array: np.ndarray, layers: Sequence[int], label: str, **options: Any) -> None:
    """A heat map layer x head, the first layer at the bottom."""
    image = axes.imshow(array, origin="lower", aspect="auto", cmap="cividis", **options)
    axes.set_xlabel("head")
    axes.set_ylabel("layer")
    axes.set_xticks(_some(array.shape[1]))
    ticks = _some(len(layers))
    axes.set_yticks(ticks, [str(layers[tick]) for tick in ticks])
    axes.figure.colorbar(image, ax=axes, label=label)


def _some(number: int, most: int = 16) -> list[int]:
    return list(range(0, number, math.ceil(number / most)))


def _tokens(axes: Axes, tokens: Sequence[str]) -> None:
    axes.set_xticks(range(len(tokens)), tokens, rotation=60, ha="right", rotation_mode="anchor", fontsize=8)
    axes.set_xlim(-0.7, len(tokens) - 0.3)
    axes.set_xlabel("generated token")


def _vhd(reading: Reading) -> Figure:
    figure = _figure(6.4, 4.4, "Vision-aware head divergence at the first answer token", reading)
    axes = figure.subplots()
    divergence, selected = reading.arrays["vhd"], reading.arrays["selected"]
    _heads(axes, divergence.values, divergence.layers, "VHD (L2 distance of head outputs)")
    rows, columns = np.nonzero(selected.values)
    axes.scatter(columns, rows, s=14, color="white", edgecolors=BLACK, linewidths=0.6, label="reinforced by VHR")
    figure.legend(loc="outside lower center", fontsize=8, frameon=False)
    return figure


def _tvhd(reading: Reading) -> Figure:
    values = reading.arrays["tvhd"].values
    figure = _figure(max(6.4, 0.32 * len(values)), 4.0, "Token-VHD along the answer", reading)
    axes = figure.subplots()
    _marked_bars(axes, values, reading)
    axes.set_ylabel("T-VHD (sum over layers)")
    _tokens(axes, reading.tokens)
    return figure


def _marked_bars(axes: Axes, values: np.ndarray, reading: Reading) -> None:
    for index, (value, mark) in enumerate(zip(values, reading.marks)):
        colour, hatch = MARKS[mark]
        axes.bar(index, value, color=colour, hatch=hatch, edgecolor="white", width=0.85)
    present = [mark for mark in MARKS if mark in reading.marks]
    if present != [""]:
        handles = [Patch(facecolor=MARKS[m][0], hatch=MARKS[m][1], edgecolor="white", label=LABELS[m]) for m in present]
        axes.legend(handles=handles, fontsize=8, frameon=False, ncols=3, loc="lower right", bbox_to_anchor=(1, 1))


def _distribution(reading: Reading) -> Figure:
    figure = _figure(6.4, 3.8, "Token-VHD of object words", reading)
    axes = figure.subplots()
    both = np.concatenate([array.values for array in reading.arrays.values()])
    bins = np.linspace(both.min(), both.max(), 31).tolist()
    for kind, array in reading.arrays.items():
        colour = MARKS[kind][0]
        label = f"{LABELS[kind]} ({len(array.values)} words)"
        axes.hist(array.values, bins=bins, density=True, color=colour, alpha=0.45, label=label)
        axes.hist(array.values, bins=bins, density=True, color=colour, histtype="step", linewidth=1.5)
        axes.axvline(float(np.median(array.values)), color=colour, linestyle="--", linewidth=1.2)
    axes.set_xlabel("T-VHD at the word (sum over layers); dashed: medians")
    axes.set_ylabel("share of words per unit")
    axes.legend(fontsize=8, frameon=False)
    if len(reading.summary) > 1:
        axes.set_title(reading.summary[1], fontsize=8, color="#555555")
    return figure


def _sinks(reading: Reading) -> Figure:
    density = reading.arrays["density"]
    figure = _figure(6.4, 4.2, f"Vision sinks of every head ({reading.summary[0].split(';')[0]})", reading)
    axes = figure.subplots()
    _heads(axes, 100 * density.values, density.layers, "image columns that are sinks (%)", vmin=0, vmax=100)
    return figure


def _iava(reading: Reading) -> Figure:
    figure = _figure(9.6, 3.9, "Attention to the image, and the patches that the pseudo-image keeps", reading)
    left, middle, right = figure.subplots(1, 3)
    picture = np.asarray(reading.subjects[0].image)
    maps = [reading.arrays[name].values for name in ("att1", "att2")]
    if (side := math.isqrt(len(maps[0]))) ** 2 != len(maps[0]):
        raise ValueError(
            f"{len(maps[0])} image tokens are no square grid, so they cannot be drawn on the image; use --json"
        )
    top = max(values.max() for values in maps)
    for axes, values, title in zip((left, middle), maps, ("general instruction", "the prompt")):
        axes.imshow(picture, extent=(0, side, side, 0))
        shown = axes.imshow(
            values.reshape(side, side), extent=(0, side, side, 0), cmap="cividis", alpha=0.75, vmin=0, vmax=top
        )
        axes.set_title(f"under {title}", fontsize=9)
    figure.colorbar(shown, ax=[left, middle], label="attention per image token", shrink=0.8)
    right.imshow(picture, extent=(0, side, side, 0))
    kept = reading.arrays["selected"].values.reshape(side, side)
    for row, column in np.argwhere(kept):
        right.add_patch(Rectangle((column, row), 1, 1, fill=False, edgecolor=ORANGE, linewidth=1.6))
    right.set_title(f"kept: {reading.summary[0].removesuffix(' kept')}", fontsize=9)
    for axes in (left, middle, right):
        axes.set_xticks([])
        axes.set_yticks([])
    return figure


def _liae(reading: Reading) -> Figure:
    figure = _figure(6.4, 4.8, "Entropy of the image attention along the layers", reading)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    liae, limit, flagged = (reading.arrays[name] for name in ("liae", "limit", "flagged"))
    layers = list(liae.layers)
    for row in liae.values:
        upper.plot(layers, row, color=GREY, linewidth=0.7)
    upper.plot(layers, liae.values.mean(axis=0), color=BLUE, linewidth=2, marker="o", markersize=4)
    limits = np.where(np.isfinite(limit.values), limit.values, np.nan)
    there = np.isfinite(limits).any(axis=0)
    upper.plot(
        np.array(layers)[there], np.nanmean(limits[:, there], axis=0), color=ORANGE, linestyle="--", linewidth=1.8
    )
    upper.set_ylabel("LIAE (nats)")
    handles = [
        Line2D([], [], color=GREY, label="each token"),
        Line2D([], [], color=BLUE, marker="o", label="mean over tokens"),
        Line2D([], [], color=ORANGE, linestyle="--", label="threshold (mean)"),
    ]
    upper.legend(handles=handles, fontsize=8, frameon=False)
    lower.bar(layers, 100 * flagged.values.mean(axis=0), color=ORANGE)
    lower.set_ylabel("flagged\n(% of tokens)")
    lower.set_ylim(0, 100)
    lower.set_xlabel("layer")
    lower.set_xticks(layers if len(layers) <= 16 else layers[:: math.ceil(len(layers) / 16)])
    return figure


def _iaf(reading: Reading) -> Figure:
    figure = _figure(6.4, 4.4, "Image attention of every head, mean over the answer", reading)
    axes = figure.subplots()
    focus, corrected = reading.arrays["iaf"], reading.arrays["corrected"].values.mean(axis=0)
    _heads(axes, 100 * focus.values.mean(axis=0), focus.layers, "attention on the image (%)", vmin=0)
    rows, columns = np.nonzero(corrected)
    axes.scatter(columns, rows, s=80 * corrected[rows, columns] + 4, color=ORANGE, edgecolors="white", linewidths=0.6)
    marker = Line2D([], [], marker="o", color=ORANGE, linestyle="", label="corrected; area: share of the tokens")
    figure.legend(handles=[marker], loc="outside lower center", fontsize=8, frameon=False)
    return figure


def _semantic(reading: Reading) -> Figure:
    category = reading.arrays["category"]
    figure = _figure(6.4, 4.2, "Heads that attend to the text behind the image", reading)
    axes = figure.subplots()
    layers = list(category.layers)
    below = np.zeros(len(layers))
    looks = zip(sevi.CATEGORIES, (GREY, BLUE, ORANGE), ("", "", "///"))
    for number, (name, colour, hatch) in enumerate(looks):
        share = 100 * (category.values == number).mean(axis=(0, 2))
        label = name if number == 0 else f"semantic, {name}"
        axes.bar(layers, share, bottom=below, color=colour, hatch=hatch, edgecolor="white", label=label)
        below += share
    axes.set_xlabel("layer")
    axes.set_ylabel("heads (%), mean over the answer")
    axes.set_xticks(layers if len(layers) <= 16 else layers[:: math.ceil(len(layers) / 16)])
    axes.set_ylim(0, 100)
    axes.legend(fontsize=8, frameon=False, ncols=3, loc="lower right", bbox_to_anchor=(1, 1))
    return figure


def _contrast(reading: Reading) -> Figure:
    figure = _figure(max(6.4, 0.32 * len(reading.tokens)), 5.0, "Contrast with another image", reading)
    upper, lower = figure.subplots(2, 1, sharex=True)
    _marked_bars(upper, reading.arrays["alpha"].values, reading)
    upper.set_ylabel("strength α")
    lower.bar(range(len(reading.tokens)), reading.arrays["jsd"].values, color=GREEN, width=0.85)
    lower.set_ylabel("JS divergence of\nboth branches (nats)")
    _tokens(lower, reading.tokens)
    return figure


def _flow(reading: Reading) -> Figure:
    figure = _figure(9.6, 3.9, "Where visual information sits, and until where the image is needed", reading)
    left, right = figure.subplots(1, 2)
    share = 100 * reading.arrays["share"].values
    passed = range(len(share))
    left.stackplot(passed, share.T, labels=("visual positions", "text positions"), colors=(BLUE, ORANGE), alpha=0.85)
    left.set(xlabel="layers passed", ylabel="visual information (%)", xlim=(0, len(share) - 1), ylim=(0, 100))
    left.legend(fontsize=8, loc="lower left")
    _quartiles(right, reading.arrays["divergence"])
    return figure


def _quartiles(axes: Axes, divergence: Observation) -> None:
    low, high = np.percentile(divergence.values, (25, 75), axis=1)
    layers = range(len(low))
    axes.fill_between(layers, low, high, color=BLUE, alpha=0.25, label="middle half of the tokens")
    axes.plot(layers, divergence.values.mean(axis=1), color=BLUE, marker="o", markersize=4, label="mean over tokens")
    axes.set(
        xlabel="image hidden from this layer on", ylabel="JS divergence from the plain model (nats)", ylim=(0, None)
    )
    ticks = _some(len(low))
    axes.set_xticks(ticks, ["never" if tick == len(low) - 1 else str(tick) for tick in ticks])
    axes.legend(fontsize=8, frameon=False)


DRAWINGS: Mapping[str, Callable[[Reading], Figure]] = {
    "vhd": _vhd,
    "tvhd": _tvhd,
    "distribution": _distribution,
    "sinks": _sinks,
    "iava": _iava,
    "liae": _liae,
    "iaf": _iaf,
    "semantic": _semantic,
    "contrast": _contrast,
    "flow": _flow,
}
