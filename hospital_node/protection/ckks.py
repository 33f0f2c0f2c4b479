"""Adding values under encryption: CKKS (Cheon et al. 2017, doi:10.1007/978-3-319-70694-8_15).

* Ring 8192 and 160 bits of moduli, where 218 still give 128 bits of security (Homomorphic
  Encryption Standard 2018, table 1). A ciphertext holds 4096 values at a scale of 2^40.
* Who encrypts holds the key, so there is no public key and nothing but a secret one to hand over.
* Adding needs no key and is exact: the same ciphertexts in the same order give the same bytes. No
  ciphertext is ever multiplied.
* What another site sent is read strictly: one fresh ciphertext of the expected size and scale for
  each chunk, in the one form in which it is written.

Only the process of `cipher_worker` imports this module: TenSEAL holds the interpreter's lock while
it computes, and reads hostile bytes in native code.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np
import tenseal
from numpy.typing import NDArray

from schemas.protection.ciphertexts import MODULUS_BITS, RING, SLOTS, chunks

SCALE = 2.0**40
_POLYNOMIALS = 2
"""Of a ciphertext that was never multiplied."""
_LEVELS = 2
"""Moduli of one that was never rescaled: all but the last."""


class MalformedCiphertext(ValueError):
    """Bytes that are no fresh ciphertext of the expected size, or no key of these parameters."""


def new_key() -> bytes:
    """Make a secret key from the system's generator."""
    return _written(_context(), with_secret=True)


def encrypted(key: bytes, values: NDArray[np.float64]) -> Iterator[bytes]:
    """Yield the ciphertexts of finite values, chunk by chunk.

    Raises:
        MalformedCiphertext: no key of these parameters.
    """
    context = _opened(key)
    for start in range(0, values.size, SLOTS):
        part = values[start : start + SLOTS]
        yield tenseal.ckks_vector(context, part).serialize()


def summed(columns: Sequence[Sequence[bytes]], size: int) -> Iterator[bytes]:
    """Yield the sum of each chunk; `columns` are the sites' chunks, in the sites' order.

    Raises:
        MalformedCiphertext: some are no fresh ciphertexts of so many values; `args` has the place
        of the column.
    """
    context, expected = _parameters(), chunks(size)
    for place, column in enumerate(columns):
        if len(column) != len(expected):
            raise MalformedCiphertext(place)
    for row, count in enumerate(expected):
        total = None
        for place, column in enumerate(columns):
            one = _read(context, column[row], count, place)
            total = one if total is None else total + one
        if total is not None:
            yield total.serialize()


def decrypted(key: bytes, total: Sequence[bytes], size: int) -> NDArray[np.float64]:
    """Return the values of a sum that this process made.

    Raises:
        MalformedCiphertext: no sum of so many values, or no key of these parameters.
    """
    context, expected = _opened(key), chunks(size)
    if len(total) != len(expected):
        raise MalformedCiphertext(0)
    parts = [
        _read(context, one, count, 0).decrypt() for one, count in zip(total, expected, strict=True)
    ]
    return np.concatenate([np.asarray(one, dtype=np.float64) for one in parts])


def forget() -> None:
    """Let go of the key that was used last."""
    _opened.cache_clear()


def _read(context: tenseal.Context, content: bytes, count: int, place: int) -> tenseal.CKKSVector:
    try:
        vector = tenseal.ckks_vector_from(context, content)
        [ciphertext] = vector.ciphertext()
        found = (vector.size(), ciphertext.size(), ciphertext.coeff_modulus_size())
        is_fresh = found == (count, _POLYNOMIALS, _LEVELS) and ciphertext.scale == SCALE
        is_plain = is_fresh and not ciphertext.is_transparent() and vector.serialize() == content
    except (ValueError, RuntimeError, IndexError, TypeError):
        is_plain = False
    if not is_plain:
        raise MalformedCiphertext(place)
    return vector


@lru_cache(maxsize=1)
def _opened(key: bytes) -> tenseal.Context:
    """Read a key; nothing but this software's own parameters are taken."""
    try:
        context = tenseal.context_from(key, n_threads=1)
        is_ours = context.is_private() and _written(context, with_secret=False) == _written(
            _parameters(), with_secret=False
        )
        is_plain = is_ours and _written(context, with_secret=True) == key
    except (ValueError, RuntimeError, TypeError):
        is_plain = False
    if not is_plain:
        raise MalformedCiphertext(0)
    return context


@lru_cache(maxsize=1)
def _parameters() -> tenseal.Context:
    """Return a context without any key."""
    return tenseal.context_from(_written(_context(), with_secret=False), n_threads=1)


def _context() -> tenseal.Context:
    context = tenseal.context(
        tenseal.SCHEME_TYPE.CKKS,
        poly_modulus_degree=RING,
        coeff_mod_bit_sizes=list(MODULUS_BITS),
        n_threads=1,
        encryption_type=tenseal.ENCRYPTION_TYPE.SYMMETRIC,
    )
    context.global_scale = SCALE
    return context


def _written(context: tenseal.Context, *, with_secret: bool) -> bytes:
    content: bytes = context.serialize(
        save_public_key=False,
        save_secret_key=with_secret,
        save_galois_keys=False,
        save_relin_keys=False,
    )
    return content
