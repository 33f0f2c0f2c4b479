"""What reports of both sides show alike: verdicts, software, certificates."""

from typing import Literal, TypeAlias

from schemas.base import Record
from schemas.names import Digest, Moment, Text

Standing: TypeAlias = Literal["PASS", "ATTENTION", "FAIL"]
Subject: TypeAlias = Literal["integrity", "privacy", "contract", "gate", "exceptions"]


class Finding(Record):
    """One of the five verdicts on top: its standing, why, and the command that finds it again."""

    subject: Subject
    standing: Standing
    sentence: Text
    details: tuple[Text, ...]
    """What lowered the standing, one by one."""
    command: Text


class SoftwareRow(Record):
    """A version that worked on this home, and since when."""

    version: Text
    code: Digest
    since: Moment
    starts: int
    cut_off: int
    """Starts without a stop: killed, or the machine failed."""


class CertificateRow(Record):
    """A TLS certificate that the nodes are shown, or the authority that vouches for it."""

    subject: Text
    fingerprint: Digest
    """Of the certificate in DER."""
    since: Moment
    until: Moment
