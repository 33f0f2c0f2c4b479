"""Fixed features for small hospitals: Gabor channels, then random Fourier features.

* Nothing is learnt from a cohort: kernels are formulas, means and deviations come from invented 1/f
  images, and the random frequencies from the plan's seed.
* A feature vector has length 1 (and the constant that carries the bias), so a private head clips
  every patient alike.
* Wavelengths are in pixels and chosen for images of about 64 x 64.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from threading import Lock

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from schemas.network import GaborFourier

WAVELENGTHS = (3, 6, 12, 20)
ORIENTATIONS = 8
GRID = 8
"""Channels are averaged to GRID x GRID cells."""
CHANNELS = len(WAVELENGTHS) * ORIENTATIONS + 1
_SYNTHETIC_IMAGES = 256
_CHUNK = 64
_making = Lock()


@dataclass(frozen=True, slots=True)
class FixedFeatures:
    """A feature map of [n, 1, height, width] to [n, features + 1], the same in every process."""

    spec: GaborFourier
    height: int
    width: int

    def __call__(self, images: Tensor) -> Tensor:
        """Return the features of some images."""
        with _making:
            constants = _constants(self.spec, self.height, self.width)
        with torch.no_grad():
            return torch.cat([_features(part, self.spec, constants) for part in _parts(images)])


@dataclass(frozen=True, slots=True)
class _Constants:
    mean: Tensor
    deviation: Tensor
    frequencies: Tensor


@lru_cache(maxsize=8)
def _constants(spec: GaborFourier, height: int, width: int) -> _Constants:
    synthetic = torch.cat([_channels(part) for part in _parts(_one_over_f(spec, height, width))])
    generator = torch.Generator().manual_seed(spec.seed)
    shape = (CHANNELS * GRID * GRID, spec.features // 2)
    return _Constants(
        mean=synthetic.mean((0, 2, 3), keepdim=True),
        deviation=synthetic.std((0, 2, 3), keepdim=True) + 1e-4,
        frequencies=torch.randn(shape, generator=generator) * math.sqrt(2.0 * spec.bandwidth),
    )


def _features(images: Tensor, spec: GaborFourier, constants: _Constants) -> Tensor:
    """Approximate a Gaussian kernel by random projections (Rahimi and Recht 2007, section 3)."""
    channels = (_channels(images) - constants.mean) / constants.deviation
    unit = functional.normalize(channels.flatten(1), dim=1)
    phases = unit @ constants.frequencies
    waves = torch.cat([phases.cos(), phases.sin()], 1) * math.sqrt(2.0 / spec.features)
    return torch.cat([waves, waves.new_full((len(waves), 1), spec.bias_scale)], 1)


def _channels(images: Tensor) -> Tensor:
    """Return the magnitudes of Gabor responses and the image itself, averaged to cells."""
    found = []
    for kernels in _kernels():
        responses = functional.conv2d(images, kernels, padding=kernels.shape[-1] // 2, stride=2)
        even, odd = responses[:, :ORIENTATIONS], responses[:, ORIENTATIONS:]
        found.append(functional.adaptive_avg_pool2d((even**2 + odd**2).sqrt(), GRID))
    return torch.cat([*found, functional.adaptive_avg_pool2d(images, GRID)], 1)


@lru_cache(maxsize=1)
def _kernels() -> tuple[Tensor, ...]:
    """Make a stack of kernels for each wavelength: all in even phase, then all in odd phase.

    Kernels have mean 0 and length 1; the envelope's deviation is half the wavelength.
    """
    return tuple(_stack(wavelength) for wavelength in WAVELENGTHS)


def _stack(wavelength: int) -> Tensor:
    radius = min(2 * wavelength, 15)
    steps = torch.arange(-radius, radius + 1, dtype=torch.float64)
    down, across = torch.meshgrid(steps, steps, indexing="ij")
    envelope = torch.exp(-(across**2 + down**2) / (2 * (0.5 * wavelength) ** 2))
    kernels = []
    for phase in (0.0, math.pi / 2):
        for orientation in range(ORIENTATIONS):
            angle = math.pi * orientation / ORIENTATIONS
            along = across * math.cos(angle) + down * math.sin(angle)
            kernel = envelope * torch.cos(2 * math.pi * along / wavelength + phase)
            kernel = kernel - kernel.mean()
            kernels.append(kernel / kernel.norm())
    return torch.stack(kernels)[:, None].float()


def _one_over_f(spec: GaborFourier, height: int, width: int) -> Tensor:
    """Invent images whose spectrum falls as natural images' does (Field 1987)."""
    random = np.random.default_rng(spec.seed)
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None])
    frequency[0, 0] = 1.0 / max(height, width)
    slope = random.uniform(0.8, 1.6, (_SYNTHETIC_IMAGES, 1, 1))
    noise = random.normal(size=(_SYNTHETIC_IMAGES, height, width))
    images = np.fft.ifft2(np.fft.fft2(noise) / frequency**slope).real
    images -= images.mean((1, 2), keepdims=True)
    images /= images.std((1, 2), keepdims=True)
    return torch.from_numpy(images.astype(np.float32))[:, None]


def _parts(images: Tensor) -> tuple[Tensor, ...]:
    return torch.split(images, _CHUNK)
