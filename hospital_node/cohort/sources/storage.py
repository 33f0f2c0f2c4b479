"""This node's own storage port: where an archive sends what a C-MOVE asked for.

* It is open only while a fetch runs, to the listed addresses and AE titles, for the contract's SOP
  classes.
* An object that is not wanted is refused before its bytes are looked at. Nothing is decoded here.
* A message is bounded in size and in time; pynetdicom by itself takes a PDU of any length, and
  waits for its end for good.
"""

import logging
import math
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from ipaddress import ip_address

from pydicom.uid import (
    JPEG2000,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.events import Event

from hospital_node.cohort.sources.inbox import MAX_OBJECT_BYTES, Inbox
from hospital_node.cohort.sources.settings import Pacs
from schemas.errors import ArchiveRefused

__all__ = ["Sockets", "renew", "storage_port"]

SYNTAXES = (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    JPEG2000Lossless,
    JPEG2000,
    RLELossless,
)
"""What may be received: an archive sends a compressed image as it is stored."""
_VERIFICATION = "1.2.840.10008.1.1"
ASSOCIATIONS = 4
_END_S = 5.0
"""For the threads of all connections to end in."""
_PDU_BYTES = 2**17
_MESSAGE_BYTES = MAX_OBJECT_BYTES + 2**20
_SUCCESS, _NOT_WANTED, _NO_ROOM = 0x0000, 0xA900, 0xA700
"""PS3.4 table B.2-1: the object does not match what it should be; out of resources."""

# Its lines quote identifiers of patients.
logging.getLogger("pynetdicom").setLevel(logging.CRITICAL + 1)


class _Guarded(socket.socket):
    """A connection that gives so many bytes in so much time for one message, and then breaks."""

    stall_s = 0.0
    left = 0
    end = 0.0

    def renew(self) -> None:
        """Allow another message."""
        self.left, self.end = _MESSAGE_BYTES, time.monotonic() + self.stall_s

    def recv(self, bufsize: int, flags: int = 0) -> bytes:
        """Return some bytes; none when the peer closed."""
        if self.left <= 0 or time.monotonic() > self.end:
            raise TimeoutError
        # A peer's second small write waits for our word about the first, which waits for company.
        if hasattr(socket, "TCP_QUICKACK"):
            self.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        content = super().recv(bufsize, flags)
        self.left -= len(content)
        return content


@dataclass(slots=True)
class Sockets:
    """The connections of one fetch: guarded, and none outlives it."""

    settings: Pacs
    addresses: frozenset[str] | None = None
    """From where a peer may come; None: we called it, and a watch bounds the wait."""
    _open: list[tuple[_Guarded, Association]] = field(default_factory=list)

    def guard(self, event: Event) -> None:
        """Guard a connection before its first byte is read (EVT_CONN_OPEN)."""
        bare = event.assoc.dul.socket
        if bare is None or bare.socket is None:
            return  # closed again
        guarded = _Guarded(fileno=bare.socket.detach())
        guarded.settimeout(self.settings.timeout_s)
        # A message is two small writes; without it the second waits for the peer's late word.
        guarded.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        guarded.stall_s = self.settings.stall_s if self.addresses else math.inf
        if self.addresses is None or _plain(_peer(event)) in self.addresses:
            guarded.renew()
        bare.socket = guarded
        self._open.append((guarded, event.assoc))

    def cut(self) -> None:
        """Break every connection, whoever waits on it."""
        for one, _ in self._open:
            with suppress(OSError):  # it was closed before
                one.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Break every connection, and release it when nobody uses it any more."""
        self.cut()
        end = time.monotonic() + _END_S
        for one, association in self._open:
            for thread in (association, association.dul):
                if thread.is_alive():
                    thread.join(max(0.0, end - time.monotonic()))
            one.close()
        self._open.clear()


def renew(event: Event) -> None:
    """Allow another message on the connection of an event."""
    bare = event.assoc.dul.socket
    if bare is not None and isinstance(bare.socket, _Guarded):
        bare.socket.renew()


def _peer(event: Event) -> str:
    address: tuple[str, int] = event.address  # type: ignore[attr-defined] # an attribute of EVT_CONN_OPEN alone
    return address[0]


@contextmanager
def storage_port(settings: Pacs, sop_classes: Sequence[str], inbox: Inbox) -> Iterator[None]:
    """Listen while a fetch runs.

    Raises:
        ArchiveRefused: the port cannot be opened.
    """
    entity = AE(settings.own_title)
    entity.require_called_aet = True
    entity.require_calling_aet = list(settings.callers or (settings.title,))
    entity.maximum_associations = ASSOCIATIONS
    entity.maximum_pdu_size = _PDU_BYTES
    entity.acse_timeout = entity.dimse_timeout = settings.timeout_s
    entity.network_timeout = settings.stall_s
    entity.add_supported_context(_VERIFICATION)
    for one in sop_classes:
        entity.add_supported_context(one, list(SYNTAXES))
    sockets = Sockets(settings, _allowed(settings))

    def store(event: Event) -> int:
        renew(event)
        return _stored(event, inbox)

    try:
        entity.start_server(
            (settings.listen, settings.listen_port),
            block=False,
            evt_handlers=[
                (evt.EVT_CONN_OPEN, sockets.guard),
                (evt.EVT_C_STORE, store),
            ],
        )
    except OSError as error:
        message = (
            f"archive refused: port {settings.listen_port} cannot be opened here ({error.strerror})"
        )
        raise ArchiveRefused(
            message, next_step="choose listen and listen_port in node.toml"
        ) from None
    try:
        yield
    finally:
        sockets.cut()
        entity.shutdown()
        sockets.close()


def _stored(event: Event, inbox: Inbox) -> int:
    try:
        request = event.request
        instance = str(request.AffectedSOPInstanceUID) if isinstance(request, C_STORE) else ""
        is_kept = inbox.put(instance, (event.encoded_dataset(),) if inbox.wants(instance) else ())
    except Exception:  # noqa: BLE001 - a hostile message can make the library raise anything
        return _NOT_WANTED
    if is_kept:
        return _SUCCESS
    return _NO_ROOM if inbox.is_broken else _NOT_WANTED


def _allowed(settings: Pacs) -> frozenset[str]:
    """Return the addresses from which objects may come.

    Raises:
        ArchiveRefused: a name that has none.
    """
    try:
        return frozenset(
            _plain(str(found[4][0]))
            for host in settings.addresses or (settings.host,)
            for found in socket.getaddrinfo(host, None)
        )
    except OSError:
        message = "archive refused: the name of its machine is not known here"
        raise ArchiveRefused(message, next_step="check host and addresses in node.toml") from None


def _plain(address: str) -> str:
    """Write an address in one form; an IPv4 address that comes over IPv6 is the same."""
    found = ip_address(address.partition("%")[0])
    return str(getattr(found, "ipv4_mapped", None) or found)
