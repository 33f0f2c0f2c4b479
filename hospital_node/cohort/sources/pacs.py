"""A PACS: C-FIND says what there is, C-MOVE has it sent to this node's own storage port.

* Study root (PS3.4 section C.6.2), from study to series to object, as archives commonly support.
* An association serves until it breaks; then the fetch is refused, and the next one goes on.
* Whatever the archive says meanwhile, a time without an answer or an object is bounded.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass

from pydicom.dataset import Dataset

from hospital_node.cohort.sources.associations import (
    FIND,
    MOVE,
    UNKNOWN_DESTINATION,
    Associations,
    refused,
)
from hospital_node.cohort.sources.fetching import fetched_from
from hospital_node.cohort.sources.inbox import Inbox, Instance
from hospital_node.cohort.sources.query import Query
from hospital_node.cohort.sources.settings import Pacs
from hospital_node.cohort.sources.source import Fetched, Progress
from hospital_node.cohort.sources.spool import Spool
from hospital_node.cohort.sources.storage import storage_port

__all__ = ["PacsSource"]

MAX_MATCHES = 100_000
"""Answers to one question; an archive that gives more is broken."""
MAX_UIDS = 200
"""Objects named in one C-MOVE."""
_SUCCESS = 0x0000
_PENDING = (0xFF00, 0xFF01)
"""PS3.4 tables C.4-1 and C.4-2."""


@dataclass(frozen=True, slots=True)
class PacsSource:
    """The hospital's PACS as node.toml names it."""

    settings: Pacs
    query: Query
    allow_missing: bool = False

    def fetched(self, spool: Spool, *, progress: Progress) -> Fetched:
        """Fetch what the labels table asks for."""
        with closing(Associations(self.settings)) as associations:
            return fetched_from(
                _Pacs(self.settings, self.query.sop_classes, associations),
                self.query,
                spool,
                progress=progress,
                allow_missing=self.allow_missing,
            )


@dataclass(frozen=True, slots=True)
class _Pacs:
    settings: Pacs
    sop_classes: tuple[str, ...]
    associations: Associations

    def listed(self, patient: str, modalities: Sequence[str]) -> Iterator[Instance]:
        for study in self._found("STUDY", PatientID=patient, StudyInstanceUID=""):
            study_uid = _text(study, "StudyInstanceUID")
            for series in self._found(
                "SERIES", StudyInstanceUID=study_uid, SeriesInstanceUID="", Modality=""
            ):
                if _text(series, "Modality") in modalities:
                    place = (study_uid, _text(series, "SeriesInstanceUID"))
                    yield from self._instances(_text(study, "PatientID"), place)

    def _instances(self, patient: str, place: tuple[str, str]) -> Iterator[Instance]:
        study, series = place
        for one in self._found(
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

    def _found(self, level: str, **keys: str) -> list[Dataset]:
        """Ask one question; the answers are few and small."""
        question, found = Dataset(), list[Dataset]()
        question.QueryRetrieveLevel = level
        for keyword, value in keys.items():
            setattr(question, keyword, value)
        with self.associations.lent(FIND, lambda: len(found)) as association:
            for status, answer in association.send_c_find(question, FIND):
                code = status.get("Status")
                if code == _SUCCESS:
                    return found
                if code not in _PENDING or len(found) == MAX_MATCHES:
                    association.abort()
                    raise refused("C-FIND", None if code in _PENDING else code)
                if answer is not None:
                    found.append(answer)
        raise refused("C-FIND", None)

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
        with self.associations.lent(MOVE, lambda: inbox.arrived) as association:
            for status, _ in association.send_c_move(request, self.settings.own_title, MOVE):
                code = status.get("Status")
                if code is None or code == UNKNOWN_DESTINATION:
                    raise refused("C-MOVE", code)
                if code in _PENDING and inbox.is_broken:
                    association.abort()
                    break


def _text(answer: Dataset, keyword: str) -> str:
    return str(answer.get(keyword) or "").strip(" \0")
