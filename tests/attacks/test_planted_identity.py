"""A battery of planted identity: not one byte of it reaches store, journal, logs or messages.

A marker stands in every attribute that PS3.15 table E.1-1 names, in nested sequences, private and
unknown tags, overlays, curves, preamble, file meta information, technical attributes, dates, ages,
UIDs, bits above the stored ones, code streams, other alphabets, archives, file names and the labels
table. Results are counted under the ten action names of MIDI-B.
"""

import json
import logging
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.datadict import dictionary_VR, tag_for_keyword

import hospital_node.cli
from hospital_node.cohort.deidentification import ALLOWED, PLACE, WINDOW, technical
from hospital_node.cohort.dicom import Image, read
from hospital_node.cohort.store import open_cohort
from schemas.command_line import run
from schemas.contract import DataContract
from tests.attacks.planted import Planted, exported
from tests.attacks.planted_streams import raised, zipped
from tests.hospital_node.cli.test_cohort import CONTRACT
from tests.hospital_node.cohort.exports import image, write

MIDI_B = (
    "tag_retained",
    "text_notnull",
    "text_retained",
    "text_removed",
    "date_shifted",
    "uid_changed",
    "uid_consistent",
    "patid_consistent",
    "pixels_hidden",
    "pixels_retained",
)
INGEST = "cohort ingest --home home --contract c.toml --source export/dicom"
COMMANDS = {
    "init": ("init --home home --site n", 0),
    "ingest": (f"{INGEST} --json", 0),
    "again": (INGEST, 0),
    "show": ("cohort show --home home", 0),
    "check": ("cohort check --home home --contract c.toml --format json", 0),
    "histogram": ("cohort histogram --home home --contract c.toml --range -2 2", 0),
    "review": ("cohort review --home home", 0),
    # An archive of the same, in a home of its own: its spool, too, must hold nothing afterwards.
    "other init": ("init --home zip --site n", 0),
    "zip": (
        "cohort ingest --home zip --contract c.toml --source export.zip --labels export/labels.csv",
        0,
    ),
    # Faults that a table or a source may have.
    "unknown label": (f"{INGEST} --labels unknown.csv", 2),
    "repeated row": (f"{INGEST} --labels repeated.csv", 2),
    "shifted row": (f"{INGEST} --labels shifted.csv", 2),
    "no table": (f"{INGEST} --labels QXWZ0000VKJY.csv", 2),
    "no source": ("cohort ingest --home home --contract c.toml --source QXWZ0000VKJY", 2),
    "nothing fits": ("cohort ingest --home home --contract other.toml --source export/dicom", 4),
}
"""What is typed, and the exit status that it must have."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Everything that an ingest left or said, and what was planted."""

    planted: Planted
    places: dict[str, bytes]
    summary: dict[str, object]
    home: Path
    export: Path
    uids: list[str]


@pytest.fixture(scope="module")
def table(shared_vectors: Path) -> list[dict[str, str]]:
    found = json.loads((shared_vectors / "ps315-E.1-1-2025a.json").read_text(encoding="utf-8"))
    assert isinstance(found, list)
    return found


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory, table: list[dict[str, str]]) -> Outcome:
    folder = tmp_path_factory.mktemp("planted")
    planted = Planted()
    uids = exported(folder / "export", table, planted)
    (folder / "c.toml").write_text(CONTRACT, encoding="utf-8")
    planted.markers["text_removed"].append(b"QXWZ0000VKJY")
    zipped(folder / "export" / "dicom", folder / "export.zip", planted)
    spoil_tables(folder)
    said = folder / "said.log"
    handler = logging.FileHandler(said)
    logging.getLogger().addHandler(handler)
    logging.getLogger().setLevel(logging.DEBUG)
    places: dict[str, bytes] = {}
    summary: dict[str, object] = {}
    home = folder / "home"
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(folder)
            for name, (words, status) in COMMANDS.items():
                places[f"said by {name}"] = spoken(words.split(), folder, expect=status)
        summary = json.loads(places["said by ingest"].splitlines()[-1])
    finally:
        logging.getLogger().removeHandler(handler)
        logging.getLogger().setLevel(logging.WARNING)
        handler.close()
    places["logs"] = said.read_bytes()
    for path in sorted((*home.rglob("*"), *(folder / "zip").rglob("*"))):
        places[f"name of {path.name}"] = str(path.relative_to(folder)).encode()
        if path.is_file():
            places[str(path.relative_to(folder))] = path.read_bytes()
    return Outcome(planted, places, summary, home, folder / "export", uids)


