"""What crosses the relay: a signed envelope and the bytes that it names.

* The relay carries two records; their names stand here, so that both sides use the same ones.
* The body travels as it is: no relay library packs or reads arrays.
"""

from dataclasses import dataclass

ENVELOPE_RECORD = "envelope"
"""Record with the envelope's bytes under `ENTRY`."""

BODY_RECORD = "body"
"""Record with the body's bytes under `ENTRY`."""

ENTRY = "bytes"
"""The only entry of either record."""

BODY_ENCODING = "consilium.bytes"
"""What the relay's array type says of a body: plain bytes, for this software alone to read."""


@dataclass(frozen=True, slots=True)
class Packet:
    """A signed envelope, and the arrays beside it; no arrays are empty bytes."""

    envelope: bytes
    body: bytes = b""
