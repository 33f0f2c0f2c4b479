"""What crosses the relay: a signed envelope and the bytes that it names."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Packet:
    """A signed envelope, and the arrays beside it; no arrays are empty bytes."""

    envelope: bytes
    body: bytes = b""
