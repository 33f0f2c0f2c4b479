"""A PACS: C-FIND says what there is, C-MOVE has it sent to this node's own storage port.

* Study root (PS3.4 section C.6.2), from study to series to object, as archives commonly support.
* An association is made for each patient and for each series; the storage port is open for all.
* A wait for one message, and for one object, is bounded; on time-out the association is aborted.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from time import monotonic

from pydicom.dataset import Dataset
from pynetdicom import AE, evt
from pynetdicom.association import Association

from hospital_node.cohort.sources.fetching import Query, fetched_from
from hospital_node.cohort.sources.inbox import Inbox, Instance
from hospital_node.cohort.sources.settings import Pacs
from hospital_node.cohort.sources.source import Fetched, Progress
from hospital_node.cohort.sources.spool import Spool
from hospital_node.cohort.sources.storage import Sockets, renew, storage_port
from schemas.errors import ArchiveRefused

__all__ = ["PacsSource"]

MAX_MATCHES = 100_000
"""Answers to one question; an archive that gives more is broken."""
MAX_UIDS = 200
"""Objects named in one C-MOVE."""
_FIND = "1.2.840.10008.5.1.4.1.2.2.1"
_MOVE = "1.2.840.10008.5.1.4.1.2.2.2"
"""Study Root Query/Retrieve Information Model (PS3.4 section C.6.2.3)."""
_SUCCESS = 0x0000
_PENDING = (0xFF00, 0xFF01)
_UNKNOWN_DESTINATION = 0xA801
"""PS3.4 table C.4-2."""


@dataclass(frozen=True, slots=True)
class PacsSource:
    """The hospital's PACS as node.toml names it."""

    settings: Pacs
    query: Query
    allow_missing: bool = False

    def fetched(self, spool: Spool, *, progress: Progress) -> Fetched:
        """Fetch what the labels table asks for."""
        return fetched_from(
            _Pacs(self.settings, self.query.sop_classes),
            self.query,
            spool,
            progress=progress,
            allow_missing=self.allow_missing,
        )


@dataclass(frozen=True, slots=True)
class _Pacs:
    settings: Pacs
    sop_classes: tuple[str, ...]

    def listed(self, patient: str, modalities: Sequence[str]) -> Iterator[Instance]:
        with _associated(self.settings, _FIND) as association:
            for study in self._found(association, "STUDY", PatientID=patient, StudyInstanceUID=""):
                study_uid = _text(study, "StudyInstanceUID")
                for series in self._found(
                    association,
                    "SERIES",
                    StudyInstanceUID=study_uid,
                    SeriesInstanceUID="",
                    Modality="",
                ):
                    if _text(series, "Modality") in modalities:
                        place = (study_uid, _text(series, "SeriesInstanceUID"))
                        yield from self._instances(association, _text(study, "PatientID"), place)

    def _instances(
        self, association: Association, patient: str, place: tuple[str, str]
    ) -> Iterator[Instance]:
        study, series = place
        for one in self._found(
            association,
            "IMAGE",
            StudyInstanceUID=study,
            SeriesInstanceUID=series,
            SOPInstanceUID="",
            SOPClassUID="",
        ):
            yield Instance(
                patient=patient,
                study=study,
                series=series,
                instance=_text(one, "SOPInstanceUID"),
                sop_class=_text(one, "SOPClassUID"),
            )

    def _found(self, association: Association, level: str, **keys: str) -> list[Dataset]:
        """Ask one question; the answers are few and small."""
        question = Dataset()
        question.QueryRetrieveLevel = level
        for keyword, value in keys.items():
            setattr(question, keyword, value)
        end, found = monotonic() + self.settings.stall_s, list[Dataset]()
        with _connected("C-FIND"):
            answers = association.send_c_find(question, _FIND)
            for status, answer in answers:
                code = status.get("Status")
                if code == _SUCCESS:
                    return found
                if code not in _PENDING or monotonic() > end or len(found) == MAX_MATCHES:
                    association.abort()
                    raise _refused("C-FIND", None if code in _PENDING else code)
                if answer is not None:
                    found.append(answer)
        raise _refused("C-FIND", None)

    def receiving(self, inbox: Inbox) -> AbstractContextManager[None]:
        return storage_port(self.settings, self.sop_classes, inbox)

    def sent(self, wanted: Sequence[Instance], inbox: Inbox) -> None:
        for start in range(0, len(wanted), MAX_UIDS):
            self._moved(wanted[start : start + MAX_UIDS], inbox)

    def _moved(self, wanted: Sequence[Instance], inbox: Inbox) -> None:
        request = Dataset()
        request.QueryRetrieveLevel = "IMAGE"
        request.StudyInstanceUID = wanted[0].study
        request.SeriesInstanceUID = wanted[0].series
        request.SOPInstanceUID = [one.instance for one in wanted]
        watch = _Watch(inbox, self.settings.stall_s)
        with (
            _associated(self.settings, _MOVE) as association,
            _connected("C-MOVE"),
        ):
            for status, _ in association.send_c_move(request, self.settings.own_title, _MOVE):
                code = status.get("Status")
                if code is None or code == _UNKNOWN_DESTINATION:
                    raise _refused("C-MOVE", code)
                if code in _PENDING and (inbox.is_broken or watch.has_stalled()):
                    association.abort()
                    break
        inbox.refuse_broken()
        if watch.has_stalled():
            raise _refused("C-MOVE", None)


