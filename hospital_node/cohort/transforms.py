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
from dataclasses import dataclass, replace
from typing import Any, TypeAlias, assert_never

import numpy as np
from numpy.typing import NDArray

from hospital_node.cohort.tables import Table
from hospital_node.cohort.windows import OwnWindowing, windowed
from schemas.recipe import (
    FixedNormalisation,
    ImageNormalisation,
    Normalisation,
    OwnWindow,
    PatientNormalisation,
    Preprocessing,
    StoredBits,
    Window,
)

__all__ = [
    "Plane",
    "Stored",
    "normalised",
    "resized",
    "scaled",
    "stacked",
    "steps_of",
]

Plane: TypeAlias = NDArray[np.float32]
_STEPS = 2.0**40
"""Fixed point for means: 2^22 values within 1 in magnitude add up to less than 2^63."""


@dataclass(frozen=True, slots=True)
class Stored:
    """Decoded pixels of one frame as the file stores them, and what their numbers mean."""

    values: NDArray[np.signedinteger[Any]]
    """[rows, columns], or [rows, columns, 3]; 32 bits, or 64 where those cannot hold them."""
    bits: int
    is_signed: bool
    is_inverted: bool
    """MONOCHROME1: the least value is shown white (PS3.3 section C.7.6.3.1.2)."""
    slope: float = 1.0
    intercept: float = 0.0
    window: OwnWindowing | None = None
    units: Table | None = None
    """From values to modality units, in place of slope and intercept."""
    shown: Table | None = None
    """From units to what the file would show."""


def resized(
    stored: Stored, recipe: Preprocessing, *, spacing_mm: tuple[float, float] | None = None
) -> Plane:
    """Return a frame at the recipe's size with values in 0..1, before normalisation.

    `spacing_mm` is the distance between rows and between columns, where the recipe has spacings.
    """
    if stored.values.ndim == 2:  # noqa: PLR2004 - grey
        return _resized(stored, recipe, spacing_mm)
    colours = [replace(stored, values=stored.values[..., index]) for index in range(3)]
    if recipe.channels == "rgb":
        return np.stack([_resized(one, recipe, spacing_mm) for one in colours])
    return _resized(replace(stored, values=_luminance(stored.values)), recipe, spacing_mm)


def _luminance(colours: NDArray[np.signedinteger[Any]]) -> NDArray[np.int64]:
    """Weigh colours as ITU-R BT.601 does, in thousandths."""
    red, green, blue = (colours[..., index].astype(np.int64) for index in range(3))
    grey: NDArray[np.int64] = (299 * red + 587 * green + 114 * blue) // 1000
    return grey


def _resized(
    stored: Stored, recipe: Preprocessing, spacing_mm: tuple[float, float] | None
) -> Plane:
    """Average over rows in strips of columns, which bounds memory, then over columns."""
    steps = steps_of(recipe, spacing_mm)
    columns = stored.values.shape[1]
    strips = [
        _averaged(
            scaled(replace(stored, values=stored.values[:, first : first + _STRIP]), recipe),
            recipe.height,
            step=steps[0],
        )
        for first in range(0, columns, _STRIP)
    ]
    down = strips[0] if len(strips) == 1 else np.concatenate(strips, axis=1)
    plane = _averaged(down.T, recipe.width, step=steps[1]).T
    return np.ascontiguousarray(plane, dtype=np.float32)


_STRIP = 512


def steps_of(
    recipe: Preprocessing, spacing_mm: tuple[float, float] | None
) -> tuple[float, float] | tuple[None, None]:
    """Return how many stored rows and columns a new one is wide; None: the image is stretched."""
    if recipe.spacing_mm is None or spacing_mm is None:
        return None, None
    down, across = recipe.spacing_mm[-2:]
    return down / spacing_mm[0], across / spacing_mm[1]


def stacked(planes: NDArray[np.float32], recipe: Preprocessing, *, spacing_mm: float) -> Plane:
    """Return a volume at the recipe's depth, from slices in order, `spacing_mm` apart."""
    slices, depth = planes.shape[0], recipe.depth or 1
    step = recipe.spacing_mm[0] / spacing_mm if recipe.spacing_mm else None
    flat = planes.reshape(slices, -1).astype(np.float64)
    volume = _averaged(flat, depth, step=step).reshape(depth, *planes.shape[1:])
    return volume.astype(np.float32)


def scaled(stored: Stored, recipe: Preprocessing) -> NDArray[np.float64]:
    """Return values in 0..1, bright where the body is dense, at the stored size."""
    match recipe.intensity:
        case StoredBits():
            values = stored.values.astype(np.float64)
            least = -(2.0 ** (stored.bits - 1)) if stored.is_signed else 0.0
            plane = (values - least) / 2.0**stored.bits
        case Window(low=low, high=high):
            plane = np.clip((_units(stored) - low) / (high - low), 0.0, 1.0)
        case OwnWindow():
            plane = _shown(_units(stored), stored)
        case _:
            assert_never(recipe.intensity)
    return 1.0 - plane if stored.is_inverted else plane


def _units(stored: Stored) -> NDArray[np.float64]:
    """Return modality units (PS3.3 section C.11.1)."""
    if stored.units is not None:
        return stored.units.of(stored.values).astype(np.float64)
    return stored.values.astype(np.float64) * stored.slope + stored.intercept


def _shown(units: NDArray[np.float64], stored: Stored) -> NDArray[np.float64]:
    """Apply a file's own table, or else its window (PS3.3 section C.11.2)."""
    if stored.shown is not None:
        return stored.shown.of(units) / (2.0**stored.shown.bits - 1.0)
    return windowed(units, stored.window)


def _averaged(plane: NDArray[np.float64], size: int, *, step: float | None) -> NDArray[np.float64]:
    """Average the first axis over `size` stretches: a running sum, read between pixels.

    Stretches are `step` pixels long and lie around the centre, with 0 outside; None: together they
    are the whole axis.
    """
    length = plane.shape[0]
    if step is None and length == size:
        return plane
    if step is None:
        edges = np.arange(size + 1) * length
        whole, rest = edges // size, (edges % size) / size
        step = length / size
    else:
        places = np.clip(length / 2 + (np.arange(size + 1) - size / 2) * step, 0.0, length)
        whole = np.floor(places).astype(np.intp)
        rest = places - whole
    sums = np.zeros((length + 1, plane.shape[1]))
    np.cumsum(plane, axis=0, out=sums[1:])
    reached = sums[whole] + rest[:, None] * plane[np.minimum(whole, length - 1)]
    averaged: NDArray[np.float64] = (reached[1:] - reached[:-1]) / step
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
