"""A DICOMweb archive: QIDO-RS says what there is, WADO-RS sends it (PS3.18 sections 10.4, 10.6).

* Objects are asked for one by one, in the transfer syntax in which they are stored, so a broken
  connection costs one of them.
* An object that the archive cannot give is missing; a refused token ends the fetch.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TypeAlias

import requests
from dicomweb_client.api import DICOMwebClient

from hospital_node.cohort.sources.fetching import MAX_LISTED, fetched_from
from hospital_node.cohort.sources.inbox import Inbox, Instance
from hospital_node.cohort.sources.query import Query
from hospital_node.cohort.sources.settings import DicomWeb
from hospital_node.cohort.sources.source import Fetched, Progress
from hospital_node.cohort.sources.spool import Spool
from hospital_node.cohort.sources.web import answering, multipart, session

__all__ = ["DicomWebSource"]

_ACCEPT = 'multipart/related; type="application/dicom"; transfer-syntax=*'
_FATAL = (401, 403)
_PAGE = 1000

_PATIENT, _MODALITY = "00100020", "00080060"
_STUDY, _SERIES, _INSTANCE, _CLASS = "0020000D", "0020000E", "00080018", "00080016"

Row: TypeAlias = Mapping[str, object]
"""One answer in DICOM JSON (PS3.18 annex F)."""


@dataclass(frozen=True, slots=True)
class DicomWebSource:
    """The hospital's DICOMweb service as node.toml names it."""

    settings: DicomWeb
    secret: bytes | None = field(repr=False)
    query: Query
    allow_missing: bool = False

    def fetched(self, spool: Spool, *, progress: Progress) -> Fetched:
        """Fetch what the labels table asks for."""
        with session(self.settings, self.secret) as opened:
            client = DICOMwebClient(
                self.settings.url, session=opened, timeout=self.settings.timeout_s
            )
            client.set_http_retry_params(retry=False)
            return fetched_from(
                _Service(self.settings.url.rstrip("/"), opened, client),
                self.query,
                spool,
                progress=progress,
                allow_missing=self.allow_missing,
            )


@dataclass(frozen=True, slots=True)
class _Service:
    url: str
    session: requests.Session
    client: DICOMwebClient

    def listed(self, patient: str, modalities: Sequence[str]) -> Iterator[Instance]:
        for study in self._every(
            _STUDY,
            lambda offset: self.client.search_for_studies(
                search_filters={"PatientID": patient}, limit=_PAGE, offset=offset
            ),
        ):
            yield from self._of_study(_text(study, _PATIENT), _text(study, _STUDY), modalities)

    def _of_study(self, patient: str, study: str, modalities: Sequence[str]) -> Iterator[Instance]:
        for series in self._every(
            _SERIES,
            lambda offset: self.client.search_for_series(study, limit=_PAGE, offset=offset),
        ):
            if _text(series, _MODALITY) in modalities:
                yield from self._of_series(patient, study, _text(series, _SERIES))

    def _of_series(self, patient: str, study: str, series: str) -> Iterator[Instance]:
        for one in self._every(
            _INSTANCE,
            lambda offset: self.client.search_for_instances(
                study, series, limit=_PAGE, offset=offset
            ),
        ):
            yield Instance(patient, study, series, _text(one, _INSTANCE), _text(one, _CLASS))

    def _every(self, key: str, page: Callable[[int], Sequence[Row]]) -> list[Row]:
        """Ask page by page until nothing new comes; a service may give fewer at once than asked."""
        found: dict[str, Row] = {}
        while len(found) < MAX_LISTED:
            before = len(found)
            with answering():
                found.update((_text(row, key), row) for row in page(before))
            if len(found) == before:
                break
        return list(found.values())

    def receiving(self, inbox: Inbox) -> AbstractContextManager[None]:
        del inbox
        return nullcontext()

    def sent(self, wanted: Sequence[Instance], inbox: Inbox) -> None:
        for one in wanted:
            address = f"{self.url}/studies/{one.study}/series/{one.series}/instances/{one.instance}"
            with (
                answering(),
                self.session.get(address, headers={"Accept": _ACCEPT}, stream=True) as response,
            ):
                if response.ok:
                    inbox.put(one.instance, multipart(response))
                elif response.status_code in _FATAL:
                    response.raise_for_status()
            inbox.refuse_broken()


def _text(row: Row, tag: str) -> str:
    """Return the first value of an element; empty where there is none."""
    element = row.get(tag)
    values = element.get("Value") if isinstance(element, Mapping) else None
    return str(values[0]).strip() if isinstance(values, list) and values else ""
