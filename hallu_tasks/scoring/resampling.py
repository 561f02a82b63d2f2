"""The draws of a bootstrap over units, and statistics of them."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hallu_tasks.scoring.units import Arm, Array, Statistic

__all__ = ["resampled", "sums", "weights"]

_CHUNK = 500  # resamples drawn at once: bounds the memory without changing the draws
_KEPT = 100_000_000  # bytes: larger draws and sums are not kept for the next statistic


def _drawn(units: int, resamples: int, seed: int, chunk: int) -> Iterator[NDArray[np.int64]]:
    """Yield how often each unit is drawn in each resample, in chunks of shape (at most `chunk`, units)."""
    generator = np.random.default_rng(seed)
    chances = np.full(units, 1.0 / units)
    for start in range(0, resamples, chunk):
        yield generator.multinomial(units, chances, size=min(chunk, resamples - start))


@functools.lru_cache(maxsize=2)
def _kept(units: int, resamples: int, seed: int, chunk: int) -> NDArray[np.uint8]:
    """Return all of `_drawn`, a byte a unit and resample."""
    draws = np.empty((resamples, units), np.uint8)
    for place, counts in enumerate(_drawn(units, resamples, seed, chunk)):
        # A unit is drawn once on average; 256 times has a chance below 1e-500.
        assert counts.max() < 256
        draws[place * chunk : place * chunk + len(counts)] = counts
    return draws


def _weights(units: int, resamples: int, seed: int, chunk: int) -> Iterator[Array]:
    """Yield the chunks of `_drawn` as floats; draws of moderate size are made once."""
    if units * resamples > _KEPT:
        chunks: Iterator[NDArray[Any]] = _drawn(units, resamples, seed, chunk)
    else:
        kept = _kept(units, resamples, seed, chunk)
        chunks = (kept[start : start + chunk] for start in range(0, resamples, chunk))
    return (counts.astype(np.float64) for counts in chunks)


def _sums(tables: Sequence[Array], resamples: int, seed: int, chunk: int) -> Iterator[list[Array]]:
    """Yield the columns of each table, of shape (units, columns), summed over each resample of a chunk."""
    for weights in _weights(len(tables[0]), resamples, seed, chunk):
        yield [weights @ table for table in tables]


@functools.lru_cache(maxsize=4)
def _kept_sums(
    tables: tuple[bytes, ...], shape: tuple[int, int], resamples: int, seed: int, chunk: int
) -> tuple[Array, ...]:
    """Return all of `_sums`: metrics are compared one by one, most of them over the same records.

    The records are known by their content, so what is kept cannot be that of others.
    """
    arrays = [np.frombuffer(table).reshape(shape) for table in tables]
    result = tuple(np.concatenate(parts) for parts in zip(*_sums(arrays, resamples, seed, chunk), strict=True))
    for sums in result:
        sums.flags.writeable = False
    return result


def sums(table: Array, resamples: int, seed: int) -> Iterator[Array]:
    """Yield the columns of `table`, of shape (units, columns), summed over each resample, some resamples at a time.

    The draws are those of `resampled` for as many units.
    """
    return (chunk[0] for chunk in _sums([table], resamples, seed, _CHUNK))


def weights(units: int, resamples: int, seed: int) -> Iterator[Array]:
    """Yield how often each unit is drawn in each resample, of shape (some resamples, units).

    The draws are those of `resampled` for as many units.
    """
    return _weights(units, resamples, seed, _CHUNK)


def resampled(arms: list[Arm], statistic: Statistic, resamples: int, seed: int) -> list[Array]:
    """Return the statistic of each arm in each resample, NaN where undefined; all arms get the same resamples."""
    tables = [arm.matrix for arm in arms]
    units, columns = tables[0].shape
    if not units:
        return [np.full(resamples, np.nan) for _ in arms]
    if 0 < resamples * columns * len(arms) * 8 <= _KEPT:
        content = tuple(table.tobytes() for table in tables)
        kept = _kept_sums(content, (units, columns), resamples, seed, _CHUNK)
        return [arm.evaluate(statistic, sums) for arm, sums in zip(arms, kept, strict=True)]
    chunks = _sums(tables, resamples, seed, _CHUNK)
    parts = [[arm.evaluate(statistic, sums) for arm, sums in zip(arms, chunk, strict=True)] for chunk in chunks]
    return [np.concatenate(values) for values in zip(*parts, strict=True)]