def spoil_tables(folder: Path) -> None:
    """Write labels tables with one fault each, and a contract that nothing fits."""
    lines = (folder / "export" / "labels.csv").read_text(encoding="utf-8").splitlines()
    first = lines[1].split(",")
    for name, line in {
        "unknown": ",".join([*first[:2], "QXWZ0000VKJY", *first[3:]]),
        "repeated": lines[2],
        "shifted": lines[1] + ",QXWZ0000VKJY",
    }.items():
        changed = "\n".join([lines[0], line, *lines[2:]])
        (folder / f"{name}.csv").write_text(changed + "\n", encoding="utf-8")
    other = CONTRACT.replace('modalities = ["DX"]', 'modalities = ["CT"]')
    (folder / "other.toml").write_text(other, encoding="utf-8")


def spoken(words: list[str], folder: Path, *, expect: int) -> bytes:
    """Run a command and return all that it wrote, even below Python's own streams."""
    spoken_file = folder / "spoken"
    kept = [os.dup(1), os.dup(2)]
    with spoken_file.open("wb") as file:
        sys.stdout.flush()
        sys.stderr.flush()
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        before = sys.stdout, sys.stderr
        sys.stdout = sys.stderr = open(os.dup(1), "w", buffering=1)  # noqa: SIM115, PTH123
        try:
            status = run(hospital_node.cli.app, words)
        finally:
            sys.stdout.close()
            sys.stdout, sys.stderr = before
            for number, one in zip((1, 2), kept, strict=True):
                os.dup2(one, number)
                os.close(one)
    assert status == expect, spoken_file.read_text()
    return spoken_file.read_bytes()


def leaks(outcome: Outcome, action: str) -> list[str]:
    """Name the places where a marker of this action stands, in any of its forms.

    Markers are searched for where the beginning that they share with others stands.
    """
    groups: dict[str, list[str]] = {}
    for marker in sorted({one.decode() for one in outcome.planted.markers[action]}):
        groups.setdefault(marker[:SHARED], []).append(marker)
    found = []
    for place, content in outcome.places.items():
        # Text in the high bytes of pixels stands at every second byte.
        whole = content.lower()
        lowered = whole + b"\n" + whole[::2] + b"\n" + whole[1::2]
        for shared, markers in groups.items():
            if any(one in lowered for one in forms(shared.lower())):
                found += [f"{place}: {one}" for one in markers if is_in(one, lowered)]
    return found


SHARED = 5


def is_in(marker: str, lowered: bytes) -> bool:
    return any(stands(one, lowered) for one in forms(marker.lower()))


def forms(marker: str) -> list[bytes]:
    """Return a marker as the alphabets of DICOM and of programs write it."""
    escaped = json.dumps(marker)[1:-1]
    written = [marker.encode(), marker.encode("utf-16-le"), escaped.encode()]
    if not marker.isascii():
        written.append(marker.encode("iso2022_jp").removesuffix(b"\x1b(B").lower())
    return written


def stands(marker: bytes, content: bytes) -> bool:
    """Say whether a marker is there; of digits alone not as a part of a digest or a key."""
    if not marker.isdigit():
        return marker in content
    return bool(re.search(rb"(?<![0-9a-z+/])" + marker + rb"(?![0-9a-z+/])", content))


def test_what_was_planted_is_read_used_quarantined_and_refused(outcome: Outcome) -> None:
    assert outcome.summary["read"] == 37
    assert outcome.summary["used"] == 24
    assert outcome.summary["quarantined"] == 4
    assert outcome.summary["refused"] == 9
    assert b"24 used, 4 quarantined" in outcome.places["said by zip"]
    assert sum(map(len, outcome.planted.markers.values())) > 3000
    assert {"cohort.quarantine", "cohort.readings"} <= {
        path.name for path in outcome.home.iterdir()
    }


