"""Pictures made from others before a processor sees them: of the same size, with what is random given as numbers.

They are RGB images of Pillow; each function gives the one that torchvision's of the same name does, up to rounding.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import Any

import torch
from PIL import Image, ImageEnhance, ImageOps
from torch import Tensor

Span = tuple[float, float]
COLORS = ("brightness", "contrast", "saturation", "hue")


def generator(image: Any, seed: int) -> torch.Generator:
    """A source of random numbers that belongs to the picture's content and a seed, whatever was drawn before."""
    digest = hashlib.sha256(f"{seed} {image.mode} {image.size}".encode())
    digest.update(image.tobytes())
    return torch.Generator().manual_seed(int.from_bytes(digest.digest()[:7], "little"))


def tensor(image: Any) -> Tensor:
    """(3, height, width) from 0 to 255 in float32."""
    flat = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
    return flat.view(image.height, image.width, -1).permute(2, 0, 1).float()


def pictured(values: Tensor) -> Any:
    """The picture of values (3, height, width) from 0 to 255."""
    rounded = values.round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).contiguous()
    return Image.fromarray(rounded.numpy())


def horizontal_flip(picture: Any) -> Any:
    return ImageOps.mirror(picture)


def vertical_flip(picture: Any) -> Any:
    return ImageOps.flip(picture)


def rotate(picture: Any, angle: float) -> Any:
    """Turned counter-clockwise by an angle in degrees about its middle; what comes into view is black."""
    return picture.rotate(angle, resample=Image.Resampling.NEAREST)


def color_jitter(picture: Any, factors: Sequence[float], order: Sequence[int]) -> Any:
    """Brightness, contrast, saturation times these factors, and hue shifted by a share of the circle, in an order."""
    for index in order:
        factor = factors[index]
        if COLORS[index] == "hue":
            hue, saturation, value = picture.convert("HSV").split()
            hue = hue.point([(step + int(factor * 255)) % 256 for step in range(256)])
            picture = Image.merge("HSV", (hue, saturation, value)).convert("RGB")
        else:
            kind = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)[index]
            picture = kind(picture).enhance(factor)
    return picture


def gaussian_blur(picture: Any, size: int, sigma: float) -> Any:
    """Blurred by a Gaussian of ``size`` pixels a side and this deviation; the picture is mirrored at its borders."""
    away = torch.arange(size) - (size - 1) / 2
    weights = (-0.5 * (away / sigma).square()).exp()
    kernel = weights[:, None] * weights / weights.sum().square()
    values, border = tensor(picture)[:, None], size // 2
    mode = "reflect" if border < min(picture.size) else "replicate"
    padded = torch.nn.functional.pad(values, [border] * 4, mode=mode)
    return pictured(torch.nn.functional.conv2d(padded, kernel[None, None])[:, 0])


def resized_crop(picture: Any, left: int, top: int, width: int, height: int) -> Any:
    """A part of the picture at the size of the whole."""
    part = picture.crop((left, top, left + width, top + height))
    return part.resize(picture.size, resample=Image.Resampling.BILINEAR)


def random_part(picture: Any, draw: torch.Generator, area: Span, ratio: Span) -> list[int]:
    """Left, top, width and height of a random part, by its share of the area and its ratio of width to height."""
    width, height = picture.size
    for _ in range(10):
        pixels = uniform(draw, *area) * width * height
        shape = math.exp(uniform(draw, math.log(ratio[0]), math.log(ratio[1])))
        wide, high = round(math.sqrt(pixels * shape)), round(math.sqrt(pixels / shape))
        if 0 < wide <= width and 0 < high <= height:
            return [integer(draw, width - wide + 1), integer(draw, height - high + 1), wide, high]
    wide, high = min(width, round(height * ratio[1])), min(height, round(width / ratio[0]))
    return [(width - wide) // 2, (height - high) // 2, wide, high]


def uniform(draw: torch.Generator, low: float, high: float) -> float:
    return low + (high - low) * float(torch.rand((), generator=draw, dtype=torch.float64))


def integer(draw: torch.Generator, number: int) -> int:
    """From 0 on, below ``number``."""
    return int(torch.randint(number, (), generator=draw))


def masked(picture: Any, kept: Tensor) -> Any:
    """The picture, black where a mask (h, w) of any size is False."""
    shown = Image.fromarray(kept.cpu().to(torch.uint8).mul(255).numpy()).resize(picture.size, Image.Resampling.NEAREST)
    return Image.composite(picture, Image.new("RGB", picture.size), shown)


def enlarged(values: Tensor, height: int, width: int) -> Tensor:
    """Values (h, w) on a finer grid, by cubic splines that are zero outside; within the values' range, in float64."""
    values = values.double()
    made = _spline(values.shape[0], height) @ values @ _spline(values.shape[1], width).T
    return made.clamp(float(values.min()), float(values.max()))


def _spline(size: int, number: int, border: int = 12) -> Tensor:
    """(number, size) weights of the values at the grid's points for points of a finer one."""
    total = size + 2 * border
    basis = torch.eye(total, dtype=torch.float64) * 4 / 6
    near = torch.ones(total - 1, dtype=torch.float64) / 6
    basis += near.diag(1) + near.diag(-1)
    basis[0, 1] = basis[-1, -2] = 2 / 6
    place = (torch.arange(number, dtype=torch.float64) + 0.5) * size / number - 0.5 + border
    away = (place[:, None] - torch.arange(total)).abs()
    inner, outer = 2 / 3 - away.square() + away**3 / 2, (2 - away).clamp(min=0) ** 3 / 6
    return (torch.where(away < 1, inner, outer) @ torch.linalg.inv(basis))[:, border:-border]


def smoothed(values: Tensor, sigma: float) -> Tensor:
    """Values (h, w) under a Gaussian of this deviation, cut off at four; they are mirrored at their borders."""
    return _gaussian(values.shape[0], sigma) @ values.double() @ _gaussian(values.shape[1], sigma).T


def _gaussian(size: int, sigma: float) -> Tensor:
    """(size, size) weights of each point for each."""
    reach = int(4 * sigma + 0.5)
    away = torch.arange(-reach, reach + 1)
    weights = (-0.5 * (away.double() / sigma).square()).exp()
    place = (torch.arange(size)[:, None] + away) % (2 * size)
    place = torch.where(place < size, place, 2 * size - 1 - place)
    found = torch.zeros(size, size, dtype=torch.float64)
    return found.scatter_add(1, place, (weights / weights.sum()).expand(size, -1))
