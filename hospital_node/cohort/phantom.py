"""Chest radiographs of nobody: a body, two lungs, bones, vessels and perhaps a lesion.

* A lesion is a bright core in a dark rim whose sum is zero, at a random place in a lung, so that
  hardly any weighting of single pixels finds it. Vessels are bright spots without a rim, drawn
  alike in every image.
* Coordinates are isotropic: the shorter side of an image spans -1..1.
* All randomness is the generator that the caller passes.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from numpy.random import Generator

__all__ = ["Plane", "radiograph", "scanned"]

Plane: TypeAlias = NDArray[np.float64]
Point: TypeAlias = tuple[float, float]
"""Down, across."""

LESION_CONTRAST = (0.55, 1.5)
LESION_RADIUS = (0.06, 0.09)
"""The core's standard deviation."""
RIM = 1.7
"""The rim's standard deviation over the core's."""
VESSELS = (4, 9)
VESSEL_CONTRAST = (0.05, 0.15)
VESSEL_RADIUS = (0.03, 0.06)
SOFT_EDGE = 0.06


class _Ellipse(NamedTuple):
    """An organ's middle and half-axes, down before across."""

    y: float
    x: float
    half_y: float
    half_x: float


def radiograph(shape: tuple[int, int], random: Generator, *, lesion: bool) -> Plane:
    """Return the density of one chest, about 0 in air and 1 in bone."""
    y, x = _grid(*shape)
    body, *lungs = _anatomy(random)
    inside = _mask(y, x, body)
    aerated = np.maximum(*(_mask(y, x, lung) for lung in lungs))
    density = 0.75 * inside - random.uniform(0.18, 0.42) * aerated
    density += (_bones(y, x, random) + 0.05 * _texture(shape, random)) * inside
    for _ in range(int(random.integers(*VESSELS))):
        place, radius = _place(lungs, random), random.uniform(*VESSEL_RADIUS)
        density += random.uniform(*VESSEL_CONTRAST) * _spot(y, x, place, radius)
    if lesion:
        place, radius = _place(lungs, random), random.uniform(*LESION_RADIUS)
        rimmed = _spot(y, x, place, radius) - _spot(y, x, place, RIM * radius) / RIM**2
        density += random.uniform(*LESION_CONTRAST) * rimmed
    return density


def scanned(density: Plane, random: Generator, *, blur: float, gamma: float, noise: float) -> Plane:
    """Return a detector's view of a density, in 0..1: exposure, blur, contrast curve, noise.

    `blur` is a standard deviation in pixels, `noise` one in parts of the full range.
    """
    rows, columns = density.shape
    spectrum = np.fft.rfft2(density) * _passed(rows, columns, blur)
    blurred = np.fft.irfft2(spectrum, (rows, columns))
    exposed = random.normal(0.08, 0.03) + random.normal(0.75, 0.06) * blurred
    shaded: Plane = np.clip(exposed, 0, 1) ** gamma
    return np.clip(shaded + noise * random.standard_normal(density.shape), 0, 1)


def _grid(rows: int, columns: int) -> tuple[Plane, Plane]:
    unit = min(rows, columns) / 2
    y = (np.arange(rows) - (rows - 1) / 2) / unit
    x = (np.arange(columns) - (columns - 1) / 2) / unit
    return y[:, None].astype(np.float64), x[None, :].astype(np.float64)


def _anatomy(random: Generator) -> tuple[_Ellipse, _Ellipse, _Ellipse]:
    """Return a body that overfills the field of view, and its two lungs."""
    y, x = random.normal(0.0, 0.05, 2)
    body = _Ellipse(y, x, random.normal(1.5, 0.05), random.normal(1.15, 0.05))
    left, right = (
        _Ellipse(
            y + random.normal(-0.05, 0.08),
            x + side * random.normal(0.42, 0.03),
            random.normal(0.66, 0.08),
            random.normal(0.32, 0.04),
        )
        for side in (-1, 1)
    )
    return body, left, right


def _mask(y: Plane, x: Plane, organ: _Ellipse) -> Plane:
    """Return 1 inside and 0 outside, with a soft edge."""
    squared = ((y - organ.y) / organ.half_y) ** 2 + ((x - organ.x) / organ.half_x) ** 2
    return 0.5 - 0.5 * np.tanh((squared - 1) / (4 * SOFT_EDGE))


def _bones(y: Plane, x: Plane, random: Generator) -> Plane:
    """Return a spine, and ribs that arch down towards the sides."""
    spine = 0.15 * np.exp(-0.5 * (x / 0.09) ** 2)
    pitch, phase, arch = random.normal(4.2, 0.2), random.random(), random.normal(0.3, 0.05)
    ribs = np.sin(2 * np.pi * (pitch * (y - arch * x**2) / 2 + phase))
    return spine + 0.05 * np.clip(ribs, 0, None)


def _texture(shape: tuple[int, int], random: Generator) -> Plane:
    """Return noise whose amplitude falls with frequency, of mean 0 and standard deviation 1."""
    spectrum = np.fft.rfft2(random.standard_normal(shape)) * _falling(*shape)
    noise: Plane = np.fft.irfft2(spectrum, shape)
    return (noise - float(noise.mean())) / float(noise.std())


@cache
def _falling(rows: int, columns: int) -> Plane:
    return (_frequency(rows, columns) + 0.02) ** -1.3


@cache
def _passed(rows: int, columns: int, blur: float) -> Plane:
    """Return the transform of a Gaussian blur."""
    return np.exp(-2 * (np.pi * blur * _frequency(rows, columns)) ** 2)


def _frequency(rows: int, columns: int) -> Plane:
    """Return the frequencies of a real transform, in cycles per pixel."""
    down, across = np.fft.fftfreq(rows)[:, None], np.fft.rfftfreq(columns)[None, :]
    frequency: Plane = np.hypot(down, across)
    return frequency


def _place(lungs: list[_Ellipse], random: Generator) -> Point:
    """Return a point drawn evenly from the inner part of either lung."""
    lung = lungs[int(random.integers(len(lungs)))]
    angle, reach = random.uniform(0, 2 * np.pi), 0.8 * np.sqrt(random.random())
    down, across = reach * np.sin(angle), reach * np.cos(angle)
    return lung.y + lung.half_y * down, lung.x + lung.half_x * across


def _spot(y: Plane, x: Plane, place: Point, radius: float) -> Plane:
    """Return a Gaussian of height 1."""
    down = np.exp(-0.5 * ((y - place[0]) / radius) ** 2)
    across = np.exp(-0.5 * ((x - place[1]) / radius) ** 2)
    return down * across
