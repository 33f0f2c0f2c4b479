"""Markers planted wherever an export names somebody, and a search for them afterwards."""

import csv
import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset

import aggregator.cli
from aggregator.runs import conduct
from schemas.command_line import run
from schemas.wire.packet import Packet
from tests.study import Direct, Study, approved, command, conducting, ingest, made

# Long enough that no digest, key or signature in base64 spells it by chance.
MARKER = re.compile(rb"qxwzvkjy", re.IGNORECASE)


@pytest.fixture
def study(tmp_path: Path) -> Study:
    """A study whose east hospital exports images that are full of names."""
    study = made(tmp_path, private=True, approve=False)
    plant(study.folder / "data" / "east")
    ingest(study, "east")
    for site in study.nodes:
        approved(study, site, private=True)
    return study


def plant(export: Path) -> None:
    """Rename patients and files, and write markers where the allow-list does not look."""
    with (export / "labels.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    names = {one: f"QXWZVKJY-PATIENT-{n}" for n, one in enumerate({r["patient_id"] for r in rows})}
    for number, path in enumerate(sorted(export.rglob("*.dcm"))):
        dataset = pydicom.dcmread(path)
        dataset.PatientID = names[str(dataset.PatientID)]
        name(dataset)
        path.unlink()
        dataset.save_as(path.with_name(f"QXWZVKJY-FILE-{number}.dcm"))
    with (export / "labels.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, [*rows[0], "remark"])
        writer.writeheader()
        writer.writerows(
            row | {"patient_id": names[row["patient_id"]], "remark": "QXWZVKJY-REMARK"}
            for row in rows
        )


def name(dataset: Dataset) -> None:
    dataset.PatientName = "QXWZVKJY^NAME"
    dataset.PatientAddress = "1 QXWZVKJY STREET"
    dataset.PatientComments = dataset.ImageComments = "QXWZVKJY comment"
    dataset.InstitutionName = dataset.StationName = dataset.Manufacturer = "QXWZVKJY"
    dataset.ReferringPhysicianName = "QXWZVKJY^DOCTOR"
    dataset.StudyDescription = dataset.SeriesDescription = "QXWZVKJY"
    dataset.AccessionNumber = "QXWZVKJY"
    block = dataset.private_block(0x0009, "QXWZVKJY CREATOR", create=True)
    block.add_new(0x01, "LO", "QXWZVKJY private")
    nested = Dataset()
    nested.PatientID = "QXWZVKJY-OTHER"
    dataset.OtherPatientIDsSequence = [nested]


def identifiers(study: Study) -> Iterator[bytes]:
    """Yield the UIDs of the planted export, which are as good as names."""
    for path in sorted((study.folder / "data" / "east").rglob("*.dcm")):
        dataset = pydicom.dcmread(path, stop_before_pixels=True)
        for keyword in ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID"):
            yield str(dataset[keyword].value).encode()


def test_no_planted_marker_leaves_the_source(
    study: Study, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    carried: list[bytes] = []

    def carry(_: str, reply: Packet) -> Packet:
        carried.extend((reply.envelope, reply.body))
        return reply

    with conducting(study, carry) as (embedded, conducted, _):
        conducted()
        embedded.nodes["east"].cohort_folder.rename(study.folder / "aside")
        name = study.started(embedded.federation)
        conduct(embedded.federation, name, Direct(embedded.nodes).tampering(carry), lambda _: None)
    assert run(aggregator.cli.app, ["audit", "report", "--home", str(study.aggregator)]) == 0
    command("cohort", "show", "--home", study.nodes["north"])
    said = capfd.readouterr()
    found = {
        "replies": b"".join(carried),
        "logs": caplog.text.encode(),
        "screen": (said.out + said.err).encode(),
        **{
            str(path.relative_to(study.folder)): path.read_bytes()
            for home in (study.aggregator, study.nodes["east"], study.folder / "aside")
            for path in home.rglob("*")
            if path.is_file()
        },
    }
    assert len(found) > 20
    assert any(name.endswith("report.html") for name in found)
    known = set(identifiers(study))
    assert len(known) > 30
    for place, content in found.items():
        assert not MARKER.search(content), place
        assert not [one for one in known if one in content], place


def test_a_refused_export_names_nobody(
    study: Study, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    export = study.folder / "data" / "east"
    capfd.readouterr()
    table = (export / "labels.csv").read_text()
    (export / "labels.csv").write_text(table.replace(",0,", ",QXWZVKJY-LABEL,"))
    ingest(study, "east", expect=2)
    (export / "labels.csv").write_text(table)
    for path in export.rglob("*.dcm"):
        path.write_bytes(b"QXWZVKJY " + path.read_bytes()[7:128] + b"DICM QXWZVKJY")
    ingest(study, "east", expect=4)
    said = capfd.readouterr()
    assert "labels table refused" in said.err
    assert "source refused" in said.err
    assert "qxwzvkjy" not in (said.out + said.err + caplog.text).lower()
