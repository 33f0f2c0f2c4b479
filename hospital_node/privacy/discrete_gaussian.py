"""Exact Gaussian noise on whole numbers, for the few counts of a histogram.

* The discrete Gaussian of Canonne, Kamath and Steinke 2020 (arXiv:2004.00010), algorithms 1 to 3:
  P(n) is proportional to exp(-n^2 / (2 s^2)) for every whole n, with nothing cut off or rounded.
* Only whole numbers and fractions are computed with, and every choice is drawn from the system's
  generator: no floating-point number is there to betray a count.
* Added to whole counts, its Renyi divergences are at most those of the Gaussian of deviation s
  (their theorem 4 and proposition 5): the ledger's price holds as it stands. The figure from
  privacy loss distributions is that of the continuous Gaussian, which at s of many units differs by
  exp(-2 pi^2 s^2), less than any printed digit.
* It does not hide how long a draw takes; that depends on the noise, never on a count.
"""

import math
import secrets
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray


def discrete_gaussian(shape: tuple[int, ...], deviation: float) -> NDArray[np.int64]:
    """Return independent whole numbers around 0; a hundred take some milliseconds."""
    variance = Fraction(deviation) ** 2
    values = [_gaussian(variance) for _ in range(math.prod(shape))]
    return np.array(values, dtype=np.int64).reshape(shape)


def _gaussian(variance: Fraction) -> int:
    """Draw once (algorithm 3)."""
    scale = math.isqrt(math.floor(variance)) + 1
    while True:
        value = _laplace(scale)
        excess = abs(value) - variance / scale
        if _happens(excess**2 / (2 * variance)):
            return value


def _laplace(scale: int) -> int:
    """Draw n with probability proportional to exp(-|n| / scale) (algorithm 2)."""
    while True:
        rest = secrets.randbelow(scale)
        if not _happens(Fraction(rest, scale)):
            continue
        times = 0
        while _happens(Fraction(1)):
            times += 1
        size = rest + scale * times
        is_negative = bool(secrets.randbelow(2))
        if size or not is_negative:
            return -size if is_negative else size


def _happens(exponent: Fraction) -> bool:
    """Say yes with probability exp(-exponent), exactly (algorithm 1)."""
    for _ in range(math.floor(exponent)):
        if not _happens_below(1, 1):
            return False
    rest = exponent - math.floor(exponent)
    return _happens_below(rest.numerator, rest.denominator)


def _happens_below(numerator: int, denominator: int) -> bool:
    """Say yes with probability exp(-numerator / denominator), at most 1 of it.

    Trials with probability rest / k for k = 1, 2, ... until one fails; it fails at an odd k with
    that probability.
    """
    place = 1
    while secrets.randbelow(denominator * place) < numerator:
        place += 1
    return bool(place % 2)
