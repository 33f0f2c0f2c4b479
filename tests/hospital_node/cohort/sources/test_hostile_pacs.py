"""Archives that hang, lie, break off, or are not the archive at all: each costs only itself."""

import gc
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import UID, DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian
from pynetdicom import AE, evt
from pynetdicom.events import Event

from hospital_node.cohort.sources.associations import FIND, MOVE
from hospital_node.cohort.sources.pacs import PacsSource
from hospital_node.cohort.sources.query import Query
from hospital_node.cohort.sources.settings import Pacs
from hospital_node.cohort.sources.source import Fetched
from hospital_node.cohort.sources.spool import Spool
from schemas.errors import ArchiveRefused, SourceEmpty
from tests.hospital_node.cohort.exports import ROOT_UID, image
from tests.hospital_node.cohort.sources.orthanc import free_ports

# pynetdicom leaves a socket that never connected to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

PATIENT = "SECRET-PATIENT-77"
SOP_CLASS = str(DigitalXRayImageStorageForPresentation)


def picture(number: int, patient: str = PATIENT) -> Dataset:
    dataset = image(number, patient=patient)
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = UID("1.2.3"), UID("1.2.3.4")
    return dataset


@pytest.fixture(autouse=True)
def _collected() -> Iterator[None]:
    yield
    gc.collect()


def hold(_event: Event) -> None:
    return None


@dataclass(slots=True)
class Liar:
    """An archive that answers as it is told to."""

    listed: int = 3
    answering_patient: str = PATIENT
    sends: Callable[["Liar"], Iterator[Dataset]] = lambda liar: (
        picture(number) for number in range(liar.listed)
    )
    calling: str = "ARCHIVE"
    before_answer: Callable[[Event], None] = hold
    before_move: Callable[[Event], None] = hold
    pause_s: float = 0.0
    node_port: int = 0
    stored: list[int] = field(default_factory=list)
    questions: int = 0

    def find(self, event: Event) -> Iterator[tuple[int, Dataset | None]]:
        self.questions += 1
        self.before_answer(event)
        level = event.identifier.QueryRetrieveLevel
        for number in range(self.listed if level == "IMAGE" else 1):
            answer = Dataset()
            answer.QueryRetrieveLevel = level
            answer.PatientID = self.answering_patient
            answer.StudyInstanceUID = "1.2.3"
            answer.SeriesInstanceUID, answer.Modality = "1.2.3.4", "DX"
            answer.SOPInstanceUID = f"{ROOT_UID}{number}"
            answer.SOPClassUID = SOP_CLASS
            yield 0xFF00, answer

    def move(self, event: Event) -> Iterator[object]:
        self.before_move(event)
        yield ("127.0.0.1", self.node_port)
        sent = list(self.sends(self))
        yield len(sent)
        for one in sent:
            time.sleep(self.pause_s)
            yield 0xFF00, one


@contextmanager
def archive(liar: Liar) -> Iterator[Pacs]:
    """Serve until the test ends."""
    port, liar.node_port = free_ports(2)
    entity = AE("ARCHIVE")
    entity.add_supported_context(FIND)
    entity.add_supported_context(MOVE)
    entity.add_requested_context(SOP_CLASS, ExplicitVRLittleEndian)
    entity.ae_title = liar.calling
    server = entity.start_server(
        ("127.0.0.1", port),
        block=False,
        evt_handlers=[(evt.EVT_C_FIND, liar.find), (evt.EVT_C_MOVE, liar.move)],
    )
    assert server is not None
    try:
        yield Pacs(
            host="127.0.0.1",
            port=port,
            title=liar.calling,
            own_title="NODE",
            listen="127.0.0.1",
            listen_port=liar.node_port,
            callers=("ARCHIVE",),
            timeout_s=2.0,
            stall_s=2.0,
        )
    finally:
        server.shutdown()


def fetched(liar: Liar, folder: Path, *, allow_missing: bool = False) -> Fetched:
    query = Query((PATIENT,), frozenset(f"{ROOT_UID}{n}" for n in range(3)), ("DX",), (SOP_CLASS,))
    with archive(liar) as settings:
        source = PacsSource(settings, query, allow_missing)
        return source.fetched(Spool(folder), progress=lambda _done, _all: None)


