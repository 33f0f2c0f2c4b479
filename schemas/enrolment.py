"""Joining a federation: what a hospital asks for, what it is answered, and who has joined.

* A hospital makes its keys and asks with them; they never leave it.
* What the aggregator answers is signed by the federation's root key, whose fingerprint a person
  hands over by another way. The answer says whom to call and which authority vouches for the line.
* A revoked or replaced key never comes back, and an expired one does not count.
* A key is replaced by a request that both keys signed.
"""

import base64
from typing import Annotated, Self

from pydantic import Field, StringConstraints, model_validator

from schemas.base import Record
from schemas.errors import EnvelopeRefused
from schemas.names import (
    Address,
    Digest,
    Moment,
    Name,
    PublicKey,
    SiteName,
    Text,
    TransportKey,
    digest_of,
)
from schemas.wire.envelope import opened

Certificates = Annotated[
    str,
    StringConstraints(min_length=1, max_length=100_000, pattern=r"^[A-Za-z0-9+/= \n-]+$"),
]
"""Certificates in PEM (RFC 7468)."""


class Former(Record):
    """Keys that were replaced as planned: what they signed before still counts."""

    key: PublicKey
    witness: PublicKey | None
    """None: the aggregator's, which cosigns nothing."""
    until: Moment


class Member(Record):
    """One enrolled site."""

    site: SiteName
    key: PublicKey
    witness: PublicKey
    """The key that cosigns the log of others; it signs nothing else."""
    since: Moment
    until: Moment | None = None
    """The key does not count from this moment on; None: until it is revoked."""
    transport: TransportKey | None = None
    """The key by which its node is let in at the relay; None: it is never let in over a network."""
    former: tuple[Former, ...] = ()

    @property
    def signers(self) -> tuple[PublicKey, ...]:
        """The key that counts now, and those that counted when they signed."""
        return (self.key, *(one.key for one in self.former))

    def is_valid(self, at: Moment) -> bool:
        """Say whether the key counts at a moment."""
        return self.until is None or at < self.until


class Revocation(Record):
    """A key that does not count any more."""

    site: SiteName
    key: PublicKey
    at: Moment


class Roster(Record):
    """The members of a federation, signed by its root key; a higher serial replaces a lower one."""

    federation: Name
    serial: int = Field(ge=1)
    aggregator: PublicKey
    """The service key that signs requests."""
    members: tuple[Member, ...]
    revoked: tuple[Revocation, ...] = ()
    former: tuple[Former, ...] = ()
    """The aggregator's keys before this one."""

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        names = [one.site for one in self.members]
        keys = [one.key for one in self.members] + [self.aggregator]
        keys += [one.witness for one in self.members]
        if names != sorted(set(names)) or len(set(keys)) != len(keys):
            message = "sites are not sorted and distinct, or two members share a key"
            raise ValueError(message)
        transports = [one.transport for one in self.members if one.transport is not None]
        if len(set(transports)) != len(transports):
            message = "two members share a transport key"
            raise ValueError(message)
        if set(keys) & self.gone():
            message = "a revoked or former key is a member's, or the aggregator's"
            raise ValueError(message)
        return self

    @property
    def signers(self) -> tuple[PublicKey, ...]:
        """The aggregator's key, and those that counted when they signed."""
        return (self.aggregator, *(one.key for one in self.former))

    def gone(self) -> set[PublicKey]:
        """Return every key that counts no more; none of them ever comes back."""
        former = [*self.former, *(old for one in self.members for old in one.former)]
        witnesses = {one.witness for one in former if one.witness is not None}
        return {one.key for one in former} | {one.key for one in self.revoked} | witnesses

    def member(self, site: SiteName) -> Member | None:
        """Return a site's entry; None when it has not joined."""
        return next((one for one in self.members if one.site == site), None)


class EnrolmentRequest(Record):
    """A hospital asks to join; it is signed by the key that it brings."""

    site: SiteName
    key: PublicKey
    witness: PublicKey
    transport: TransportKey
    software: Text
    made: Moment


class KeyRotation(Record):
    """A hospital asks to go on under new keys; it is signed by the key that it replaces."""

    site: SiteName
    replaces: PublicKey
    request: str
    """The envelope of an enrolment request, signed by the new key."""


class Admission(Record):
    """The aggregator's answer; it is signed by the root key."""

    federation: Name
    site: SiteName
    key: PublicKey
    address: Address
    authorities: Certificates
    """Who may vouch for the aggregator's TLS certificate; no other authority counts."""
    roster: str
    """The roster's envelope."""
    issued: Moment


class SignedAdmission(Record):
    """What a hospital gets as a file: the root key, and the admission under it."""

    root: PublicKey
    admission: str

    def opened(self, fingerprint: Digest) -> Admission:
        """Return the admission, if its root key is the one that a person was told of.

        Raises:
            EnvelopeRefused: another root key, or another signer.
        """
        found = fingerprint_of(self.root)
        if found != fingerprint:
            message = (
                f"admission refused: its root key has the fingerprint {found}, "
                f"this node was told {fingerprint}"
            )
            raise EnvelopeRefused(
                message, next_step="ask the aggregator for both again, by two different ways"
            )
        return opened(self.admission.encode(), Admission, key=self.root)


def fingerprint_of(root: PublicKey) -> Digest:
    """Name a root key by its 32 bytes."""
    return digest_of(base64.b64decode(root))