@pytest.mark.parametrize("action", ["text_removed", "date_shifted", "uid_changed"])
def test_no_marker_is_found_anywhere(outcome: Outcome, action: str) -> None:
    assert len(outcome.planted.markers[action]) > 100
    assert leaks(outcome, action) == []


def test_the_search_would_find_a_marker(outcome: Outcome) -> None:
    marker = outcome.planted.markers["text_removed"][5]
    told = Outcome(
        outcome.planted, {"store": b"..." + marker}, {}, outcome.home, outcome.export, []
    )
    assert leaks(told, "text_removed") == [f"store: {marker.decode()}"]


def test_text_above_the_stored_bits_is_neither_stored_nor_shown(tmp_path: Path) -> None:
    agreed = DataContract.from_toml(CONTRACT)
    clean = image(1, patient="P", BurnedInAnnotation="YES")
    dirty = image(1, patient="P", BurnedInAnnotation="YES")
    raised(dirty, Planted())
    low = np.frombuffer(clean.PixelData, "<u2") & 0xFF
    clean.BitsStored, clean.HighBit, clean.PixelData = 8, 7, low.astype("<u2").tobytes()
    first, second = (read(write(one, tmp_path / "file"), agreed) for one in (clean, dirty))
    assert isinstance(first, Image)
    assert isinstance(second, Image)
    assert clean.PixelData != dirty.PixelData
    assert second.frames[0].plane.tobytes() == first.frames[0].plane.tobytes()
    assert second.frames[0].digest == first.frames[0].digest
    assert second.pages == first.pages != ()


def test_kept_attributes_are_none_of_the_standards_table(table: list[dict[str, str]]) -> None:
    named = {row["id"].lower(): row for row in table}
    for keyword in (*ALLOWED, *PLACE, *WINDOW):
        tag = tag_for_keyword(keyword)
        assert tag is not None
        assert f"{tag:08x}" not in named, keyword
        assert tag >> 16 in {0x0008, 0x0018, 0x0020, 0x0028, 0x3004}
        assert dictionary_VR(tag) in {"CS", "UI", "US", "IS", "DS"}


def scored(outcome: Outcome) -> dict[str, tuple[int, int]]:
    """Return, for each of MIDI-B's actions, how many checks passed and how many there were."""
    cohort = open_cohort(outcome.home / "cohort", DataContract.from_toml(CONTRACT).digest)
    found: dict[str, list[bool]] = {one: [] for one in MIDI_B}
    for action in ("text_removed", "date_shifted", "uid_changed"):
        missed = {one.rsplit(": ")[-1] for one in leaks(outcome, action)}
        found[action] = [one.decode() not in missed for one in outcome.planted.markers[action]]
    for path in sorted((outcome.export / "dicom").rglob("*.dcm"))[:24]:
        dataset = pydicom.dcmread(path)
        kept = technical(dataset)
        for keyword in ("Modality", "PhotometricInterpretation", "BitsStored", "Rows"):
            found["tag_retained"].append(keyword in kept)
            found["text_notnull"].append(bool(kept.get(keyword)))
            found["text_retained"].append(kept.get(keyword) == str(dataset[keyword].value))
    rows = cohort.manifest.rows
    found["patid_consistent"] = [
        sum(row.patient == patient for row in rows) == 2
        for patient in {row.patient for row in rows}
    ]
    again = outcome.places["said by again"].decode()
    found["uid_consistent"] = ["24 used" in again, "37 files read" in again]
    digests = {row.image for row in rows}
    found["pixels_retained"] = [
        bool(np.ptp(one) > 0 and np.isfinite(one).all()) for one in cohort.pixels
    ]
    waiting = {
        json.loads(path.read_bytes())["image"]
        for path in (outcome.home / "cohort.quarantine").glob("*/quarantined.json")
    }
    found["pixels_hidden"] = [one not in digests for one in waiting]
    return {action: (sum(map(bool, checks)), len(checks)) for action, checks in found.items()}


def test_every_action_of_midi_b_passes_every_check(outcome: Outcome) -> None:
    scores = scored(outcome)
    assert tuple(scores) == MIDI_B
    assert {action: passed for action, (passed, _) in scores.items()} == {
        action: total for action, (_, total) in scores.items()
    }
    assert all(total > 0 for _, total in scores.values())
    assert scores["pixels_hidden"][1] == 4
