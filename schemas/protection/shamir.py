"""Shamir's sharing of 32-byte secrets over the field of 2^521 - 1 elements.

* Shamir 1979, doi:10.1145/359168.359176. A share is a polynomial's value at a site's number, from
  1; fewer than `threshold` shares are independent of the secret.
* Shares that do not belong together mostly give something that is no secret, and are refused; one
  that was altered by a little may give another secret, so the caller holds it against what the
  owner showed of it. `decoding` finds the secret among shares of which some are wrong.
"""

import secrets
from collections.abc import Mapping, Sequence

PRIME = 2**521 - 1
SECRET_BYTES = 32
SHARE_BYTES = 66


class UnequalShares(ValueError):
    """These shares are not all of one secret."""


def split(secret: bytes, *, threshold: int, numbers: Sequence[int]) -> dict[int, int]:
    """Return a share for each number; any `threshold` of them give the secret back."""
    if len(secret) != SECRET_BYTES or not 1 <= threshold <= len(numbers):
        message = "a secret of 32 bytes and at least `threshold` numbers are needed"
        raise ValueError(message)
    if len(set(numbers)) != len(numbers) or min(numbers) < 1:
        message = "numbers are distinct and at least 1"
        raise ValueError(message)
    drawn = [secrets.randbelow(PRIME) for _ in range(threshold - 1)]
    coefficients = [int.from_bytes(secret, "big"), *drawn]
    return {number: value_at(coefficients, number) for number in numbers}


def combined(shares: Mapping[int, int]) -> bytes:
    """Return the secret of exactly as many shares as its threshold.

    Raises:
        UnequalShares: they give no secret.
    """
    total = 0
    for number, share in shares.items():
        numerator = denominator = 1
        for other in shares:
            if other != number:
                numerator = numerator * -other % PRIME
                denominator = denominator * (number - other) % PRIME
        total = (total + share * numerator * pow(denominator, -1, PRIME)) % PRIME
    if total >> (8 * SECRET_BYTES):
        message = "the shares are not all of one secret"
        raise UnequalShares(message)
    return total.to_bytes(SECRET_BYTES, "big")


def value_at(coefficients: Sequence[int], number: int) -> int:
    """Return a polynomial's value; its coefficients begin with that of x^0."""
    value = 0
    for one in reversed(coefficients):
        value = (value * number + one) % PRIME
    return value
