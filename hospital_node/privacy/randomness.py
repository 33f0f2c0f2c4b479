"""Randomness that a guarantee rests on: from the system's generator, never seeded, never repeated.

* Every call draws a fresh 256-bit key from `os.urandom` and expands it with AES in counter mode
  (NIST SP 800-90A takes the same primitive); nothing is kept, so nothing can be reused after a
  crash.
* Uniform numbers carry 53 random bits; normal ones follow in float64 (Box and Muller 1958) and
  reach 8.5 deviations.
"""

import math
import os

import numpy as np
import torch
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from numpy.typing import NDArray

_PAIRS = 2**16
"""Pairs of normal numbers made at a time, so that the work stays in the processor's cache."""


def secure_normal(shape: tuple[int, ...], deviation: float) -> NDArray[np.float64]:
    """Return independent normal numbers of mean 0."""
    size = math.prod(shape)
    pairs = (size + 1) // 2
    bits = np.frombuffer(_stream(16 * pairs), dtype=np.uint64).reshape(2, pairs)
    values = np.empty(2 * pairs)
    for start in range(0, pairs, _PAIRS):
        stop = min(start + _PAIRS, pairs)
        uniform = torch.from_numpy(_uniform(bits[:, start:stop]))
        radius = (-2.0 * uniform[0].log_()).sqrt_().mul_(deviation)
        angle = uniform[1].mul_(2.0 * math.pi)
        values[2 * start : start + stop] = (radius * angle.cos()).numpy()
        values[start + stop : 2 * stop] = (radius * angle.sin()).numpy()
    return values[:size].reshape(shape)


def secure_poisson(count: int, rate: float) -> NDArray[np.bool_]:
    """Draw each of `count` patients independently with probability `rate`; 1 draws all."""
    drawn: NDArray[np.bool_] = _uniform(np.frombuffer(_stream(8 * count), dtype=np.uint64)) <= rate
    return drawn


def _uniform(bits: NDArray[np.uint64]) -> NDArray[np.float64]:
    """Map 64 random bits to a multiple of 2^-53 in (0, 1]."""
    return ((bits >> np.uint64(11)).astype(np.float64) + 1.0) * 2.0**-53


def _stream(size: int) -> bytes:
    cipher = Cipher(algorithms.AES256(os.urandom(32)), modes.CTR(bytes(16)))
    return cipher.encryptor().update(bytes(size))
