"""What crosses the relay: a signed envelope and the bytes that it names.

* The relay carries four records; their names stand here, so that both sides use the same ones.
* The body travels as it is: no relay library packs or reads arrays.
* What the logs' owners show each other carries signatures of its own; in a reply it is sealed too.
"""

from dataclasses import dataclass

ENVELOPE_RECORD = "envelope"
"""Record with the envelope's bytes under `ENTRY`."""

BODY_RECORD = "body"
"""Record with the body's bytes under `ENTRY`."""

SEAL_RECORD = "seal"
"""Record with the bytes under `ENTRY` that say how a reply is sealed."""

AUDIT_RECORD = "audit"
"""Record with what the logs' owners show each other under `ENTRY`."""

ENTRY = "bytes"
"""The only entry of each record."""

BODY_ENCODING = "consilium.bytes"
"""What the relay's array type says of a body: plain bytes, for this software alone to read."""


@dataclass(frozen=True, slots=True)
class Packet:
    """A signed envelope, and the arrays beside it; no arrays are empty bytes."""

    envelope: bytes
    body: bytes = b""
    seal: bytes = b""
    """Beside a request: the signed key that replies are sealed to. In a sealed reply, whose body is
    ciphertext and whose envelope is empty: the site's signature. Empty in one that is open, but
    for one of another version, which is not opened."""
    audit: bytes = b""
    """What is shown of a log. Empty in a sealed reply, which holds it within."""


def joined(packet: Packet) -> bytes:
    """Return an open packet as one piece of bytes, ready to be sealed."""
    parts = (packet.envelope, packet.audit)
    framed = (piece for one in parts for piece in (len(one).to_bytes(8, "big"), one))
    return b"".join((*framed, packet.body))


def parted(content: bytes) -> Packet:
    """Return the packet that was joined; what is too short has an envelope that nobody signed."""
    end = 8 + int.from_bytes(content[:8], "big")
    start = end + 8
    last = start + int.from_bytes(content[end:start], "big")
    return Packet(content[8:end], content[last:], audit=content[start:last])
