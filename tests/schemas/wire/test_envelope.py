"""An envelope says who says what, in one byte form; anything else is refused before it is read."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import EnvelopeRefused
from schemas.names import digest_of
from schemas.update import EvaluateRequest, Refusal, RefusalCode, TrainRequest
from schemas.wire.envelope import Envelope, opened, pre_authentication, signed
from schemas.wire.keys import SigningKey

KEY = SigningKey.generate()
OTHER = SigningKey.generate()


def refusal(code: RefusalCode = "unavailable", *, number: int = 1) -> Refusal:
    return Refusal(
        federation="study",
        run="run-7781",
        plan=digest_of(b"plan"),
        round=number,
        request="request-7781",
        site="east",
        head="site/east\n0\n",
        code=code,
    )


def request() -> TrainRequest:
    return TrainRequest(
        federation="study",
        run="run-7781",
        plan=digest_of(b"plan"),
        round=1,
        request="request-7781",
        participants=("east",),
        arrays=digest_of(b"arrays"),
        issued="2026-11-20T09:08:07.006Z",
    )


CONTENT = signed(refusal(), KEY)


def sealed(payload: bytes, *, kind: str = "Refusal", key: SigningKey = KEY) -> bytes:
    """An envelope over any payload, rightly signed."""
    return Envelope(
        kind=kind,
        payload=base64.b64encode(payload).decode(),
        signature=base64.b64encode(key.sign(pre_authentication(kind, payload))).decode(),
    ).canonical()


def refuses(content: bytes, message: str, *, key: SigningKey = KEY) -> None:
    with pytest.raises(EnvelopeRefused) as refused:
        opened(content, Refusal, TrainRequest, key=key.public)
    assert refused.value.message.startswith(f"message refused: {message}")
    assert "7781" not in refused.value.message
    assert refused.value.next_step.startswith("check that both sides are enrolled")


def test_the_signed_bytes_are_those_of_the_published_example() -> None:
    # DSSE, protocol.md, section "Test Vectors".
    assert pre_authentication("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


@given(st.text(max_size=9), st.binary(max_size=9), st.text(max_size=9), st.binary(max_size=9))
def test_no_two_messages_have_the_same_signed_bytes(
    kind: str, payload: bytes, other_kind: str, other_payload: bytes
) -> None:
    same = (kind, payload) == (other_kind, other_payload)
    found = pre_authentication(kind, payload) == pre_authentication(other_kind, other_payload)
    assert found == same


@given(st.sampled_from(["not-approved", "over-budget", "unavailable"]), st.integers(1, 10**6))
def test_what_was_signed_is_opened_with_the_senders_key(code: RefusalCode, number: int) -> None:
    record = refusal(code, number=number)
    content = signed(record, KEY)
    assert opened(content, Refusal, key=KEY.public) == record
    assert opened(content, TrainRequest, Refusal, key=KEY.public) == record
    assert signed(record, KEY) == content, "Ed25519 signs the same bytes alike"


def test_another_key_is_refused() -> None:
    refuses(CONTENT, "its signature is not of the expected key", key=OTHER)


def test_another_kind_is_refused_even_when_it_is_signed() -> None:
    shared = request().model_dump(include=set(EvaluateRequest.model_fields))
    asked = EvaluateRequest.model_validate({**shared, "kind": "evaluate-request"})
    refuses(signed(asked, KEY), "its kind is none of Refusal, TrainRequest")


def test_a_signature_holds_for_its_kind_alone() -> None:
    table = json.loads(CONTENT)
    table["kind"] = "TrainRequest"
    refuses(Envelope(**table).canonical(), "its signature is not of the expected key")


def test_a_payload_of_another_kind_under_a_right_signature_is_refused() -> None:
    message = "Refusal refused: /kind: Input should be 'refusal'"
    refuses(sealed(request().canonical()), message)


def test_every_change_of_a_byte_is_refused() -> None:
    for place in range(len(CONTENT)):
        for flip in (0x01, 0x02, 0x10, 0x20, 0x80):
            broken = bytearray(CONTENT)
            broken[place] ^= flip
            refuses(bytes(broken), "its")


def test_an_altered_payload_is_refused_for_its_signature() -> None:
    table = json.loads(CONTENT)
    table["payload"] = base64.b64encode(refusal("over-budget").canonical()).decode()
    refuses(Envelope(**table).canonical(), "its signature is not of the expected key")


@pytest.mark.parametrize(
    ("payload", "message"),
    {
        "spaces": (json.dumps(refusal().model_dump()).encode(), "bytes are not in canonical form"),
        "a duplicate key": (
            refusal().canonical().replace(b'"round":1', b'"round":2,"round":1'),
            "bytes are not in canonical form",
        ),
        "2.0 for 2": (
            refusal().canonical().replace(b'"round":1', b'"round":1.0'),
            "/round: Input should be a valid integer",
        ),
        "1e0 for 1": (
            refusal().canonical().replace(b'"round":1', b'"round":1e0'),
            "/round: Input should be a valid integer",
        ),
        "an unknown field": (
            refusal().canonical().replace(b'"round":1', b'"note":"7781","round":1'),
            "/note: Extra inputs are not permitted",
        ),
        "a missing field": (
            refusal().canonical().replace(b'"round":1,', b""),
            "/round: Field required",
        ),
        "a code of its own": (
            refusal().canonical().replace(b'"unavailable"', b'"patient 7781 withdrew"'),
            "/code: Input should be 'request-invalid',",
        ),
        "a number too large": (
            refusal().canonical().replace(b'"round":1', b'"round":77817781778177817781'),
            "a whole number beyond 2^53",
        ),
        "no JSON": (b"\xff7781", "/: Invalid JSON"),
        "nothing": (b"", "/: Invalid JSON"),
    }.values(),
)
def test_a_signed_payload_that_does_not_fit_is_refused_by_its_rule(
    payload: bytes, message: str
) -> None:
    with pytest.raises(EnvelopeRefused) as refused:
        opened(sealed(payload), Refusal, key=KEY.public)
    assert message in refused.value.message
    assert "7781" not in refused.value.message


NOT_CANONICAL = "its bytes are not a canonical envelope"


@pytest.mark.parametrize(
    "content",
    {
        "nothing": b"",
        "no JSON": b"7781",
        "spaces": CONTENT.replace(b":", b": "),
        "another order": json.dumps(
            dict(reversed(json.loads(CONTENT).items())), separators=(",", ":")
        ).encode(),
        "a duplicate key": CONTENT.replace(b'"kind"', b'"kind":"Update","kind"'),
        "an unknown field": CONTENT.replace(b'"kind"', b'"key":"7781","kind"'),
        "no signature": sealed(b"{}").partition(b',"signature"')[0] + b"}",
        "a signature that is too short": CONTENT.replace(b'=="}', b'="}'),
        "url-safe base64": CONTENT.replace(b'"payload":"ey', b'"payload":"-_'),
        "a line end in base64": CONTENT.replace(b'"payload":"', b'"payload":"\\n'),
        "a kind with a space": CONTENT.replace(b'"Refusal"', b'"Refusal 7781"'),
    }.values(),
)
def test_bytes_that_are_no_canonical_envelope_are_refused(content: bytes) -> None:
    refuses(content, NOT_CANONICAL)


@pytest.mark.parametrize("size", [1, 2, 4, 5])
def test_base64_has_one_spelling_so_an_envelope_has_one_digest(size: int) -> None:
    content = sealed(b"x" * size)
    table = json.loads(content)
    for field in ("payload", "signature"):
        text = table[field].rstrip("=")
        padding = table[field][len(text) :]
        letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
        spelt = text[:-1] + letters[letters.index(text[-1]) + 1] + padding
        assert base64.b64decode(spelt) == base64.b64decode(table[field])
        refuses(json.dumps({**table, field: spelt}, separators=(",", ":")).encode(), NOT_CANONICAL)