class _Watch:
    """Notices that no object came for too long."""

    def __init__(self, inbox: Inbox, stall_s: float) -> None:
        self._inbox, self._stall_s = inbox, stall_s
        self._arrived, self._since = inbox.arrived, monotonic()

    def has_stalled(self) -> bool:
        """Say whether nothing arrived since `stall_s`."""
        if self._inbox.arrived != self._arrived:
            self._arrived, self._since = self._inbox.arrived, monotonic()
        return monotonic() - self._since > self._stall_s


@contextmanager
def _connected(operation: str) -> Iterator[None]:
    """Take the library's complaint about an association that is gone for what it is."""
    try:
        yield
    except (RuntimeError, ValueError):
        raise _refused(operation, None) from None


@contextmanager
def _associated(settings: Pacs, model: str) -> Iterator[Association]:
    """Lend an association for one kind of question.

    Raises:
        ArchiveRefused: no connection, or the archive does not accept it.
    """
    entity = AE(settings.own_title)
    entity.acse_timeout = entity.dimse_timeout = settings.timeout_s
    entity.connection_timeout = settings.timeout_s
    entity.network_timeout = settings.stall_s
    entity.add_requested_context(model)
    sockets = Sockets(settings)
    association = entity.associate(
        settings.host,
        settings.port,
        ae_title=settings.title,
        evt_handlers=[(evt.EVT_CONN_OPEN, sockets.guard), (evt.EVT_DIMSE_RECV, renew)],
    )
    try:
        if not association.is_established:
            raise _unreached(association)
        yield association
    finally:
        if association.is_established:
            association.release()
        sockets.close()


def _text(answer: Dataset, keyword: str) -> str:
    return str(answer.get(keyword) or "").strip(" \0")


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


def _refused(operation: str, code: int | None) -> ArchiveRefused:
    if code is None:
        return ArchiveRefused(
            f"archive refused: {operation} broke off or was too slow",
            next_step="run the command again, it goes on from here; timeout_s and stall_s in "
            "node.toml say how long it waits",
        )
    if code == _UNKNOWN_DESTINATION:
        return ArchiveRefused(
            f"archive refused: {operation} says that it does not know this node's AE title",
            next_step="have the archive's administrator enter own_title with this machine's "
            "address and listen_port",
        )
    return ArchiveRefused(
        f"archive refused: {operation} ended with status {code:04X}, 0000 is success",
        next_step="ask the archive's administrator what it means there",
    )
