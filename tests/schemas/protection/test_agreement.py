"""Keys agree for two sites on one pair, purpose and attempt, and for nobody's copy of a key."""

import hashlib
import hmac
import itertools

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from pydantic import ValidationError

from schemas.protection import agreement
from schemas.protection.agreement import PublicKeys
from tests.attempts import context

PRIME = 2**255 - 19
OWN, OTHER = "11" * 32, "22" * 32
CONTEXT = b'{"attempt":1}'
SMALL_ORDER = (
    0,
    1,
    325606250916557431795983626356110631294008115727848805560023387167927233504,
    39382357235489614581723060781553021112529911719440698176882885853963445705823,
    PRIME - 1,
)
"""The points of order 1, 2, 4 and 8 of the curve and its twist, canonical."""


def spelled(number: int) -> str:
    return number.to_bytes(32, "little").hex()


def number_of(key: str) -> int:
    return int.from_bytes(bytes.fromhex(key), "little")


def flipped(key: str) -> str:
    """Return a key with its top bit set, which X25519 does not look at."""
    return spelled(number_of(key) | 2**255)


def with_small_point(key: str) -> str:
    """Add the point of order two, (0, 0): it takes u to 1/u."""
    return spelled(pow(number_of(key), -1, PRIME))


def shared_secret(secret: str, other: str) -> bytes:
    own = X25519PrivateKey.from_private_bytes(bytes.fromhex(secret))
    return own.exchange(X25519PublicKey.from_public_bytes(bytes.fromhex(other)))


@pytest.mark.parametrize(
    "key",
    [
        *(spelled(one) for one in SMALL_ORDER),
        *(flipped(spelled(one)) for one in SMALL_ORDER),
        *(spelled(one) for one in (PRIME, PRIME + 9, 2**255 - 1, 2**255, 2**256 - 1)),
        flipped(agreement.public(OTHER)),
    ],
)
@pytest.mark.parametrize("name", ["cipher", "mask"])
def test_a_key_has_one_spelling_and_a_large_order(key: str, name: str) -> None:
    keys = {"cipher": agreement.public(OWN), "mask": agreement.public(OTHER), "seed": "00" * 32}
    assert PublicKeys.model_validate(keys).model_dump() == keys
    with pytest.raises(ValidationError):
        PublicKeys.model_validate(keys | {name: key})


@pytest.mark.parametrize("copy", [flipped, with_small_point])
def test_a_copy_of_a_key_gives_other_seeds_although_the_secret_is_the_same(copy: object) -> None:
    assert callable(copy)
    key = agreement.public(OTHER)
    copied = copy(key)
    assert copied != key
    assert shared_secret(OWN, copied) == shared_secret(OWN, key)
    seeds = {
        agreement.pair_seed(OWN, one, CONTEXT, pair=("north", name))
        for one, name in itertools.product((key, copied), ("east", "west"))
    }
    ciphers = {
        agreement.cipher_key(OWN, one, CONTEXT, way=("north", name), own="north")
        for one, name in itertools.product((key, copied), ("east", "west"))
    }
    assert (len(seeds), len(ciphers)) == (4, 4)


def test_both_sites_of_a_pair_have_its_keys() -> None:
    keys = agreement.public(OWN), agreement.public(OTHER)
    assert agreement.pair_seed(OWN, keys[1], CONTEXT, pair=("west", "east")) == (
        agreement.pair_seed(OTHER, keys[0], CONTEXT, pair=("east", "west"))
    )
    for way in (("west", "east"), ("east", "west")):
        assert agreement.cipher_key(OWN, keys[1], CONTEXT, way=way, own="west") == (
            agreement.cipher_key(OTHER, keys[0], CONTEXT, way=way, own="east")
        )
    there, back = (
        agreement.cipher_key(OWN, keys[1], CONTEXT, way=way, own="west")
        for way in (("west", "east"), ("east", "west"))
    )
    assert there != back


def test_boxes_of_one_key_share_no_keystream() -> None:
    """A home that was put back to before it shared has the same key, and draws a new polynomial."""
    key, way, shares = bytes(32), ("east", "west"), [(1, 2), (3, 4)]
    first, second = (
        agreement.sealed_shares(one, key=key, context=CONTEXT, way=way) for one in shares
    )
    assert len(first) == agreement.BOX_BYTES
    plain = [b"".join(one.to_bytes(66, "big") for one in pair) for pair in shares]
    for start in range(len(first) - len(plain[0]) + 1):
        told = bytes(a ^ b for a, b in zip(first[start:], second[start:], strict=True))
        assert told[:132] != bytes(a ^ b for a, b in zip(*plain, strict=True))
    for box, pair in ((first, shares[0]), (second, shares[1])):
        assert agreement.opened_shares(box, key=key, context=CONTEXT, way=way) == pair


def hkdf(secret: bytes, info: bytes) -> bytes:
    """RFC 5869 with SHA-256, no salt and one block, from nothing but HMAC."""

    extracted = hmac.digest(bytes(32), secret, "sha256")
    return hmac.digest(extracted, info + b"\x01", "sha256")


def test_derivations_are_what_they_were() -> None:
    """The constants are of this page's own computing; a change of a derivation fails here."""
    first, second = (bytes.fromhex(agreement.public(one)) for one in (OWN, OTHER))
    secret = shared_secret(OWN, second.hex())
    east, west = f" east {second.hex()}".encode(), f" west {first.hex()}".encode()
    protocol = b"consilium masking 1 "
    expected = {
        "pair": hkdf(secret, protocol + b"pair" + CONTEXT + east + west),
        "cipher": hkdf(secret, protocol + b"shares" + CONTEXT + west + east),
        "self": hkdf(bytes.fromhex(OWN), protocol + b"self" + CONTEXT),
        "seed": hashlib.sha256(protocol + b"seed" + CONTEXT + bytes.fromhex(OWN)).digest(),
    }
    found = {
        "pair": agreement.pair_seed(OWN, second.hex(), CONTEXT, pair=("west", "east")),
        "cipher": agreement.cipher_key(
            OWN, second.hex(), CONTEXT, way=("west", "east"), own="west"
        ),
        "self": agreement.self_seed(OWN, CONTEXT),
        "seed": bytes.fromhex(agreement.commitment(OWN, CONTEXT)),
    }
    assert found == expected
    assert {name: one.hex() for name, one in found.items()} == {
        "pair": "bf5445363f637303ab6d5342a7bdf004f202b9764fb78c11b7bea1685255dc5a",
        "cipher": "91c078d386c9a806fa9fc04fe5e85a461df033623f7186ea528436f50687fa96",
        "self": "6267f81bb131b3a85000a3f0ccca397f110c2b2efc94b8e6d061d85b877d9115",
        "seed": "6da26a8603c48ca49ed755010d6eb84904b9f681fd03c23fa8d309daba0c222d",
    }


def test_the_context_that_enters_every_key_is_what_it_was() -> None:
    digest = "sha256:" + "0" * 64
    assert context().canonical().decode() == (
        f'{{"attempt":1,"federation":"f","model":"{digest}","plan":"{digest}",'
        '"protocol":"consilium-sum-1","purpose":"train","round":1,"run":"r"}'
    )
