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
from typing import TypeAlias, assert_never

import numpy as np
from numpy.typing import NDArray

from hospital_node.cohort.reasons import Unfit
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
    "OwnWindowing",
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
class OwnWindowing:
    """The window that a file names, in modality units (PS3.3 section C.11.2.1)."""

    centre: float
    width: float
    function: str


@dataclass(frozen=True, slots=True)
class Stored:
    """Decoded pixels of one frame as the file stores them, and what their numbers mean."""

    values: NDArray[np.int32]
    """[rows, columns], or [rows, columns, 3]."""
    bits: int
    is_signed: bool
    is_inverted: bool
    """MONOCHROME1: the least value is shown white (PS3.3 section C.7.6.3.1.2)."""
    slope: float = 1.0
    intercept: float = 0.0
    window: OwnWindowing | None = None


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


def _luminance(colours: NDArray[np.int32]) -> NDArray[np.int32]:
    """Weigh colours as ITU-R BT.601 does, in thousandths."""
    red, green, blue = (colours[..., index].astype(np.int64) for index in range(3))
    return ((299 * red + 587 * green + 114 * blue) // 1000).astype(np.int32)


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
    values = stored.values.astype(np.float64)
    match recipe.intensity:
        case StoredBits():
            least = -(2.0 ** (stored.bits - 1)) if stored.is_signed else 0.0
            plane = (values - least) / 2.0**stored.bits
        case Window(low=low, high=high):
            units = values * stored.slope + stored.intercept
            plane = np.clip((units - low) / (high - low), 0.0, 1.0)
        case OwnWindow():
            plane = _windowed(values * stored.slope + stored.intercept, stored.window)
        case _:
            assert_never(recipe.intensity)
    return 1.0 - plane if stored.is_inverted else plane


def _windowed(units: NDArray[np.float64], window: OwnWindowing | None) -> NDArray[np.float64]:
    """Apply a file's own window (PS3.3 sections C.11.2.1.2.1 and C.11.2.1.3.2)."""
    least = 1.0 if window is None or window.function == "LINEAR" else 0.0
    if window is None or window.function not in _FUNCTIONS or window.width <= least:
        raise Unfit("no-window")
    if window.function == "LINEAR_EXACT":
        return np.clip((units - window.centre) / window.width + 0.5, 0.0, 1.0)
    middle, width = window.centre - 0.5, max(window.width - 1.0, math.ulp(1.0))
    return np.clip((units - middle) / width + 0.5, 0.0, 1.0)


_FUNCTIONS = {"LINEAR", "LINEAR_EXACT"}
"""SIGMOID needs an exponential, which has not the same bits everywhere."""


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
