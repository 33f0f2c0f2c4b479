"""Bundles that no aggregator packs: refused as a whole, or told as faults, never a crash."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
import rfc8785

from schemas.audit.verification.container import MOST_LINE, NotABundle
from schemas.audit.verification.integrity import opened
from schemas.wire.envelope import Envelope
from schemas.wire.keys import SigningKey
from tests.bundles import FOLDERS, OWN, finished, held, repacked

DEEP = b"[" * 200_000
WEST = "site/west"


def as_signed(kind: str, fields: dict[str, Any], key: SigningKey) -> bytes:
    """Sign fields that no record of this kind would let pass."""
    payload = rfc8785.dumps(fields)
    message = b"DSSEv1 %d %b %d %b" % (len(kind), kind.encode(), len(payload), payload)
    return json.dumps(
        {"kind": kind, "payload": b64(payload), "signature": b64(key.sign(message))},
        separators=(",", ":"),
    ).encode()


def b64(content: bytes) -> str:
    return base64.b64encode(content).decode()


@pytest.mark.parametrize(
    "changes", [{"time": 5}, {"time": []}, {"sequence": True}, {"sequence": "0"}, {"origin": 3}]
)
def test_an_event_of_other_types_is_a_fault_of_its_log(
    tmp_path: Path, changes: dict[str, object]
) -> None:
    run = finished()
    lines = run.lines(WEST)
    lines[1] = rfc8785.dumps(json.loads(lines[1]) | changes)
    findings = held(repacked(run.rewritten(WEST, lines)), tmp_path)
    assert (WEST, 1) in [(one.log, one.index) for one in findings.faults]


@pytest.mark.parametrize("begins", [b"", b'{"kind":"key-replaced","a":'])
def test_an_event_nested_without_end_is_a_fault_of_its_log(tmp_path: Path, begins: bytes) -> None:
    run = finished()
    lines = run.lines(WEST)
    lines[1] = begins + DEEP
    findings = held(repacked(run.rewritten(WEST, lines)), tmp_path)
    assert (WEST, 1) in [(one.log, one.index) for one in findings.faults]


@pytest.mark.parametrize("name", ["bundle.json", "roster.json", "plan.json"])
def test_a_file_nested_without_end_makes_no_bundle(tmp_path: Path, name: str) -> None:
    run = finished()
    path = tmp_path / "deep.zip"
    files = run.files | {name: DEEP}
    path.write_bytes(repacked(run.listed(files) if name == "plan.json" else files))
    with pytest.raises(NotABundle):
        opened(path)


@pytest.mark.parametrize("lacks", ["aggregator", "members", "federation"])
def test_a_signed_roster_without_its_fields_makes_no_bundle(tmp_path: Path, lacks: str) -> None:
    run = finished()
    fields = json.loads(Envelope.from_canonical(run.files["roster.json"]).payload_bytes)
    del fields[lacks]
    key = SigningKey.generate()
    files = {
        "roster.json": as_signed("Roster", fields, key),
        "bundle.json": as_signed("BundleList", {"root": key.public}, key),
    }
    path = tmp_path / "lacks.zip"
    path.write_bytes(repacked(run.files | files))
    with pytest.raises(NotABundle, match=r"roster\.json lacks what a roster must hold"):
        opened(path)


def test_a_log_without_line_ends_is_refused_and_not_gathered(tmp_path: Path) -> None:
    run = finished()
    content = bytes(MOST_LINE + (2 << 20))
    with pytest.raises(NotABundle, match="a line of"):
        held(repacked(run.listed(run.files | {FOLDERS[OWN] + "events.jsonl": content})), tmp_path)
