"""The associations that this node opens to an archive, each for one kind of question.

* An association is used again until it breaks; none outlives the fetch.
* A watch breaks the connection when nothing came for too long: it alone bounds a wait, since an
  archive may well be busy sending objects while it says nothing, or say much and send nothing.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic

from pynetdicom import AE, evt
from pynetdicom.association import Association

from hospital_node.cohort.sources.settings import Pacs
from hospital_node.cohort.sources.storage import Sockets, renew
from schemas.errors import ArchiveRefused

__all__ = ["FIND", "MOVE", "UNKNOWN_DESTINATION", "Associations", "refused"]

FIND = "1.2.840.10008.5.1.4.1.2.2.1"
MOVE = "1.2.840.10008.5.1.4.1.2.2.2"
"""Study Root Query/Retrieve Information Model (PS3.4 section C.6.2.3)."""
UNKNOWN_DESTINATION = 0xA801
"""PS3.4 table C.4-2."""
_LOOKS = 20
"""Of the watch, in the longest wait that it allows."""


class Associations:
    """At most one association for each kind of question."""

    def __init__(self, settings: Pacs) -> None:
        self._settings = settings
        self._open: dict[str, tuple[Association, Sockets]] = {}

    @contextmanager
    def lent(self, model: str, count: Callable[[], int]) -> Iterator[Association]:
        """Lend an association, as long as `count` grows.

        Raises:
            ArchiveRefused: no connection, it is not accepted, it broke, or nothing came in time.
        """
        association, sockets = self._established(model)
        with _watching(count, self._settings.stall_s, sockets):
            try:
                yield association
            except (RuntimeError, ValueError):  # pynetdicom's word for one that is gone
                raise refused("an association", None) from None

    def close(self) -> None:
        """Release every association."""
        for association, sockets in self._open.values():
            if association.is_established:
                association.release()
            sockets.close()
        self._open.clear()

    def _established(self, model: str) -> tuple[Association, Sockets]:
        known = self._open.get(model)
        if known is not None and known[0].is_established:
            return known
        entity = AE(self._settings.own_title)
        entity.acse_timeout = entity.connection_timeout = self._settings.timeout_s
        entity.dimse_timeout = entity.network_timeout = None
        entity.add_requested_context(model)
        sockets = Sockets(self._settings)
        association = entity.associate(
            self._settings.host,
            self._settings.port,
            ae_title=self._settings.title,
            evt_handlers=[(evt.EVT_CONN_OPEN, sockets.guard), (evt.EVT_DIMSE_RECV, renew)],
        )
        if not association.is_established:
            sockets.close()
            raise _unreached(association)
        _hold_answers(association)
        self._open[model] = (association, sockets)
        return association, sockets


def _hold_answers(association: Association) -> None:
    """Keep the library's own loop from taking answers to our questions.

    pynetdicom 3.0.4 pauses that loop while a question is open, and takes it for paused while it is
    still waking up from the question before: then it takes an answer for a request of the peer, and
    drops it. We never serve requests on an association that we opened, so it has nothing to take.
    """
    take = association.dimse.get_msg

    def take_when_asked(block: bool = False) -> object:  # noqa: FBT001, FBT002 - the library's own
        return take(block=True) if block else (None, None)

    association.dimse.get_msg = take_when_asked  # type: ignore[method-assign, assignment]


@contextmanager
def _watching(count: Callable[[], int], stall_s: float, sockets: Sockets) -> Iterator[None]:
    """Break the connections when `count` has not changed for so long."""
    ended = threading.Event()

    def watch() -> None:
        seen, since = count(), monotonic()
        while not ended.wait(stall_s / _LOOKS):
            if count() != seen:
                seen, since = count(), monotonic()
            elif monotonic() - since > stall_s:
                sockets.cut()
                return

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _unreached(association: Association) -> ArchiveRefused:
    if association.is_rejected:
        return ArchiveRefused(
            "archive refused: it rejects this node's association",
            next_step="have the archive's administrator enter this node's AE title, and check "
            "title and own_title in node.toml",
        )
    return ArchiveRefused(
        "archive refused: no association with it could be made in time",
        next_step="check host and port in node.toml, and that the archive is up",
    )


def refused(operation: str, code: int | None) -> ArchiveRefused:
    """Say how an operation ended; without a status it broke off."""
    if code is None:
        return ArchiveRefused(
            f"archive refused: {operation} broke off, or nothing came in time",
            next_step="run the command again, it goes on from here; stall_s in node.toml says how "
            "long it waits",
        )
    if code == UNKNOWN_DESTINATION:
        return ArchiveRefused(
            f"archive refused: {operation} says that it does not know this node's AE title",
            next_step="have the archive's administrator enter own_title with this machine's "
            "address and listen_port",
        )
    return ArchiveRefused(
        f"archive refused: {operation} ended with status {code:04X}, 0000 is success",
        next_step="ask the archive's administrator what it means there",
    )
