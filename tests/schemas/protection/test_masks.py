"""Masks: equal on both sides, gone when taken away, and uniform to who lacks the seed."""

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR

from schemas.protection.masks import BLOCK_BYTES, Mask, add_masks

SIZES = [1, 3, BLOCK_BYTES // 8, BLOCK_BYTES // 4, BLOCK_BYTES // 4 + 1, 3 * BLOCK_BYTES // 4 + 5]


def keystream(seed: bytes, size: int) -> bytes:
    return Cipher(AES(seed), CTR(bytes(16))).encryptor().update(bytes(size))


@pytest.mark.parametrize("width", [4, 8])
@pytest.mark.parametrize("size", SIZES)
def test_a_mask_is_the_same_in_blocks_as_in_one_piece(width: int, size: int) -> None:
    vector = np.zeros(size, dtype=f"<u{width}")
    add_masks(vector, [Mask(bytes(range(32)), is_added=True)])
    assert vector.tobytes() == keystream(bytes(range(32)), width * size)


@pytest.mark.parametrize("width", [4, 8])
def test_masks_are_whole_numbers_modulo_the_ring(width: int) -> None:
    seeds = [bytes([one]) * 32 for one in range(5)]
    signs = [True, False, True, True, False]
    start = np.arange(1000, dtype=f"<u{width}") * 3_000_000
    vector = start.copy()
    add_masks(vector, [Mask(*one) for one in zip(seeds, signs, strict=True)])
    for place in (0, 1, 999):
        total = int(start[place])
        for seed, sign in zip(seeds, signs, strict=True):
            stream = keystream(seed, width * 1000)[width * place : width * (place + 1)]
            total += (1 if sign else -1) * int.from_bytes(stream, "little")
        assert int(vector[place]) == total % 2 ** (8 * width)
    add_masks(
        vector, [Mask(seed, is_added=not sign) for seed, sign in zip(seeds, signs, strict=True)]
    )
    assert (vector == start).all()
