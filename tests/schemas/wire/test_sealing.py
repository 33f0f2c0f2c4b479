"""What is sealed is opened by its key for its request and site, whole, or not at all."""

from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import EnvelopeRefused
from schemas.names import digest_of
from schemas.wire.packet import Packet, joined, parted
from schemas.wire.sealing import CHUNK_BYTES, Recipient, public, sealed, unsealed

KEY = X25519PrivateKey.generate()
TO = Recipient(federation="t", request=digest_of(b"request"), key=public(KEY))
STEP = CHUNK_BYTES + 16
TWO_AND_A_HALF = bytes(range(256)) * (CHUNK_BYTES // 256 * 5 // 2)


def opened(ciphertext: bytes, sender: str, **changes: str) -> bytes:
    to = TO.model_copy(update={name: one for name, one in changes.items() if name != "site"})
    return unsealed(ciphertext, KEY, to, sender=sender, site=changes.get("site", "north"))


@given(st.binary(max_size=200))
def test_small_content_comes_back(content: bytes) -> None:
    sender, ciphertext = sealed(content, TO, site="north")
    assert opened(ciphertext, sender) == content


@pytest.mark.parametrize("size", [CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 2 * CHUNK_BYTES])
def test_content_around_whole_chunks_comes_back(size: int) -> None:
    content = (b"0123456789abcdef" * (size // 16 + 1))[:size]
    sender, ciphertext = sealed(content, TO, site="north")
    assert opened(ciphertext, sender) == content
    assert len(ciphertext) == size + 16 * -(-size // CHUNK_BYTES)


def test_the_same_content_is_never_sealed_in_the_same_way() -> None:
    first, second = (sealed(b"content", TO, site="north") for _ in range(2))
    assert first[0] != second[0]
    assert first[1] != second[1]


CHANGES: dict[str, Callable[[bytes], bytes]] = {
    "a bit": lambda one: bytes([one[0] ^ 1]) + one[1:],
    "the last chunk is missing": lambda one: one[: 2 * STEP],
    "the first chunk is missing": lambda one: one[STEP:],
    "two chunks change places": lambda one: one[STEP : 2 * STEP] + one[:STEP] + one[2 * STEP :],
    "a chunk twice": lambda one: one[:STEP] + one,
    "one byte less": lambda one: one[:-1],
    "one byte more": lambda one: one + b"\0",
    "nothing": lambda _: b"",
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_was_changed_on_the_way_is_refused_whole(change: str) -> None:
    sender, ciphertext = sealed(TWO_AND_A_HALF, TO, site="north")
    with pytest.raises(EnvelopeRefused, match="sealed to another key, or was changed"):
        opened(CHANGES[change](ciphertext), sender)


@pytest.mark.parametrize(
    "other",
    [{"site": "south"}, {"request": digest_of(b"another")}, {"federation": "u"}],
    ids=["site", "request", "federation"],
)
def test_it_opens_for_its_own_request_and_site_alone(other: dict[str, str]) -> None:
    sender, ciphertext = sealed(b"content", TO, site="north")
    with pytest.raises(EnvelopeRefused):
        opened(ciphertext, sender, **other)


def test_another_key_opens_nothing() -> None:
    sender, ciphertext = sealed(b"content", TO, site="north")
    with pytest.raises(EnvelopeRefused):
        unsealed(ciphertext, X25519PrivateKey.generate(), TO, sender=sender, site="north")


@pytest.mark.parametrize("point", [bytes(32), b"\1" + bytes(31)], ids=["zero", "one"])
def test_a_key_whose_secret_anybody_knows_is_refused(point: bytes) -> None:
    weak = TO.model_copy(update={"key": point.hex()})
    with pytest.raises(EnvelopeRefused, match="X25519 key is not usable"):
        sealed(b"content", weak, site="north")


@given(st.binary(max_size=50), st.binary(max_size=50))
def test_a_packet_is_parted_as_it_was_joined(envelope: bytes, body: bytes) -> None:
    assert parted(joined(Packet(envelope, body))) == Packet(envelope, body)


@given(st.binary(max_size=20))
def test_any_bytes_are_parted_without_an_error(content: bytes) -> None:
    assert len(parted(content).body) <= len(content)
