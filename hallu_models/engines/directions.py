"""Directions in hidden states, some a layer: from a file that ``hallu calibrate`` writes, or drawn as a control."""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import torch
from torch import Tensor

from registry.errors import BadArgument

ENDING = ".safetensors"
DRAWN = re.compile(r"random:(\d+)")


@dataclass(frozen=True)
class Directions:
    """``tensors`` by name, ``layers.3`` (n, D) those of layer 3, ``encoder.3`` (positions, D) those of the image
    encoder's; ``facts`` say of what; ``digest`` is a file's SHA-256.

    ``seed`` in the place of tensors: orthonormal directions drawn from it, which know nothing of the model.
    """

    source: str
    tensors: Mapping[str, Tensor] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)
    digest: str = ""
    seed: int | None = None
    _copies: dict[tuple[str, torch.device], Tensor] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(cls, source: str, method: str) -> Directions:
        """A file's, or drawn ones (``random:7``). Raises BadArgument where there are none for this method."""
        if match := DRAWN.fullmatch(source):
            return cls(source, {}, {"method": method}, seed=int(match[1]))
        if not source:
            raise BadArgument(f"{method}: directions= is empty; {_advice(method)}")
        if not (path := Path(source)).is_file():
            raise BadArgument(f"{method}: directions={source}: no such file; {_advice(method)}")
        try:
            found = _read(source, path.stat().st_mtime_ns, path.stat().st_size)
        except ValueError as error:
            raise BadArgument(f"{method}: directions={source} {error}; {_advice(method)}") from error
        if found.facts.get("method") != method:
            owner = found.facts.get("method", "no method")
            raise BadArgument(f"{method}: directions={source} are those of {owner}; {_advice(method)}")
        return found

    def require(self, depth: int, layers: Iterable[int], number: int = 1, *, encoder: bool = False) -> None:
        """Raises BadArgument where these are not directions of a model of this depth, or some layer has fewer.

        encoder: whether there have to be some of the image encoder.
        """
        if self.seed is None and self.facts.get("depth") != str(depth):
            self._refuse(f"are those of a model of {self.facts.get('depth', '?')} layers, this one has {depth}")
        for layer in layers if self.seed is None else ():
            found = len(self.tensors.get(f"layers.{layer}", ()))
            if found < number:
                self._refuse(f"hold {found} directions of layer {layer}, {number} are asked for")
        if encoder and self.seed is None and not any(name.startswith("encoder.") for name in self.tensors):
            self._refuse("hold none of the image encoder, whose pictures have no fixed number of positions")

    def at(self, layer: int, like: Tensor, number: int = 1) -> Tensor:
        """The first directions (number, D) of a layer, in float32, for hidden states ``like`` (..., D)."""
        if self.seed is not None:
            return _drawn(self.seed, layer, number, like.shape[-1], like.device)
        return self._on(f"layers.{layer}", like)[:number]

    def in_encoder(self, layer: int, like: Tensor) -> Tensor:
        """Directions (positions, D) of a layer of the image encoder, in float32, for its states ``like`` (N, positions,
        D); of drawn ones all positions have the same (1, D).
        """
        if self.seed is not None:
            return _drawn(self.seed + 1, layer, 1, like.shape[-1], like.device)
        found = self._on(f"encoder.{layer}", like)
        if len(found) != like.shape[1]:
            self._refuse(f"are those of {len(found)} positions in the image encoder, and a picture has {like.shape[1]}")
        return found

    def _on(self, name: str, like: Tensor) -> Tensor:
        """A tensor on the device of states (..., D), which have as many features."""
        place = name, like.device
        if place not in self._copies:
            self._copies[place] = self.tensors[name].float().to(like.device)
        if (size := self._copies[place].shape[-1]) != like.shape[-1]:
            self._refuse(f"have {size} features, and hidden states {like.shape[-1]}: they are another model's")
        return self._copies[place]

    def _refuse(self, why: str) -> NoReturn:
        method, model = self.facts.get("method", ""), self.facts.get("model", "an unknown model")
        raise BadArgument(f"{method}: directions={self.source} (of {model}) {why}; {_advice(method)}")


def write(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, str]) -> None:
    """A file that :meth:`Directions.of` reads; ``facts`` hold at least ``method``, ``model`` and ``depth``."""
    from safetensors.torch import save

    kept = {name: tensor.float().cpu().contiguous() for name, tensor in tensors.items()}
    path.write_bytes(save(kept, dict(facts)))


def _advice(method: str) -> str:
    return (
        f"find them with `hallu calibrate --method {method} --model_args pretrained=... --output FILE{ENDING}` and "
        f"give directions=FILE{ENDING}; directions=random:1 draws some that know nothing, as a control"
    )


@functools.lru_cache(maxsize=4)
def _read(source: str, changed: int, size: int) -> Directions:
    """A file as it was when it changed last. Raises ValueError where it is none."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(source, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            facts = dict(file.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise ValueError(f"cannot be read as safetensors ({error})") from error
    return Directions(source, tensors, facts, hashlib.sha256(Path(source).read_bytes()).hexdigest())


@functools.lru_cache(maxsize=512)
def _drawn(seed: int, layer: int, number: int, size: int, device: torch.device) -> Tensor:
    """(number, size) orthonormal rows; more of them begin with the same ones."""
    generator = torch.Generator().manual_seed(1_000_003 * seed + layer)
    rows = torch.randn(number, size, generator=generator, dtype=torch.float64)
    return torch.linalg.qr(rows.T).Q.T.float().to(device)
