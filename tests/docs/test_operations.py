"""The pages on where images come from, typed command by command; the archive is a real one."""

import json
from pathlib import Path

import pytest

import hospital_node.cli
from hospital_node.cohort.ingest import ingest
from hospital_node.cohort.sources.settings import DicomWeb, Pacs
from hospital_node.cohort.store import open_cohort
from hospital_node.config import NodeConfig, NodeHome
from schemas.base import Record
from schemas.command_line import run
from schemas.contract import DataContract
from schemas.reference import ReferenceHistogram
from tests.docs.pages import DOCS, blocks, commands, rows
from tests.docs.test_quickstart import write_hospital
from tests.hospital_node.cohort.exports import desk, image, write
from tests.hospital_node.cohort.exports import pixels as pixels_of
from tests.hospital_node.cohort.outlined import square, write_picture
from tests.hospital_node.cohort.sources.orthanc import PASSWORD, USER, Orthanc, running

PAGES = DOCS / "operations"


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what the pages name: an export, its labels and a contract."""
    monkeypatch.chdir(tmp_path)
    write_hospital(Path("export"), 5)
    Path("labels.csv").write_bytes(Path("export/labels.csv").read_bytes())
    (contract,) = blocks(DOCS / "data-contract.md", "toml")
    Path("lesions.contract.toml").write_text(contract)
    return tmp_path


def typed(page: Path) -> None:
    for words in commands(page):
        assert run(hospital_node.cli.app, words[1:]) == 0, words


def pixels() -> list[bytes]:
    return [path.read_bytes() for path in Path("nodes/north/cohort").glob("*/pixels.npy")]


def test_the_commands_of_the_folder_page_do_what_it_says(workplace: Path) -> None:
    typed(PAGES / "folder.md")
    assert len(pixels()) == 1
    typed(PAGES / "index.md")
    assert not list((workplace / "nodes" / "north").glob("spool/*"))


def test_the_contract_of_its_page_is_met_and_its_checks_are_shown(
    workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    typed(PAGES / "folder.md")
    capsys.readouterr()
    shown = [one for one in commands(DOCS / "data-contract.md") if one[2] in {"check", "histogram"}]
    for words in shown:
        assert run(hospital_node.cli.app, words[1:]) == 0, words
    found, _, histogram = capsys.readouterr().out.partition("\n")
    assert json.loads(found)["conforms"]
    assert "drift" not in {one["code"] for one in json.loads(found)["findings"]}
    made = ReferenceHistogram.from_toml(histogram.replace("[reference]\n", ""))
    contract = (workplace / "lesions.contract.toml").read_text()
    agreed = DataContract.from_toml(contract).reference
    assert agreed is not None
    assert agreed.distance_to(made.shares) < 0.01


def test_the_shown_settings_are_read_and_every_key_is_listed() -> None:
    for name, kind in (("pacs", Pacs), ("dicomweb", DicomWeb)):
        page = PAGES / f"{name}.md"
        (shown,) = blocks(page, "toml")
        assert isinstance(getattr(NodeConfig.from_toml(shown), name), kind)
        listed = {
            cells[0].strip("`"): cells[1]
            for _, cells in rows(page)
            if cells[0].startswith("`") and len(cells) == 3
        }
        assert listed == defaults(kind)


def defaults(kind: type[Record]) -> dict[str, str]:
    found = {}
    for name, one in kind.model_fields.items():
        value = one.default
        shown = {str: f'`"{value}"`', tuple: "`[]`", type(None): "none"}.get(type(value))
        found[name] = "needed" if one.is_required() else shown or f"`{value}`"
    return found


@pytest.mark.usefixtures("workplace")
@pytest.mark.parametrize("name", ["pacs", "dicomweb"])
def test_the_commands_of_an_archives_page_do_what_it_says(name: str) -> None:
    typed(PAGES / "folder.md")
    expected = pixels()
    with running() as archive:
        archive.hold(Path("export/dicom"))
        home = NodeHome(Path("nodes/north"))
        home.config.write_text(settings(name, archive))
        home.web_secret.write_text(f"{USER}:{PASSWORD}")
        home.web_secret.chmod(0o600)
        for stored in home.cohort.glob("*/*"):
            stored.unlink()
        for stored in home.cohort.glob("*"):
            stored.rmdir()
        typed(PAGES / f"{name}.md")
    assert pixels() == expected


def settings(name: str, archive: Orthanc) -> str:
    """Return the page's own settings, with the machines of this test."""
    (shown,) = blocks(PAGES / f"{name}.md", "toml")
    for place, value in {
        "pacs.hospital.example/dicom-web": f"127.0.0.1:{archive.web_port}/dicom-web",
        "pacs.hospital.example": "127.0.0.1",
        "https://": "http://",
        'authority = "hospital-ca.pem"\n': "",
        "port = 104": f"port = {archive.dicom_port}",
        "listen_port = 11112": f"listen_port = {archive.node_port}",
        "10.1.2.3": "127.0.0.1",
        "ARCHIVE": "ORTHANC",
        "CONSILIUM": "NODE",
    }.items():
        shown = shown.replace(place, value)
    return shown


def test_masks_lie_where_the_contract_s_page_says(workplace: Path) -> None:
    agreed = DataContract.from_toml(Path("lesions.contract.toml").read_text() + "\n[labels.mask]\n")
    few = agreed.cohort.model_copy(update={"min_patients": 2})
    (table,) = blocks(DOCS / "data-contract.md", "csv")
    (workplace / "labels.csv").write_text(table)
    for number in (1, 2):
        values = pixels_of(number, shape=(32, 32))
        write(image(number, patient=f"P{number}", values=values), workplace / f"dicom/{number}")
    write_picture(workplace / "masks" / "1.png", square(32))
    agreed = agreed.model_copy(update={"cohort": few})
    place = workplace / "store"
    report = ingest(workplace / "dicom", workplace / "labels.csv", agreed, desk=desk(place))
    assert (report.manifest.read, report.manifest.not_used) == (3, ())
    masks = open_cohort(place, agreed.digest).masks
    assert masks is not None
    assert sorted(bool(one.any()) for one in masks) == [False, True]
