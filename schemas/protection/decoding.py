"""Shares of which some are wrong: the polynomial that they are of, by decoding Reed and Solomon.

* Shares of one secret are values of a polynomial of `threshold` coefficients at most, so they are a
  Reed-Solomon codeword (McEliece and Sarwate 1981, doi:10.1145/358746.358762): of n shares any
  (n - threshold) // 2 may be wrong.
* Gao 2003, doi:10.1007/978-1-4757-3789-9_5: put a polynomial through all shares, and run Euclid's
  algorithm with the product of all (x - number) until the degree is low enough.
* A polynomial is the list of its coefficients, that of x^0 first and the last one not zero.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

from schemas.protection.shamir import PRIME, SECRET_BYTES, value_at

Polynomial: TypeAlias = list[int]


def decoded(shares: Mapping[int, int], *, threshold: int) -> Polynomial | None:
    """Return the polynomial that all but (n - threshold) // 2 of the shares are of, if any.

    At least `threshold` shares are needed.
    """
    last, rest = _product(shares), _through(shares)
    of_last, of_rest = Polynomial(), [1]
    while 2 * (len(rest) - 1) >= len(shares) + threshold:
        quotient, remainder = _divided(last, rest)
        last, rest = rest, remainder
        of_last, of_rest = of_rest, _less(of_last, quotient, of_rest)
    found, remainder = _divided(rest, of_rest)
    return None if remainder or len(found) > threshold else found


def secret_of(polynomial: Polynomial) -> bytes | None:
    """Return the secret that a polynomial shares; None where its value at 0 is none."""
    secret = polynomial[0] if polynomial else 0
    is_secret = not secret >> (8 * SECRET_BYTES)
    return secret.to_bytes(SECRET_BYTES, "big") if is_secret else None


def wrong_in(polynomial: Polynomial, shares: Mapping[int, int]) -> tuple[int, ...]:
    """Return the numbers of the shares that are not of a polynomial."""
    return tuple(sorted(one for one in shares if value_at(polynomial, one) != shares[one]))


def _product(numbers: Iterable[int]) -> Polynomial:
    """Multiply (x - number) for all of them."""
    found = [1]
    for number in numbers:
        found = _times_root(found, number)
    return found


def _through(shares: Mapping[int, int]) -> Polynomial:
    """Return the polynomial through all shares, by Newton's divided differences."""
    numbers, differences = list(shares), list(shares.values())
    for width in range(1, len(numbers)):
        for place in range(len(numbers) - 1, width - 1, -1):
            rise = differences[place] - differences[place - 1]
            run = numbers[place] - numbers[place - width]
            differences[place] = rise * pow(run, -1, PRIME) % PRIME
    found = Polynomial()
    for number, difference in zip(reversed(numbers), reversed(differences), strict=True):
        found = _times_root(found, number)
        found[0] = (found[0] + difference) % PRIME
    return _trimmed(found)


def _times_root(polynomial: Polynomial, number: int) -> Polynomial:
    """Multiply by (x - number)."""
    return [
        (upper - number * lower) % PRIME
        for upper, lower in zip([0, *polynomial], [*polynomial, 0], strict=True)
    ]


def _divided(dividend: Polynomial, divisor: Polynomial) -> tuple[Polynomial, Polynomial]:
    """Return quotient and remainder."""
    rest, inverse = list(dividend), pow(divisor[-1], -1, PRIME)
    quotient = [0] * max(0, len(dividend) - len(divisor) + 1)
    for place in reversed(range(len(quotient))):
        factor = rest[place + len(divisor) - 1] * inverse % PRIME
        quotient[place] = factor
        for step, one in enumerate(divisor):
            rest[place + step] = (rest[place + step] - factor * one) % PRIME
    return _trimmed(quotient), _trimmed(rest)


def _less(first: Polynomial, second: Sequence[int], third: Polynomial) -> Polynomial:
    """Return first - second * third."""
    size = max(len(first), len(second) + len(third) - 1)
    found = [*first, *[0] * (size - len(first))]
    for place, one in enumerate(second):
        for step, other in enumerate(third):
            found[place + step] = (found[place + step] - one * other) % PRIME
    return _trimmed(found)


def _trimmed(polynomial: Polynomial) -> Polynomial:
    while polynomial and not polynomial[-1]:
        polynomial.pop()
    return polynomial
