"""Randomness that a guarantee rests on: from the system's generator, never seeded, never repeated.

* Every call draws a fresh 256-bit key from `os.urandom` and expands it with AES in counter mode
  (NIST SP 800-90A takes the same primitive); nothing is kept, so nothing can be reused after a
  crash.
* Normal numbers follow in float64 from pairs of uniform ones (Box and Muller 1958); the one that
  gives the radius has 128 random bits near 0, so they reach 13 deviations, and 64 near 1.

Floating-point noise. The sum of a float and floating-point noise has low bits that betray the
float: some results can come from one value and not from its neighbour (Mironov 2012, CCS; Jin et
al. 2022, arXiv:2112.05307, for Gaussian noise). Hence:

* Noise is a whole multiple of a public grid, 2^-33 to 2^-32 of its deviation, and so must be the
  value that it is added to (`on_grid`). Their float64 sum is then exact: the result is that of
  whole numbers, and tells of the value what the sum tells and no more.
* For a value on the grid, rounding noise is rounding the noised value: post-processing of the
  Gaussian mechanism on real numbers (Dwork and Roth 2014, proposition 2.1), under Poisson sampling
  too.
* Rounding the value can raise its sensitivity by a grid step in every coordinate. The noise is made
  larger by 2^-10 of itself, unpriced, which pays for it: for sensitivity C and noise multiplier s
  that is enough for s sqrt(d) <= 2^22 (d = 7 million: s <= 1585).

What this does not give: float64 logarithms and cosines are not exact, so a whole number's
probability is near that of rounded Gaussian noise, not equal to it. What was looked for are holes,
pairs of whole numbers that no draw gives: none is within 13 deviations (beyond lies 10^-38), but
for a chance of about 2^-60 in a pair. Time is not hidden. An exact sampler (`discrete_gaussian.py`)
costs thousands of times as much; it is for the few numbers of a histogram.
"""

import math
import os

import numpy as np
import torch
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from numpy.typing import NDArray
from torch import Tensor

_PAIRS = 2**15
"""Pairs of normal numbers made at a time, so that the work stays in the processor's cache."""
_GRID_BITS = 32
_MARGIN = 1.0 + 2.0**-10
_RARE = np.uint64(2**44)
"""Within 2^-20 of either end of its range, a uniform number needs more than a float's bits."""


def secure_normal(shape: tuple[int, ...], deviation: float) -> NDArray[np.float64]:
    """Return independent normal numbers of mean 0, whole multiples of `grid(deviation)`.

    Their deviation is 2^-10 larger than asked for; add them to values `on_grid` only.
    """
    size = math.prod(shape)
    pairs = (size + 1) // 2
    step = grid(deviation)
    bits = np.frombuffer(_stream(16 * pairs), dtype=np.uint64).reshape(2, pairs)
    values = np.empty(2 * pairs)
    whole = torch.from_numpy(values)
    for start in range(0, pairs, _PAIRS):
        stop = min(start + _PAIRS, pairs)
        radius = torch.from_numpy(_log_uniform(bits[0, start:stop]))
        radius.mul_(-2.0).sqrt_().mul_(deviation * _MARGIN / step)
        angle = torch.from_numpy(_uniform(bits[1, start:stop])).mul_(2.0 * math.pi)
        block = whole[2 * start : 2 * stop]
        torch.cos(angle, out=block[: stop - start])
        torch.sin(angle, out=block[stop - start :])
        block.view(2, -1).mul_(radius).round_().mul_(step)
    return values[:size].reshape(shape)


def on_grid(values: Tensor, deviation: float) -> Tensor:
    """Round values, up to 2^19 deviations, to the grid of noise of this deviation, in float64."""
    step = grid(deviation)
    return (values.double() / step).round_().mul_(step)


def grid(deviation: float) -> float:
    """Return the grid of noise of a deviation: a power of two, 2^-33 to 2^-32 of it.

    A function of a public constant alone.
    """
    return math.ldexp(1.0, math.frexp(deviation)[1] - 1 - _GRID_BITS)


def secure_poisson(count: int, rate: float) -> NDArray[np.bool_]:
    """Draw each of `count` patients independently with probability `rate`; 1 draws all."""
    drawn: NDArray[np.bool_] = _uniform(np.frombuffer(_stream(8 * count), dtype=np.uint64)) <= rate
    return drawn


def _uniform(bits: NDArray[np.uint64]) -> NDArray[np.float64]:
    """Map 64 random bits to a multiple of 2^-53 in (0, 1]."""
    return ((bits >> np.uint64(11)).astype(np.float64) + 1.0) * 2.0**-53


def _log_uniform(bits: NDArray[np.uint64]) -> NDArray[np.float64]:
    """Return the logarithm of a uniform number in (0, 1], fine at both ends.

    Near 0, 64 bits more are drawn; near 1, the distance to 1 is taken before it is rounded away.
    """
    found = bits.astype(np.float64)
    rare = np.flatnonzero(bits + _RARE < 2 * _RARE)  # whole numbers modulo 2^64: either end
    low, high = rare[bits[rare] < _RARE], rare[bits[rare] > _RARE]
    more = np.frombuffer(_stream(8 * low.size), dtype=np.uint64)
    found[low] += (more.astype(np.float64) + 1.0) * 2.0**-64
    found *= 2.0**-64
    torch.from_numpy(found).log_()
    found[high] = np.log1p((~bits[high]).astype(np.float64) * -(2.0**-64))
    return found


def _stream(size: int) -> bytes:
    cipher = Cipher(algorithms.AES256(os.urandom(32)), modes.CTR(bytes(16)))
    return cipher.encryptor().update(bytes(size))
