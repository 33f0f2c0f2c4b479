"""Keys sign, are kept private, and enter a roster only as sound points."""

import base64
import json
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import EnvelopeRefused, HomeRefused
from schemas.wire.keys import SigningKey, registered
from schemas.wire.signatures import is_signed

P = 2**255 - 19
LOW_ORDER = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000080",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
]
"""Every encoding of the eight points of small order (C2SP/CCTV, ed25519/README.md)."""


def text_of(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def refuses(raw: bytes) -> None:
    with pytest.raises(EnvelopeRefused) as refused:
        registered(text_of(raw))
    assert refused.value.message == (
        "key refused: its encoding is not canonical, its order is small, or it is no point"
    )
    assert refused.value.next_step == "make a new key pair"


@pytest.mark.parametrize("encoding", LOW_ORDER)
def test_no_point_of_small_order_is_registered(encoding: str) -> None:
    refuses(bytes.fromhex(encoding))


def test_no_encoding_at_or_above_the_prime_is_registered() -> None:
    for y in range(P, 2**255):
        for sign in (0, 1 << 255):
            refuses((y | sign).to_bytes(32, "little"))


@given(st.integers(0, P - 1), st.booleans())
def test_a_key_is_registered_exactly_when_it_is_a_point_of_large_order(
    y: int,
    is_negative: bool,  # noqa: FBT001 - Hypothesis passes it
) -> None:
    raw = (y | is_negative << 255).to_bytes(32, "little")
    point = decompressed(y)
    if point is None or multiplied(point, 8) == (0, 1):
        refuses(raw)
    else:
        assert registered(text_of(raw)) == text_of(raw)


D = -121665 * pow(121666, -1, P) % P
Point = tuple[int, int]


def decompressed(y: int) -> Point | None:
    """Find the point of RFC 8032, section 5.1.3; either root serves."""
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if x * x % P != square:
        x = x * pow(2, (P - 1) // 4, P) % P
    return (x, y) if x * x % P == square else None


def multiplied(point: Point, times: int) -> Point:
    """Add a point to itself by the affine formula of RFC 8032, section 5.1.4."""
    total: Point = (0, 1)
    for _ in range(times):
        (a, b), (x, y) = total, point
        cross = D * a * x * b * y % P
        total = (
            (a * y + x * b) * pow(1 + cross, -1, P) % P,
            (b * y + a * x) * pow(1 - cross, -1, P) % P,
        )
    return total


@given(st.binary(max_size=99), st.integers(0, 511))
def test_a_signature_is_of_its_message_and_key_alone(message: bytes, bit: int) -> None:
    key = SigningKey.generate()
    signature = key.sign(message)
    assert registered(key.public) == key.public
    assert is_signed(message, signature, key.public)
    assert not is_signed(message + b"\0", signature, key.public)
    assert not is_signed(message, signature, SigningKey.generate().public)
    broken = int.from_bytes(signature, "little") ^ (1 << bit)
    assert not is_signed(message, broken.to_bytes(64, "little"), key.public)


@pytest.mark.parametrize("length", [0, 63, 65])
def test_a_signature_of_another_length_is_none(length: int) -> None:
    key = SigningKey.generate()
    assert not is_signed(b"", (key.sign(b"") + b"\0")[:length], key.public)


def test_wycheproof_agrees_on_every_signature(shared_vectors: Path) -> None:
    path = shared_vectors / "wycheproof" / "testvectors_v1" / "ed25519_test.json"
    seen = 0
    for group in json.loads(path.read_text(encoding="utf-8"))["testGroups"]:
        key = text_of(bytes.fromhex(group["publicKey"]["pk"]))
        assert registered(key) == key
        for case in group["tests"]:
            found = is_signed(bytes.fromhex(case["msg"]), bytes.fromhex(case["sig"]), key)
            assert found == (case["result"] == "valid"), case["tcId"]
            seen += 1
    assert seen == 151


def test_registering_keeps_out_every_edge_case_that_verifying_lets_through(
    shared_vectors: Path,
) -> None:
    path = shared_vectors / "cctv-ed25519" / "ed25519" / "ed25519vectors.json"
    cases = json.loads(path.read_text(encoding="utf-8"))
    assert len(cases) == 914
    for case in cases:
        flags = set(case["flags"] or [])
        raw = bytes.fromhex(case["key"])
        found = is_signed(case["msg"].encode(), bytes.fromhex(case["sig"]), text_of(raw))
        if flags & {"non_canonical_R", "low_order_residue"}:
            assert not found, case["number"]
        if flags & {"low_order_A", "non_canonical_A"}:
            refuses(raw)
        else:
            assert registered(text_of(raw)) == text_of(raw)
            assert found == (not flags & {"non_canonical_R", "low_order_residue"}), case["number"]


def test_a_key_file_is_private_and_gives_the_same_key(tmp_path: Path) -> None:
    key, path = SigningKey.generate(), tmp_path / "signing"
    key.save(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert SigningKey.load(path).public == key.public
    assert SigningKey.load(path).sign(b"m") == key.sign(b"m")


@pytest.mark.parametrize("content", [b"", b"AAAA\n", b"\xff" * 44, b"A" * 44, b"not base64 at all"])
def test_a_file_that_holds_no_key_is_refused_and_not_shown(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "signing"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(HomeRefused) as refused:
        SigningKey.load(path)
    assert refused.value.message == ("key refused: signing does not hold an Ed25519 key in base64")
    assert refused.value.__suppress_context__


def test_a_key_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "signing"
    SigningKey.generate().save(path)
    path.chmod(0o640)
    with pytest.raises(HomeRefused, match="key refused: signing has mode 0640, only 0600"):
        SigningKey.load(path)


def test_a_printed_key_shows_nothing(tmp_path: Path) -> None:
    key = SigningKey.generate()
    key.save(tmp_path / "signing")
    secret = (tmp_path / "signing").read_text().strip()
    assert secret not in f"{key} {key!r}"
    assert not hasattr(key, "__dict__")
