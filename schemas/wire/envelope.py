"""Signed envelopes: who says what, provable afterwards.

* The signature covers the payload's kind and its exact bytes (DSSE pre-authentication encoding,
  v1).
* The kind must be one that the receiver expects; the payload must be in canonical form; only then
  is it read.
* A sender is known by the roster key that verifies, never by anything that the transport says.
"""

import base64
from typing import Annotated, TypeAlias, TypeVar

from pydantic import StringConstraints

from schemas.base import Record
from schemas.errors import EnvelopeRefused, InvalidRecord
from schemas.names import Name, PublicKeys
from schemas.wire.keys import SigningKey
from schemas.wire.signatures import is_signed

A = TypeVar("A", bound=Record)
B = TypeVar("B", bound=Record)

Base64: TypeAlias = Annotated[
    str,
    StringConstraints(
        pattern=r"^([A-Za-z0-9+/]{4})*"
        r"([A-Za-z0-9+/][AQgw]==|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=)?$"
    ),
]
"""Base64 whose spare bits are zero (RFC 4648, 3.5), so that an envelope has one digest."""


class Envelope(Record):
    """A payload and one signature over it."""

    kind: Name
    payload: Base64
    signature: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9+/]{85}[AQgw]==$")]

    @property
    def payload_bytes(self) -> bytes:
        """What was signed, as it was signed; nobody vouches for it before `opened` did."""
        return base64.b64decode(self.payload)


def pre_authentication(kind: str, payload: bytes) -> bytes:
    """Return the bytes that are signed (DSSE protocol, section "Signature definition")."""
    name = kind.encode()
    return b"DSSEv1 %d %b %d %b" % (len(name), name, len(payload), payload)


def signed(record: Record, key: SigningKey) -> bytes:
    """Put a record under a signature and return the envelope's canonical bytes."""
    payload = record.canonical()
    kind = type(record).__name__
    signature = key.sign(pre_authentication(kind, payload))
    return Envelope(
        kind=kind,
        payload=base64.b64encode(payload).decode(),
        signature=base64.b64encode(signature).decode(),
    ).canonical()


def opened(
    content: bytes, kind: type[A], other: type[B] | None = None, *, key: PublicKeys
) -> A | B:
    """Return the record in an envelope that this key signed; it is of one kind or of the other.

    Raises:
        EnvelopeRefused: not an envelope, another kind, another signer, or a payload that does not
        fit.
    """
    try:
        envelope = Envelope.from_canonical(content)
    except InvalidRecord:
        raise _refused("its bytes are not a canonical envelope") from None
    payload = envelope.payload_bytes
    kinds: tuple[type[A | B], ...] = (kind,) if other is None else (kind, other)
    expected = {one.__name__: one for one in kinds}
    if envelope.kind not in expected:
        raise _refused(f"its kind is none of {', '.join(sorted(expected))}")
    signature = base64.b64decode(envelope.signature)
    message = pre_authentication(envelope.kind, payload)
    keys = (key,) if isinstance(key, str) else key
    if not any(is_signed(message, signature, one) for one in keys):
        raise _refused("its signature is not of the expected key")
    try:
        return expected[envelope.kind].from_canonical(payload)
    except InvalidRecord as error:
        raise _refused(error.message) from None


def kind_of(content: bytes) -> Name | None:
    """Return the kind that an envelope claims, before its signature is known; None: no envelope.

    It chooses who opens the envelope, and is never trusted.
    """
    try:
        return Envelope.from_canonical(content).kind
    except InvalidRecord:
        return None


def _refused(found: str) -> EnvelopeRefused:
    return EnvelopeRefused(
        f"message refused: {found}",
        next_step="check that both sides are enrolled in this federation and run the same version",
    )
