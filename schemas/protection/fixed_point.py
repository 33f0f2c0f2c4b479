"""Fixed point in a ring: real values as whole multiples of a step, added without any rounding.

* A ring is the integers modulo 2^32 or 2^64, as numpy's unsigned integers wrap by themselves;
  negative values are in two's complement, so no offset is kept.
* Each site encodes its share of the mean, weight / all weights times the value. With every value
  within the bound the sum of all sites stays within it too, whatever their number.
* A value that is not finite, or over its bound, is refused before it is encoded: a cast would
  wrap it to some other value in silence.
"""

import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from schemas.errors import ArraysRefused

Elements: TypeAlias = NDArray[np.uint32] | NDArray[np.uint64]
"""Elements of a ring, little-endian on the wire."""

CHUNK = 2**16
"""Values encoded at a time: they stay in a processor's cache."""

_WIDTHS = (32, 64)


class OverflowingRing(ValueError):
    """No ring holds such sums."""


@dataclass(frozen=True, slots=True)
class Ring:
    """The integers modulo 2^bits, and the fixed point that they stand for."""

    bits: int
    fraction_bits: int
    bound: float
    """Largest magnitude of a real value."""

    @property
    def dtype(self) -> np.dtype[np.uint32] | np.dtype[np.uint64]:
        """The ring's elements on the wire and in memory."""
        return np.dtype(f"<u{self.bits // 8}")

    @property
    def step(self) -> float:
        """The distance of two neighbouring values."""
        return math.ldexp(1.0, -self.fraction_bits)


def ring_for(bound: float, fraction_bits: int, *, sites: int) -> Ring:
    """Return the smallest ring that holds every sum of these sites' shares.

    The shares' sum is within `bound`; each site's rounding adds half a step.

    Raises:
        OverflowingRing: none of 2^32 and 2^64 does.
    """
    largest = math.ceil(math.ldexp(bound, fraction_bits)) + (sites + 1) // 2
    for bits in _WIDTHS:
        if largest < 2 ** (bits - 1):
            return Ring(bits, fraction_bits, bound)
    message = f"values up to {bound:g} in steps of 2^-{fraction_bits} need more than 64 bits"
    raise OverflowingRing(message)


def read(content: bytes, ring: Ring) -> Elements:
    """Return elements as they stand on the wire, read-only."""
    if ring.bits == _WIDTHS[0]:
        return np.frombuffer(content, dtype="<u4")
    return np.frombuffer(content, dtype="<u8")


def encoded(values: NDArray[np.float32], ring: Ring, *, share: float = 1.0) -> Elements:
    """Return values times a site's share of the mean, to the nearest step.

    Raises:
        ArraysRefused: a value is not finite, or over the bound.
    """
    elements = np.empty(values.size, dtype=ring.dtype)
    signed = elements.view(f"<i{ring.bits // 8}")
    scale = math.ldexp(share, ring.fraction_bits)
    scaled = np.empty(CHUNK, dtype=np.float64)
    for start in range(0, values.size, CHUNK):
        part = values[start : start + CHUNK]
        _hold(part, ring.bound)
        whole = scaled[: part.size]
        np.multiply(part, scale, out=whole, dtype=np.float64)
        np.rint(whole, out=whole)
        np.copyto(signed[start : start + CHUNK], whole, casting="unsafe")
    return elements


def decoded(total: Elements, ring: Ring, *, share: float = 1.0) -> NDArray[np.float64]:
    """Return the real values of a sum, over the share of the sites that are in it."""
    signed = total.view(f"<i{ring.bits // 8}")
    return signed.astype(np.float64) / math.ldexp(share, ring.fraction_bits)


def encoded_counts(counts: NDArray[np.int64]) -> Elements:
    """Return whole counts as elements of the ring 2^64."""
    return counts.astype("<i8").view("<u8")


def decoded_counts(total: Elements) -> list[int]:
    """Return a sum of whole counts."""
    return [int(one) for one in total.view("<i8")]


def _hold(part: NDArray[np.float32], bound: float) -> None:
    """Hold that every value is finite and within the bound; a NaN is within nothing."""
    if part.size and not (float(part.max()) <= bound and float(part.min()) >= -bound):
        message = f"values refused: one is not finite or over {bound:g}, the plan's bound"
        next_step = "tell the study lead; a smaller learning rate or a larger bound may mend it"
        raise ArraysRefused(message, next_step=next_step)
