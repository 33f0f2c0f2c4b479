"""Masks: pseudorandom ring elements from 32-byte seeds, added to a vector in place.

* A seed's mask is the keystream of AES-256 in counter mode from zero (NIST SP 800-38A), read as
  little-endian elements of the ring. A seed makes one mask in its life.
* Keystreams are made in blocks, each into the same buffer, which stays in a processor's cache: no
  mask is ever whole in memory.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR

from schemas.protection.fixed_point import Elements

BLOCK_BYTES = 2**18
_ZEROS = memoryview(bytes(BLOCK_BYTES))
_SLACK_BYTES = 15
"""What `update_into` wants beyond the output: a block less one byte."""


@dataclass(frozen=True, slots=True)
class Mask:
    """A seed, and whether its elements are added or taken away."""

    seed: bytes
    is_added: bool


def add_masks(vector: Elements, masks: Iterable[Mask]) -> None:
    """Add these masks to a vector, in place, block by block."""
    streams = [
        (Cipher(AES(one.seed), CTR(bytes(16))).encryptor(), np.add if one.is_added else np.subtract)
        for one in masks
    ]
    buffer = bytearray(BLOCK_BYTES + _SLACK_BYTES)
    step = BLOCK_BYTES // vector.itemsize
    keystream = np.frombuffer(buffer, vector.dtype, step)
    for start in range(0, vector.size, step):
        part = vector[start : start + step]
        for cipher, combine in streams:
            cipher.update_into(_ZEROS[: part.nbytes], buffer)
            combine(part, keystream[: part.size], out=part)
