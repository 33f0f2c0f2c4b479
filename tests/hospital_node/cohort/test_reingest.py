"""A second ingest decodes nothing that it knows; people's decisions and withdrawals count."""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hospital_node.cohort import quarantine
from hospital_node.cohort.deidentification import pseudonym
from hospital_node.cohort.ingest import IngestReport
from hospital_node.cohort.quarantine import Decision
from hospital_node.cohort.store import open_cohort
from hospital_node.cohort.withdrawal import withdraw, withdrawn
from hospital_node.cohort.workers import dismiss
from schemas.checks import Severity
from schemas.errors import CohortChanged, CohortRefused
from tests.conftest import ROOT
from tests.hospital_node.cohort.exports import (
    KEY,
    contract,
    image,
    ingested,
    label,
    pixels,
    write,
    write_export,
    write_labels,
)
from tests.readers import readers


@pytest.fixture
def export(tmp_path: Path) -> Path:
    return write_export(tmp_path / "export")


def not_used(report: IngestReport) -> dict[str, int]:
    return {one.code: one.files for one in report.manifest.not_used}


def test_an_unchanged_source_is_not_read_again(export: Path, tmp_path: Path) -> None:
    (export / "dicom" / "note").write_text("no image")
    first = ingested(export, tmp_path / "store")
    dismiss()
    assert ingested(export, tmp_path / "store") == first
    assert readers() == set()


LOOKING = """
import json, sys
from dataclasses import replace
from pathlib import Path
from hospital_node.cohort.ingest import ingest
from tests.hospital_node.cohort.exports import contract, desk
folder, store, now = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
opened = []
def seen(event, arguments):
    if event == "open" and str(folder / "dicom") in str(arguments[0]):
        opened.append(arguments[0])
sys.addaudithook(seen)
where = replace(desk(store), now_ns=lambda: now)
report = ingest(folder / "dicom", folder / "labels.csv", contract(), desk=where)
print(json.dumps([len(opened), report.manifest.digest]))
"""


def looked(export: Path, store: Path, *, now_ns: int) -> tuple[int, str]:
    """Ingest in a process that notes which files it opens; return how many, and the manifest."""
    words = [sys.executable, "-c", LOOKING, str(export), str(store), str(now_ns)]
    said = subprocess.run(words, check=True, capture_output=True, cwd=ROOT)  # noqa: S603 - ours
    opened, digest = json.loads(said.stdout.splitlines()[-1])
    return int(opened), str(digest)


def test_a_settled_source_that_did_not_change_is_only_looked_at(
    export: Path, tmp_path: Path
) -> None:
    store, now = tmp_path / "store", time.time_ns()
    first = looked(export, store, now_ns=now)[1]
    assert looked(export, store, now_ns=now) == (24, first), "not settled: read by their bytes"
    later = now + 60 * 10**9
    assert looked(export, store, now_ns=later) == (24, first), "now the look is noted"
    assert looked(export, store, now_ns=later) == (0, first)
    write(image(0, patient="P000", values=pixels(77)), export / "dicom" / "P000" / "0.dcm")
    opened, digest = looked(export, store, now_ns=later)
    assert opened > 0
    assert digest != first
    assert looked(export, store, now_ns=later) == (0, digest)
    table = export / "labels.csv"
    table.write_text(table.read_text().replace(",1\n", ",0\n"))
    opened, other = looked(export, store, now_ns=later)
    assert opened > 0
    assert other != digest


def test_moved_files_and_other_labels_are_not_decoded_again(export: Path, tmp_path: Path) -> None:
    first = ingested(export, tmp_path / "store")
    dismiss()
    (export / "dicom").rename(export / "aside")
    (export / "aside").rename(export / "dicom")
    table = export / "labels.csv"
    table.write_text(table.read_text().replace(",1\n", ",0\n"))
    again = ingested(export, tmp_path / "store")
    assert readers() == set()
    assert {row.label for row in again.manifest.rows} == {0}
    assert again.manifest.pack == first.manifest.pack


def test_only_new_files_are_read_and_the_result_is_that_of_a_fresh_ingest(
    export: Path, tmp_path: Path
) -> None:
    ingested(export, tmp_path / "store")
    write(image(0, patient="P000", values=pixels(77)), export / "dicom" / "P000" / "0.dcm")
    (export / "dicom" / "P001" / "2.dcm").unlink()
    again = ingested(export, tmp_path / "store")
    fresh = ingested(export, tmp_path / "fresh")
    assert again == fresh


