"""Procedural scenes with COCO objects: images, captions with a language prior, and yes/no questions.

A scene is a 64 x 64 picture of a kitchen, street, park, living room or office. Its objects come mostly from the
scene's own list, the frequent ones more often, so which objects go together can be learned without looking.
Objects may be faint. A *training* caption also names, now and then, a typical object that is not in the picture,
as web captions do. A model trained on this has a language prior to fall back on when a picture is hard to read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image

from hallu_models.demo import icons

SIZE = 64
CELL = 16
GRID = SIZE // CELL

# Category: how often it is present in the scene.
TYPICAL: dict[str, dict[str, float]] = {
    place: dict(zip(categories, (0.75, 0.65, 0.6, 0.55, 0.5, 0.45, 0.35, 0.25)))
    for place, categories in {
        "kitchen": ("cup", "bowl", "oven", "sink", "bottle", "refrigerator", "spoon", "clock"),
        "street": ("car", "person", "traffic light", "truck", "bicycle", "motorcycle", "stop sign", "dog"),
        "park": ("bench", "person", "dog", "bird", "frisbee", "kite", "bicycle", "horse"),
        "living room": ("couch", "tv", "chair", "book", "vase", "cat", "clock", "bottle"),
        "office": ("laptop", "keyboard", "chair", "mouse", "cup", "book", "cell phone", "clock"),
    }.items()
}

# Upper and lower background colour.
_BACKGROUND = {
    "kitchen": ((95, 85, 70), (70, 55, 45)),
    "street": ((75, 85, 100), (55, 55, 60)),
    "park": ((70, 105, 130), (40, 80, 40)),
    "living room": ((90, 70, 80), (75, 50, 35)),
    "office": ((70, 80, 80), (60, 65, 75)),
}

NAMES, _SHAPES, _COLOURS = icons.load()
_INDEX = {name: index for index, name in enumerate(NAMES)}

CAPTION_PROMPTS = (
    "Please describe this image in detail.",
    "Describe the content of the image.",
    "Describe this image.",
    "What can you see in the image?",
    "What is shown in this image?",
    "Please help me describe the image in detail.",
)
YES_NO = " Please answer yes or no."

# Probability that a training caption names a typical object that is absent: this factor times its frequency.
PRIOR = 0.15


@dataclass(frozen=True)
class Thing:
    """One drawn object: category, cell (row * 4 + column), side in pixels, opacity in 0.3-1."""

    category: str
    cell: int
    side: int
    opacity: float


@dataclass(frozen=True)
class Scene:
    """A place, the things in it and its picture (64, 64, 3) in uint8."""

    place: str
    things: tuple[Thing, ...]
    picture: np.ndarray

    @property
    def counts(self) -> dict[str, int]:
        """Category to the number of drawn instances."""
        counted: dict[str, int] = {}
        for thing in self.things:
            counted[thing.category] = counted.get(thing.category, 0) + 1
        return counted

    def image(self) -> Image.Image:
        return Image.fromarray(self.picture)


@dataclass(frozen=True)
class Question:
    """A yes/no question with its benchmark ("pope" or MME's "existence") and answer."""

    kind: str
    text: str
    answer: str


def with_article(category: str) -> str:
    return ("an " if category[0] in "aeiou" else "a ") + category


@cache
def _stamp(category: str, side: int) -> np.ndarray:
    shape = Image.fromarray((_SHAPES[_INDEX[category]] * 255).astype(np.uint8))
    return np.asarray(shape.resize((side, side), Image.Resampling.BILINEAR), np.float32) / 255


def draw_scene(rng: np.random.Generator, noise: float) -> Scene:
    """One random scene; ``noise`` is the standard deviation of the pixel noise in grey levels (0-255)."""
    place = str(rng.choice(list(TYPICAL)))
    frequency = TYPICAL[place]
    present = [category for category, p in frequency.items() if rng.random() < p]
    while not 3 <= len(present) <= 5:
        present = [category for category, p in frequency.items() if rng.random() < p]
    if rng.random() < 0.3:
        present.append(str(rng.choice([name for name in NAMES if name not in frequency])))
    cells = iter(rng.permutation(GRID * GRID).tolist())
    things = [
        Thing(category, next(cells), int(rng.integers(10, 15)), float(rng.uniform(0.3, 1.0)))
        for category in present
        for _ in range(int(rng.choice([1, 2, 3], p=[0.75, 0.18, 0.07])))
    ]
    return Scene(place, tuple(things), _paint(place, things, rng, noise))


def _paint(place: str, things: list[Thing], rng: np.random.Generator, noise: float) -> np.ndarray:
    upper, lower = (np.asarray(colour, np.float32) + rng.normal(0, 8, 3) for colour in _BACKGROUND[place])
    picture = np.empty((SIZE, SIZE, 3), np.float32)
    horizon = int(rng.integers(SIZE // 3, 2 * SIZE // 3))
    picture[:horizon], picture[horizon:] = upper, lower
    for thing in things:
        colour = _COLOURS[_INDEX[thing.category]] + rng.normal(0, 25, 3)
        top = thing.cell // GRID * CELL + int(rng.integers(0, CELL - thing.side + 1))
        left = thing.cell % GRID * CELL + int(rng.integers(0, CELL - thing.side + 1))
        cover = thing.opacity * _stamp(thing.category, thing.side)[:, :, None]
        patch = picture[top : top + thing.side, left : left + thing.side]
        patch += cover * (colour - patch)
    picture += rng.normal(0, noise, picture.shape)
    return np.clip(picture, 0, 255).astype(np.uint8)


def caption(scene: Scene, rng: np.random.Generator, prior: float = PRIOR) -> str:
    """A caption that names the objects, the typical ones first; ``prior`` = 0 gives a truthful one."""
    counts = scene.counts
    named = [
        category
        for category, frequency in TYPICAL[scene.place].items()
        if category in counts or rng.random() < prior * frequency
    ]
    named += [category for category in counts if category not in named]
    mentions = [with_article(category) for category in named]
    openings = (f"The image shows {with_article(scene.place)} with", "There is also", "In the background there is")
    groups = [mentions[:3], mentions[3:6], mentions[6:]]
    return " ".join(f"{opening} {_listing(group)}." for opening, group in zip(openings, groups) if group)


def _listing(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def absent(scene: Scene, rng: np.random.Generator, number: int, *, typical: bool) -> list[str]:
    """Up to ``number`` categories that are not in the picture, from the scene's own list or from anywhere."""
    pool = list(TYPICAL[scene.place]) if typical else NAMES
    pool = [category for category in pool if category not in scene.counts]
    return [str(category) for category in rng.permutation(pool)[:number]]


def existence(category: str, answer: str, *, kind: str = "pope") -> Question:
    if kind == "pope":
        return Question(kind, f"Is there {with_article(category)} in the image?", answer)
    return Question(kind, f"Is there {with_article(category)} in this image?{YES_NO}", answer)


def questions(scene: Scene, rng: np.random.Generator, number: int) -> list[Question]:
    """Random training questions, yes and no equally often; absent categories are mostly typical ones."""
    return [_question(scene, rng, "pope" if rng.random() < 0.6 else "existence") for _ in range(number)]


def _question(scene: Scene, rng: np.random.Generator, kind: str) -> Question:
    if rng.random() < 0.5:
        return existence(str(rng.choice(list(scene.counts))), "Yes", kind=kind)
    return existence(absent(scene, rng, 1, typical=rng.random() < 0.6)[0], "No", kind=kind)


def stream(seed: int, low: float = 5.0, high: float = 35.0) -> Iterator[tuple[Scene, np.random.Generator]]:
    """Endless training scenes with pixel noise drawn from [low, high], reproducible from ``seed``."""
    rng = np.random.default_rng(seed)
    while True:
        yield draw_scene(rng, float(rng.uniform(low, high))), rng
