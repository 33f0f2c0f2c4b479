"""What crosses the relay: a signed envelope and the bytes that it names.

* The relay carries one record with these parts as entries, since each record costs calls. A body
  that is larger than one of its pieces is a record of its own, which it cuts into pieces.
* The body travels as it is: no relay library packs or reads arrays.
* What the logs' owners show each other carries signatures of its own; in a reply it is sealed too.
"""

from collections.abc import Mapping
from dataclasses import dataclass

PACKET_RECORD = "packet"
"""Record with the parts of a packet under their names."""

BODY = "body"
"""That part, and the record of a large one, which has it as its only entry."""

INLINE_BYTES = 5 * 2**20
"""The largest body that is no record of its own; the relay's pieces are as large."""

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


PARTS = ("envelope", BODY, "seal", "audit")


def packet_from(parts: Mapping[str, object]) -> Packet | None:
    """Return the packet of these parts; None when they are not just those of one, all bytes."""
    found = {name: one for name, one in parts.items() if isinstance(one, bytes)}
    if parts.keys() != {*PARTS} or found.keys() != {*PARTS}:
        return None
    return Packet(**found)


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
