"""Constrained names: the only strings that may cross a boundary.

* A name is short, printable and free of path separators, so it is safe in a file name, a log and a
  report.
* A digest always says its algorithm; a moment is always UTC with milliseconds.
"""

import hashlib
from datetime import UTC, datetime
from typing import Annotated, TypeAlias

from pydantic import AfterValidator, StringConstraints

_LAST_PORT = 65535

SiteName: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$")]
"""An institution, unique in its federation."""

Name: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,126}$")]
"""A federation, run, request, contract or plan."""

Digest: TypeAlias = Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")]
"""The SHA-256 that names some bytes."""


def _existing(moment: str) -> str:
    try:
        datetime.fromisoformat(moment)
    except ValueError:
        message = "there is no such day or time"
        raise ValueError(message) from None
    return moment


def _reachable(address: str) -> str:
    if int(address.rpartition(":")[2]) > _LAST_PORT:
        message = "there is no such port"
        raise ValueError(message)
    return address


# Digits are spelt out: in these patterns \d would admit the digits of every script.
Moment: TypeAlias = Annotated[
    str,
    StringConstraints(
        pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z$"
    ),
    AfterValidator(_existing),
]
"""RFC 3339, UTC, exactly three decimals."""

Version: TypeAlias = Annotated[
    str, StringConstraints(pattern=r"^[0-9]{1,6}\.[0-9]{1,6}\.[0-9]{1,6}$")
]
"""Semantic version without a suffix."""

Text: TypeAlias = Annotated[
    str, StringConstraints(max_length=2000, pattern=r"^[^\x00-\x08\x0b-\x1f\x7f-\x9f]*$")
]
"""Free text for people, without control characters; never parsed."""

Note: TypeAlias = Annotated[
    str, StringConstraints(max_length=2000, pattern=r"^[^\x00-\x09\x0b-\x1f]+$")
]
"""A signed note (c2sp.org/signed-note); only a signature says whose it is."""

PublicKey: TypeAlias = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=$")
]
"""Base64 of the 32 bytes of an Ed25519 public key (RFC 8032), in its only form (RFC 4648, 3.5)."""

PublicKeys: TypeAlias = PublicKey | tuple[PublicKey, ...]
"""One key, or a party's present key and the former ones; any of them may have signed."""

TransportKey: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9+/]{160}$")]
"""Base64 of the 120 bytes of a P-384 public key (SubjectPublicKeyInfo, RFC 5480)."""

Address: TypeAlias = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?:[1-9][0-9]{0,4}$"),
    AfterValidator(_reachable),
]
"""A host name or IPv4 address, and a port, such as `federation.example.org:8443`."""


def digest_of(content: bytes | memoryview) -> Digest:
    """Return the digest that names these bytes."""
    return "sha256:" + hashlib.sha256(content).hexdigest()


def moment_of(instant: datetime) -> Moment:
    """Write an aware datetime as a moment."""
    return instant.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def now() -> Moment:
    """Return the present moment; the edges call it, the core is handed its result."""
    return moment_of(datetime.now(UTC))