def refusal(liar: Liar, folder: Path, kind: type[ArchiveRefused] | type[SourceEmpty]) -> str:
    with pytest.raises(kind) as refused:
        fetched(liar, folder)
    said = f"{refused.value.message} {refused.value.next_step}"
    assert PATIENT not in said
    assert ROOT_UID not in said
    return said


def names(folder: Path) -> int:
    return len(list((folder / "objects").iterdir()))


def test_an_honest_archive_is_fetched_whole(tmp_path: Path) -> None:
    found = fetched(Liar(), tmp_path)
    assert (found.asked, found.missing, found.unasked, names(tmp_path)) == (3, 0, 0, 3)


def test_no_answer_is_lost_between_quick_questions(tmp_path: Path) -> None:
    """The library's loop takes answers when questions follow each other closely."""
    labelled = frozenset(f"{ROOT_UID}{n}" for n in range(3))
    liar = Liar()
    with archive(liar) as settings:
        for _ in range(60):
            query = Query((PATIENT,), labelled, ("DX",), (SOP_CLASS,))
            source = PacsSource(settings, query, allow_missing=True)
            found = source.fetched(Spool(tmp_path), progress=lambda _done, _all: None)
            assert (found.asked, found.missing) == (3, 0)


def test_another_patients_listing_is_not_asked_for(tmp_path: Path) -> None:
    said = refusal(Liar(answering_patient="ANOTHER"), tmp_path, SourceEmpty)
    assert "the archive lists no labelled image" in said
    assert names(tmp_path) == 0


STORIES: dict[str, Callable[[Liar], Iterator[Dataset]]] = {
    "another patient's image under the right name": lambda _: iter([picture(0, "ANOTHER")]),
    "an image that nobody asked for": lambda _: iter([picture(50)]),
    "nothing": lambda _: iter([]),
}


@pytest.mark.parametrize("story", STORIES)
def test_what_is_not_what_was_asked_for_is_never_kept(tmp_path: Path, story: str) -> None:
    said = refusal(Liar(sends=STORIES[story]), tmp_path, ArchiveRefused)
    assert "3 of 3 objects that it lists did not come" in said
    assert names(tmp_path) == 0


def test_what_came_is_kept_and_only_the_rest_is_fetched(tmp_path: Path) -> None:
    refusal(Liar(sends=lambda _: iter([picture(1)])), tmp_path, ArchiveRefused)
    (kept,) = (tmp_path / "objects").iterdir()
    before = kept.stat().st_mtime_ns
    found = fetched(Liar(sends=lambda _: iter([picture(0)])), tmp_path, allow_missing=True)
    assert (found.asked, found.missing, names(tmp_path)) == (3, 1, 2)
    assert kept.stat().st_mtime_ns == before


def asleep(event: Event) -> None:
    del event
    time.sleep(6)


def gone(event: Event) -> None:
    event.assoc.abort()


@pytest.mark.parametrize("fault", [asleep, gone])
@pytest.mark.parametrize("where", ["before_answer", "before_move"])
def test_an_archive_that_hangs_or_breaks_off_is_refused(
    tmp_path: Path, fault: Callable[[Event], None], where: str
) -> None:
    liar = Liar()
    setattr(liar, where, fault)
    said = refusal(liar, tmp_path, ArchiveRefused)
    assert "broke off, or nothing came in time" in said


def test_a_sender_under_another_title_is_turned_away(tmp_path: Path) -> None:
    liar = Liar(calling="STRANGER")
    refusal(liar, tmp_path, ArchiveRefused)
    assert names(tmp_path) == 0


def test_a_port_where_nobody_speaks_dicom_is_refused_in_time(tmp_path: Path) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        settings = Pacs(
            host="127.0.0.1",
            port=silent.getsockname()[1],
            title="ARCHIVE",
            timeout_s=1.0,
            stall_s=1.0,
        )
        query = Query((PATIENT,), frozenset(("1.2",)), ("DX",), (SOP_CLASS,))
        with pytest.raises(ArchiveRefused, match="no association with it could be made in time"):
            PacsSource(settings, query).fetched(Spool(tmp_path), progress=lambda _d, _a: None)
