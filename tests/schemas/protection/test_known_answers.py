"""The primitives against published answers, through the very calls that the protocol makes."""

import itertools

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from schemas.protection import shamir
from schemas.protection.agreement import public
from schemas.protection.masks import Mask, add_masks

H = bytes.fromhex


def test_counter_mode_gives_the_answers_of_nist_sp_800_38a_f_5_5() -> None:
    key = H("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4")
    start = H("f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff")
    plain = H(
        "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"
        "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710"
    )
    cipher = H(
        "601ec313775789a5b7a7f504bbf3d228f443e3ca4d62b59aca84e990cacaf5c5"
        "2b0930daa23de94ce87017ba2d84988ddfc9c58db67aada613c2dd08457941a6"
    )
    buffer = bytearray(len(plain) + 15)
    Cipher(AES(key), CTR(start)).encryptor().update_into(plain, buffer)
    assert buffer[: len(plain)] == cipher


def test_a_mask_is_the_keystream_of_aes_256_from_counter_zero() -> None:
    # NIST FIPS 197, C.3 gives one block; the block of counter zero under the zero key is that of
    # the AESAVS known answer with an all-zero key and text.
    vector = np.zeros(4, dtype="<u4")
    add_masks(vector, [Mask(bytes(32), is_added=True)])
    assert vector.tobytes() == H("dc95c078a2408989ad48a21492842087")


@pytest.mark.parametrize(
    ("iterations", "answer"),
    [
        (1, "422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079"),
        (1000, "684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51"),
    ],
)
def test_x25519_gives_the_answers_of_rfc_7748_5_2(iterations: int, answer: str) -> None:
    key = point = bytes([9]) + bytes(31)
    for _ in range(iterations):
        private = X25519PrivateKey.from_private_bytes(key)
        key, point = private.exchange(X25519PublicKey.from_public_bytes(point)), key
    assert key == H(answer)


def test_a_public_key_is_the_multiple_of_the_base_point() -> None:
    assert public((bytes([9]) + bytes(31)).hex()) == (
        "422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079"
    )


def test_hkdf_gives_the_answer_of_rfc_5869_a_1() -> None:
    derived = HKDF(SHA256(), 42, H("000102030405060708090a0b0c"), H("f0f1f2f3f4f5f6f7f8f9"))
    assert derived.derive(H("0b" * 22)) == H(
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"
    )


def test_chacha20_poly1305_gives_the_answer_of_rfc_8439_2_8_2() -> None:
    text = (
        b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the "
        b"future, sunscreen would be it."
    )
    sealed = ChaCha20Poly1305(bytes(range(0x80, 0xA0))).encrypt(
        H("070000004041424344454647"), text, H("50515253c0c1c2c3c4c5c6c7")
    )
    assert sealed == H(
        "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d6"
        "3dbea45e8ca9671282fafb69da92728b1a71de0a9e060b2905d6a5b67ecd3b36"
        "92ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc"
        "3ff4def08e4b7a9de576d26586cec64b61161ae10b594f09e26a7e902ecbd0600691"
    )


def test_shares_of_a_textbook_give_its_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    # f(x) = 1234 + 166 x + 94 x^2 over the field of 1613 elements.
    monkeypatch.setattr(shamir, "PRIME", 1613)
    shares = {1: 1494, 2: 329, 3: 965, 4: 176, 5: 1188, 6: 775}
    for numbers in itertools.combinations(shares, 3):
        found = shamir.combined({number: shares[number] for number in numbers})
        assert int.from_bytes(found, "big") == 1234
