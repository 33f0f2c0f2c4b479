"""What is known of CKKS ciphertexts without any key: how many, how long, and how exact their sum.

* A ciphertext holds 4096 values: two polynomials of degree 8192 modulo primes of 60 and 40 bits.
  Its coefficients look random, so no form of it is shorter than their bits, and none needs to be
  longer than eight bytes for each. TenSEAL 0.3.16 writes 234.7 to 235.3 kB, of any values.
* A length outside these bounds is refused before the bytes are parsed, or forwarded to each site.
"""

import math

from schemas.errors import InputRefused

SLOTS = 4096
RING = 2 * SLOTS
MODULUS_BITS = (60, 40, 60)
_POLYNOMIALS = 2
_FRESH_BITS = sum(MODULUS_BITS[:-1])
"""The last modulus is the key's alone."""
LEAST_BYTES = _POLYNOMIALS * RING * _FRESH_BITS // 8
MOST_BYTES = _POLYNOMIALS * RING * len(MODULUS_BITS[:-1]) * 8 + 2**12
"""With room for what describes them."""
LEAST_KEY_BYTES = RING * sum(MODULUS_BITS) // 8
MOST_KEY_BYTES = RING * len(MODULUS_BITS) * 8 + 2**12
"""A key is one polynomial under all three moduli; 179.7 to 183.4 kB were written."""
_FRAME_BYTES = 8

MOST_SETTLED_BYTES = 2**30
"""The most that each site may be handed to add up: the process that does has four times as much."""

_FRESH_ERROR = 2.0**-32.2
_RELATIVE_ERROR = 2.0**-52
EXACTNESS = 1000.0
"""How much coarser than the error of CKKS an opened sum leaves."""


def chunks(size: int) -> list[int]:
    """Return the number of values in each ciphertext of so many."""
    return [min(SLOTS, size - start) for start in range(0, size, SLOTS)]


def are_whole(body: bytes, size: int) -> bool:
    """Say whether framed ciphertexts are as many, and as long, as those of so many values."""
    start = found = 0
    while start < len(body):
        length = int.from_bytes(body[start : start + _FRAME_BYTES], "big")
        start += _FRAME_BYTES + length
        found += 1
        if not LEAST_BYTES <= length <= MOST_BYTES:
            return False
    return start == len(body) and found == len(chunks(size))


def settled_bytes(size: int, *, sites: int) -> int:
    """Return the most that each site is handed to add up so many values of so many sites."""
    return sites * len(chunks(size)) * (MOST_BYTES + _FRAME_BYTES)


def hold_settled(size: int, *, sites: int) -> None:
    """Hold what each site would be handed to add up against the limit.

    Raises:
        InputRefused: it is more.
    """
    found = settled_bytes(size, sites=sites)
    if found > MOST_SETTLED_BYTES:
        message = (
            f"plan refused: each site would be handed {found / 2**20:.0f} MiB of ciphertexts of "
            f"{sites} sites, at most {MOST_SETTLED_BYTES / 2**20:.0f} MiB are allowed"
        )
        raise InputRefused(message, next_step="train fewer values, or take the protection masked")


def are_boxes(body: bytes, sites: int) -> bool:
    """Say whether sealed keys are as many as sites, all of one length that a key may have."""
    size, rest = divmod(len(body), max(sites, 1))
    return rest == 0 and LEAST_KEY_BYTES <= size <= MOST_KEY_BYTES


def error(bound: float, *, sites: int) -> float:
    """Return how far the opened sum of a value is off, as a standard deviation.

    Each fresh ciphertext adds the same; from values of a million on, the 53 bits of a double do
    too. Measured: 2^-32.3 for one site, 2^-31.3 for 4, 2^-29.5 for 50, 2^-22.6 for values of 1e9.
    """
    return math.hypot(math.sqrt(sites) * _FRESH_ERROR, bound * _RELATIVE_ERROR)
