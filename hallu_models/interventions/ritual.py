"""RITUAL: Random Image Transformations as a Universal Anti-hallucination Lever (arXiv 2405.17821).

What is in the image is still there when the image is flipped, turned, blurred or cropped. The prediction for a randomly
transformed copy is added to that for the image itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from hallu_models.interventions import (
    Intervention,
    LogitsStep,
    Negative,
    OtherImage,
    Prompt,
    jensen_shannon,
    layers,
    pictures,
    supported,
)

TRANSFORMS = ("horizontal_flip", "vertical_flip", "rotation", "color_jitter", "gaussian_blur", "crop", "none")
"""What the observation ``transform`` counts; one of the first six is drawn."""


@dataclass(frozen=True)
class RITUAL(Intervention):
    """Add the prediction for a transformed copy of the image.

    alpha: weight of that prediction; 0 is the plain model. beta: plausibility. transform: one of the six, "random" for
    one drawn for each image, or "none", whose copy is the image itself. image_seed: of what is drawn, beside the image.
    """

    name: ClassVar[str] = "ritual"

    layers: layers.LayerSpec = ""
    alpha: float = 3.0
    beta: float = 0.1
    transform: Literal[
        "random", "horizontal_flip", "vertical_flip", "rotation", "color_jitter", "gaussian_blur", "crop", "none"
    ] = "random"
    image_seed: int = 0

    def other_image(self, image: Any, text: str) -> OtherImage:
        draw = pictures.generator(image, self.image_seed)
        drawn = pictures.integer(draw, len(TRANSFORMS) - 1)
        number = drawn if self.transform == "random" else TRANSFORMS.index(self.transform)
        return OtherImage(_transformed(image, TRANSFORMS[number], draw), {"transform": number})

    def negative(self, prompt: Prompt) -> Negative:
        return Negative(prompt.run.other_images(self.name, made=True), prompt.layout.has_image)

    def contrast(self, logits: Tensor, negative: Tensor, at: LogitsStep) -> Tensor:
        if at.record:
            at.record("jsd", jensen_shannon(logits, negative))
        return supported(logits, negative, self.alpha, self.beta)


def _transformed(image: Any, name: str, draw: torch.Generator) -> Any:
    """The image under one transform, with what is random in it drawn; its size stays."""
    if name == "horizontal_flip":
        return pictures.horizontal_flip(image)
    if name == "vertical_flip":
        return pictures.vertical_flip(image)
    if name == "rotation":
        return pictures.rotate(image, pictures.uniform(draw, -180, 180))
    if name == "color_jitter":
        factors = [pictures.uniform(draw, *span) for span in ((0, 2), (0, 2), (0, 2), (-0.5, 0.5))]
        return pictures.color_jitter(image, factors, torch.randperm(4, generator=draw).tolist())
    if name == "gaussian_blur":
        return pictures.gaussian_blur(image, 13, pictures.uniform(draw, 1.5, 2))
    if name == "crop":
        return pictures.resized_crop(image, *pictures.random_part(image, draw, (0.08, 1), (3 / 4, 4 / 3)))
    return image
