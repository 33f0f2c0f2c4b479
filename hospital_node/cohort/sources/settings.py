"""How a node reaches the hospital's archive; tables of node.toml.

* Nothing here is a secret: a token stands in a file of its own, for its owner alone.
* Every wait has a bound.
"""

from typing import Annotated, Literal, Self, TypeAlias
from urllib.parse import urlsplit

from pydantic import Field, StringConstraints, model_validator

from schemas.base import Record

__all__ = ["DicomWeb", "Pacs"]

ApplicationTitle: TypeAlias = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9_-](?:[A-Za-z0-9_ .-]{0,14}[A-Za-z0-9_-])?$")
]
"""An AE title (PS3.8 section 9.3.2): at most sixteen characters."""
Host: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9:][A-Za-z0-9.:-]{0,253}$")]
Port: TypeAlias = Annotated[int, Field(ge=1, le=65535)]
Seconds: TypeAlias = Annotated[float, Field(gt=0, le=86400)]

_LOOPBACK = ("127.0.0.1", "::1", "localhost")


class Pacs(Record):
    """An archive that is asked by C-FIND and answers a C-MOVE to this node's own storage port."""

    host: Host
    port: Port
    title: ApplicationTitle
    """The archive's AE title."""
    own_title: ApplicationTitle = "CONSILIUM"
    """This node's, as the archive knows it."""
    listen: Host = "0.0.0.0"  # noqa: S104 - the archive connects back; open only while a fetch runs
    """The address on which objects are received."""
    listen_port: Port = 11112
    callers: tuple[ApplicationTitle, ...] = ()
    """AE titles that may send; none: the archive's own."""
    addresses: tuple[Host, ...] = ()
    """Addresses from which objects may come; none: those of `host`."""
    timeout_s: Seconds = 30.0
    """Longest wait for one message."""
    stall_s: Seconds = 300.0
    """Longest wait for one object."""


class DicomWeb(Record):
    """An archive that answers QIDO-RS and WADO-RS."""

    url: Annotated[
        str, StringConstraints(pattern=r"^https?://[A-Za-z0-9.:\[\]-]+(?:/[A-Za-z0-9._~/-]*)?$")
    ]
    """Where the service begins; https, or http on this machine."""
    authorization: Literal["none", "bearer", "basic"] = "bearer"
    """What keys/dicomweb holds: a token, or a name and a password joined by a colon."""
    authority: str | None = None
    """PEM file of the authority that signed the archive's certificate; none: the system's."""
    timeout_s: Seconds = 30.0
    """Longest wait for the next bytes."""
    stall_s: Seconds = 300.0
    """Longest wait for one answer, or for one object."""

    @model_validator(mode="after")
    def _private(self) -> Self:
        parts = urlsplit(self.url)
        if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
            message = "plain http is allowed to this machine only"
            raise ValueError(message)
        return self
