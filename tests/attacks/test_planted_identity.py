"""A battery of planted identity: not one byte of it reaches store, journal, logs or messages.

A marker stands in every attribute that PS3.15 table E.1-1 names, in nested sequences, private and
unknown tags, overlays, curves, preamble, file meta information, technical attributes, dates, UIDs,
file names and the labels table. Results are counted under the ten action names of MIDI-B.
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
from hospital_node.cohort.store import open_cohort
from schemas.command_line import run
from schemas.contract import DataContract
from tests.attacks.planted import Planted, exported
from tests.hospital_node.cli.test_cohort import CONTRACT

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
COMMANDS = {
    "init": "init --home home --site n",
    "ingest": "cohort ingest --home home --contract c.toml --source export/dicom --json",
    "again": "cohort ingest --home home --contract c.toml --source export/dicom",
    "show": "cohort show --home home",
}


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
            for name, words in COMMANDS.items():
                places[f"said by {name}"] = spoken(words.split(), folder)
        summary = json.loads(places["said by ingest"].splitlines()[-1])
    finally:
        logging.getLogger().removeHandler(handler)
        logging.getLogger().setLevel(logging.WARNING)
        handler.close()
    places["logs"] = said.read_bytes()
    for path in sorted(home.rglob("*")):
        places[f"name of {path.name}"] = str(path.relative_to(home)).encode()
        if path.is_file():
            places[str(path.relative_to(home))] = path.read_bytes()
    return Outcome(planted, places, summary, home, folder / "export", uids)


def spoken(words: list[str], folder: Path) -> bytes:
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
    assert status == 0, spoken_file.read_text()
    return spoken_file.read_bytes()


def leaks(outcome: Outcome, action: str) -> list[str]:
    """Name the places where a marker of this action stands, in any of its forms."""
    found = []
    for place, content in outcome.places.items():
        lowered = content.lower()
        for marker in sorted(set(outcome.planted.markers[action])):
            wide = marker.decode().lower().encode("utf-16-le")
            if stands(marker.lower(), lowered) or wide in lowered:
                found.append(f"{place}: {marker.decode()}")
    return found


def stands(marker: bytes, content: bytes) -> bool:
    """Say whether a marker is there; of digits alone not as a part of a digest or a key."""
    if not marker.isdigit():
        return marker in content
    return bool(re.search(rb"(?<![0-9a-z+/])" + marker + rb"(?![0-9a-z+/])", content))


def test_what_was_planted_is_read_used_quarantined_and_refused(outcome: Outcome) -> None:
    assert outcome.summary["read"] == 35
    assert outcome.summary["used"] == 24
    assert outcome.summary["quarantined"] == 4
    assert outcome.summary["refused"] == 7
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
    found["uid_consistent"] = ["24 used" in again, "35 files read" in again]
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
