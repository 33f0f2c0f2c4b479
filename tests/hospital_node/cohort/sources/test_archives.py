"""One hospital of real chest X-rays, from a folder and from a real archive: the same cohort."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from hospital_node.config import NodeHome
from schemas.audit.events import ImagesFetched
from schemas.audit.lines import read_facts
from tests.conftest import ROOT
from tests.hospital_node.cohort.sources.homes import ingest, made, stored
from tests.hospital_node.cohort.sources.orthanc import Orthanc, running

CONTRACT = ROOT / "deployment" / "demo" / "chest-xray.contract.toml"
SITE = "hannover"


@dataclass(frozen=True, slots=True)
class Hospital:
    """A site's export, the archive that holds the same images, and the cohort of the folder."""

    export: Path
    archive: Orthanc
    cohort: dict[str, bytes]


@pytest.fixture(scope="module")
def hospital(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hospital]:
    export, folder = shared_data / "chest-xray" / SITE, tmp_path_factory.mktemp("hospital")
    with running() as archive:
        assert archive.hold(export / "dicom") == 243
        home = made(folder / "folder")
        assert ingest(home, "--contract", CONTRACT, "--source", export / "dicom") == 0
        yield Hospital(export, archive, stored(home))


@pytest.mark.parametrize("kind", ["pacs", "dicomweb"])
def test_the_cohort_of_an_archive_is_that_of_the_folder_digest_for_digest(
    hospital: Hospital, tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = hospital.archive.pacs() if kind == "pacs" else hospital.archive.dicomweb()
    home = made(tmp_path / "home", settings)
    labels = hospital.export / "labels.csv"
    words = ("--contract", CONTRACT, "--from", kind, "--labels", labels, "--keep-spool")
    assert ingest(home, *words) == 0
    assert stored(home) == hospital.cohort
    assert "archive: 243 objects asked for, 243 came, 0 refused" in capsys.readouterr().err
    events = list(read_facts(NodeHome(home).journal, ImagesFetched))
    assert [(one.source, one.complete) for one in events if isinstance(one, ImagesFetched)] == [
        (kind, True)
    ]

    fetched = {path: path.stat().st_mtime_ns for path in home.glob("spool/*/objects/*")}
    assert len(fetched) == 243
    missing = sorted(fetched)[::50]
    for path in missing:
        path.unlink()
    assert ingest(home, *words[:-1]) == 0
    assert stored(home) == hospital.cohort
    assert list((home / "spool").iterdir()) == [], "what was ingested is not kept"