def test_a_damaged_memory_is_begun_anew(export: Path, tmp_path: Path) -> None:
    first = ingested(export, tmp_path / "store")
    (memory,) = tmp_path.glob("store.readings/*.sqlite")
    content = bytearray(memory.read_bytes())
    content[len(content) // 2 :] = bytes(len(content) - len(content) // 2)
    for damage in (bytes(content), b"no database"):
        memory.write_bytes(damage)
        shutil.rmtree(tmp_path / "store")
        assert ingested(export, tmp_path / "store") == first


def test_memory_keeps_what_the_source_holds_and_no_more(export: Path, tmp_path: Path) -> None:
    ingested(export, tmp_path / "store")
    (memory,) = tmp_path.glob("store.readings/*.sqlite")
    plane = np.array(open_cohort(tmp_path / "store", contract().digest).pixels[0])
    assert memory.stat().st_mode & 0o077 == 0
    for path in sorted((export / "dicom" / "P000").iterdir()):
        path.unlink()
    ingested(export, tmp_path / "store")
    assert plane.size == 64
    dismiss()
    write_export(export)
    ingested(export, tmp_path / "store")
    assert readers() != set()


def risky(export: Path, **changes: Any) -> Path:
    write_labels(
        export / "labels.csv",
        [label(n, f"P{n // 2:03d}", str(n // 2 % 2)) for n in range(24)],
    )
    dataset = image(0, patient="P000", BurnedInAnnotation="YES", **changes)
    return write(dataset, export / "dicom" / "P000" / "0.dcm")


def decide(store: Path, verdict: str) -> None:
    (waiting,) = quarantine.waiting(store)
    quarantine.decide(
        store,
        Decision(
            file=waiting.file,
            codes=waiting.codes,
            verdict=verdict,  # type: ignore[arg-type] # of a test
            reviewer="A. Steward",
            decided="2026-01-01T00:00:00.000Z",
        ),
    )


@pytest.mark.parametrize(
    ("verdict", "left"), [("use", {}), ("refuse", {"review-refused": 1})], ids=["use", "refuse"]
)
def test_an_image_waits_for_a_person_and_then_the_decision_holds(
    export: Path, tmp_path: Path, verdict: str, left: dict[str, int]
) -> None:
    risky(export)
    store = tmp_path / "store"
    assert not_used(ingested(export, store)) == {"burned-in-declared": 1}
    (waiting,) = quarantine.waiting(store)
    assert waiting.patient == pseudonym("P000", key=KEY)
    assert waiting.codes == ("burned-in-declared",)
    assert len(quarantine.pictures(store, waiting.file)) == waiting.frames == 1
    assert not_used(ingested(export, store)) == {"burned-in-declared": 1}

    decide(store, verdict)
    dismiss()
    assert not_used(ingested(export, store)) == left
    assert readers() == set()
    assert quarantine.waiting(store) == ()


def test_another_risk_or_other_bytes_ask_again(export: Path, tmp_path: Path) -> None:
    risky(export)
    store = tmp_path / "store"
    ingested(export, store)
    decide(store, "use")
    risky(export, ImageType=["DERIVED", "SECONDARY"])
    assert not_used(ingested(export, store)) == {"burned-in-declared": 1}
    assert len(quarantine.waiting(store)) == 1


def test_what_left_the_source_no_longer_waits(export: Path, tmp_path: Path) -> None:
    path = risky(export)
    ingested(export, tmp_path / "store")
    path.unlink()
    ingested(export, tmp_path / "store")
    assert quarantine.waiting(tmp_path / "store") == ()


@pytest.mark.parametrize("burned_in", ["warn", "block"])
def test_a_contract_that_does_not_quarantine_asks_nobody_or_stores_nothing(
    export: Path, tmp_path: Path, burned_in: Severity
) -> None:
    risky(export)
    if burned_in == "block":
        with pytest.raises(CohortRefused):
            ingested(export, tmp_path / "store", contract(burned_in=burned_in))
    else:
        report = ingested(export, tmp_path / "store", contract(burned_in=burned_in))
        assert not_used(report) == {}
        assert quarantine.waiting(tmp_path / "store") == ()


def test_a_withdrawn_patient_leaves_everything_but_the_registers(
    export: Path, tmp_path: Path
) -> None:
    risky(export)
    store = tmp_path / "store"
    ingested(export, store)
    before = open_cohort(store, contract().digest)
    kept = {row.image: np.array(before.pixels[n]) for n, row in enumerate(before.manifest.rows)}
    register = (tmp_path / "store.parts.json").read_bytes()
    patient = pseudonym("P000", key=KEY)

    result = withdraw(store, [patient])

    after = open_cohort(store, contract().digest)
    assert (result.patients, result.images) == (1, 1)
    assert result.changed == (contract().digest,)
    assert withdrawn(store) == {patient}
    assert after.digest != before.digest
    assert after.manifest.read == before.manifest.read
    assert {row.patient for row in before.manifest.rows} - {
        row.patient for row in after.manifest.rows
    } == {patient}
    assert all(
        (after.pixels[n] == kept[row.image]).all() for n, row in enumerate(after.manifest.rows)
    )
    assert quarantine.waiting(store) == ()
    assert (tmp_path / "store.parts.json").read_bytes() == register
    gone = next(row.image for row in before.manifest.rows if row.patient == patient)
    memory = b"".join(path.read_bytes() for path in tmp_path.glob("store.readings/*"))
    assert gone.encode() not in memory
    assert patient.encode() not in memory


def test_a_withdrawn_patient_never_comes_back(export: Path, tmp_path: Path) -> None:
    risky(export)
    store = tmp_path / "store"
    ingested(export, store)
    withdraw(store, [pseudonym("P000", key=KEY)])
    for _ in range(2):
        report = ingested(export, store)
        assert not_used(report) == {"withdrawn": 2}
        assert report.manifest.read == 24
        assert quarantine.waiting(store) == ()


def test_a_cohort_that_is_too_small_without_the_patient_is_removed(
    export: Path, tmp_path: Path
) -> None:
    agreed = contract(min_patients=12)
    ingested(export, tmp_path / "store", agreed)
    result = withdraw(tmp_path / "store", [pseudonym("P000", key=KEY)])
    assert result.removed == (agreed.digest,)
    with pytest.raises(CohortRefused, match="found none"):
        open_cohort(tmp_path / "store", agreed.digest)


def test_a_stranger_can_withdraw_in_advance(export: Path, tmp_path: Path) -> None:
    first = ingested(export, tmp_path / "store")
    result = withdraw(tmp_path / "store", [pseudonym("nobody", key=KEY)])
    assert (result.patients, result.changed) == (0, ())
    assert open_cohort(tmp_path / "store", contract().digest).manifest == first.manifest


def test_a_damaged_register_of_withdrawals_is_refused(export: Path, tmp_path: Path) -> None:
    (tmp_path / "store.withdrawn.json").write_text("{}")
    with pytest.raises(CohortChanged, match="register of withdrawn patients that is damaged"):
        ingested(export, tmp_path / "store")
