"""The contract's recipe, from stored values to what training sees: equal bits everywhere.

* Every step is single IEEE 754 operations on arrays, running sums in index order, or sums of
  whole numbers; so no bit depends on vector width, fused operations or the number of threads.
* A new pixel is the mean over the area that it covers, in parts of pixels where edges do not
  meet. (Pillow's box filter takes whole pixels by their centres, which is that only for whole
  ratios.)
* A deviation is the population's: divided by n.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias, assert_never

import numpy as np
from numpy.typing import NDArray

from schemas.contract import (
    FixedNormalisation,
    ImageNormalisation,
    Normalisation,
    PatientNormalisation,
    Preprocessing,
    StoredBits,
    Window,
)

__all__ = ["Stored", "normalised", "resized", "scaled"]

Plane: TypeAlias = NDArray[np.float32]
_STEPS = 2.0**40
"""Fixed point for means: 2^22 values within 1 in magnitude add up to less than 2^63."""


@dataclass(frozen=True, slots=True)
class Stored:
    """Decoded pixels as the file stores them, and what their numbers mean."""

    values: NDArray[np.int32]
    bits: int
    is_signed: bool
    is_inverted: bool
    """MONOCHROME1: the least value is shown white (PS3.3 section C.7.6.3.1.2)."""
    slope: float = 1.0
    intercept: float = 0.0


def resized(stored: Stored, recipe: Preprocessing) -> Plane:
    """Return the image at the recipe's size with values in 0..1, before normalisation."""
    plane = scaled(stored, recipe)
    down = _averaged(plane, recipe.height)
    return np.ascontiguousarray(_averaged(down.T, recipe.width).T, dtype=np.float32)


def scaled(stored: Stored, recipe: Preprocessing) -> NDArray[np.float64]:
    """Return values in 0..1, bright where the body is dense, at the stored size."""
    values = stored.values.astype(np.float64)
    match recipe.intensity:
        case StoredBits():
            least = -(2.0 ** (stored.bits - 1)) if stored.is_signed else 0.0
            plane = (values - least) / 2.0**stored.bits
        case Window(low=low, high=high):
            units = values * stored.slope + stored.intercept
            plane = np.clip((units - low) / (high - low), 0.0, 1.0)
        case _:
            assert_never(recipe.intensity)
    return 1.0 - plane if stored.is_inverted else plane


def _averaged(plane: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """Average the first axis over `size` equal stretches: a running sum, read between pixels."""
    length = plane.shape[0]
    if length == size:
        return plane
    edges = np.arange(size + 1) * length
    whole, rest = edges // size, (edges % size) / size
    sums = np.zeros((length + 1, plane.shape[1]))
    np.cumsum(plane, axis=0, out=sums[1:])
    reached = sums[whole] + rest[:, None] * plane[np.minimum(whole, length - 1)]
    averaged: NDArray[np.float64] = (reached[1:] - reached[:-1]) / (length / size)
    return averaged


def normalised(images: Sequence[Plane], how: Normalisation) -> list[Plane]:
    """Normalise all images of one patient."""
    match how:
        case FixedNormalisation(mean=mean, deviation=deviation):
            return [_standard(image, mean, deviation) for image in images]
        case ImageNormalisation(floor=floor):
            return [_standard(image, *_moments([image], floor=floor)) for image in images]
        case PatientNormalisation(foreground=least, floor=floor, low=low, high=high):
            bright = [image[image > np.float32(least)] for image in images]
            mean, deviation = _moments(bright, floor=floor)
            standard = (_standard(image, mean, deviation) for image in images)
            return [np.clip(one, np.float32(low), np.float32(high)) for one in standard]
        case _:
            assert_never(how)


def _standard(image: Plane, mean: float, deviation: float) -> Plane:
    return ((image.astype(np.float64) - mean) / deviation).astype(np.float32)


def _moments(images: Sequence[Plane], *, floor: float) -> tuple[float, float]:
    """Return mean and deviation over all pixels; a patient without foreground has mean 0."""
    mean = _mean(images, lambda values: values)
    variance = _mean(images, lambda values: np.square(values - mean))
    return mean, max(math.sqrt(variance), floor)


def _mean(
    images: Iterable[Plane], of: Callable[[NDArray[np.float64]], NDArray[np.float64]]
) -> float:
    """Average a function of pixels in fixed point: whole numbers have the same sum in any order."""
    total = count = 0
    for image in images:
        values = of(image.astype(np.float64))
        total += int(np.rint(values * _STEPS).astype(np.int64).sum())
        count += image.size
    return total / count / _STEPS if count else 0.0
