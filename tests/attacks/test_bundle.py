"""Whoever changes a bundle, or rewrites a log and signs it again."""

import json
from pathlib import Path
from random import Random

import pytest
import rfc8785

from schemas.audit.notes import TreeHead, signed_head, vkey, witness_name
from schemas.audit.verification.container import NotABundle
from schemas.audit.verification.findings import Findings
from schemas.audit.verification.parties import PolicyUnfit, of_policy, policy_text
from tests.bundles import (
    CHANGES,
    FOLDERS,
    OWN,
    Change,
    Finished,
    finished,
    held,
    repacked,
    understood,
)
from tests.masked import FOUR


def places(findings: Findings, log: str) -> list[int]:
    return [one.index for one in findings.faults if one.log == log and one.index is not None]


def test_an_untouched_bundle_verifies_in_both_ways(tmp_path: Path) -> None:
    run = finished()
    findings, result = understood(repacked(run.files), tmp_path)
    assert findings.faults == []
    assert [(one.log, one.found[:6]) for one in findings.remarks] == [(OWN, "events")]
    assert tuple(sorted(result.epsilon)) == FOUR
    assert all(set(parts) == {"train", "validation"} for parts in result.epsilon.values())
    assert result.verdicts.keys() == {1, 2}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("origin", FOLDERS)
def test_every_changed_event_is_named_by_log_and_index(
    tmp_path: Path, origin: str, change: Change
) -> None:
    run = finished()
    lines = run.lines(origin)
    for index in range(len(lines)):
        other = change(lines, index)
        if other == lines:
            continue
        content = b"".join(line + b"\n" for line in other)
        findings = held(repacked(run.files | {FOLDERS[origin] + "events.jsonl": content}), tmp_path)
        named = places(findings, origin)
        expected = index + 1 if len(other) > len(lines) else index
        assert expected in named, (origin, index, findings.faults)


@pytest.mark.parametrize("origin", FOLDERS)
def test_every_event_rewritten_by_its_owner_alone_is_found(tmp_path: Path, origin: str) -> None:
    """The owner hashes and signs anew; what others cosigned and received stands against it."""
    run = finished()
    lines = run.lines(origin)
    for index, line in enumerate(lines):
        event = json.loads(line) | {"time": "2020-01-01T00:00:00.000Z"}
        other = [*lines[:index], rfc8785.dumps(event), *lines[index + 1 :]]
        findings = held(repacked(run.rewritten(origin, other)), tmp_path)
        if origin == OWN and index >= _covered(run):
            continue  # told as a remark: no witness has seen these yet
        named = [one for one in findings.faults if one.log == origin and one.index is not None]
        assert named, (origin, index)
        assert min(one.index for one in named if one.index is not None) <= index


def _covered(run: Finished) -> int:
    sizes = [int(name[-12:]) for name in run.files if name.startswith("logs/aggregator/heads/0")]
    return max(sizes)


@pytest.mark.parametrize("origin", FOLDERS)
def test_an_entry_taken_out_of_one_side_is_found_on_the_other(tmp_path: Path, origin: str) -> None:
    run = finished()
    kinds = (b'"kind":"reply-sent"', b'"kind":"reply-received"', b'"kind":"request-sent"')
    lines = run.lines(origin)
    seen = 0
    for index, line in enumerate(lines):
        if not any(kind in line for kind in kinds):
            continue
        seen += 1
        left = [json.loads(one) for one in lines[:index] + lines[index + 1 :]]
        other = [rfc8785.dumps(one | {"sequence": at}) for at, one in enumerate(left)]
        findings = held(repacked(run.rewritten(origin, other)), tmp_path)
        alone = [one for one in findings.faults if "log" in one.found and one.log != origin]
        assert alone, (origin, index)
        assert all(one.index is not None for one in alone)
    assert seen >= 4


def test_a_fork_shown_to_one_site_is_found_in_its_log(tmp_path: Path) -> None:
    run = finished()
    lines = run.lines("site/east")
    index = next(at for at, one in enumerate(lines) if b'"kind":"head-cosigned"' in one)
    event = json.loads(lines[index])
    event["facts"]["head"] = signed_head(TreeHead(OWN, 9, b"\5" * 32), run.keys[OWN])
    other = [*lines[:index], rfc8785.dumps(event), *lines[index + 1 :]]
    findings = held(repacked(run.rewritten("site/east", other)), tmp_path)
    assert any(
        one.log == OWN and "rewritten, or its owner showed" in one.meaning
        for one in findings.faults
    )


FLIPS = 60


def test_a_changed_byte_anywhere_is_found(tmp_path: Path) -> None:
    assert _flips(tmp_path, FLIPS, seed=7) == FLIPS


@pytest.mark.soak
def test_five_thousand_changed_bytes_are_found(tmp_path: Path) -> None:
    assert _flips(tmp_path, 5000, seed=8) == 5000


def _flips(folder: Path, count: int, *, seed: int) -> int:
    """Change one byte at a time, anywhere in the file; return how many were found."""
    content, random, found = repacked(finished().files), Random(seed), 0  # noqa: S311 - no secret
    for _ in range(count):
        place, mask = random.randrange(len(content)), random.randrange(1, 256)
        changed = bytearray(content)
        changed[place] ^= mask
        try:
            found += bool(held(bytes(changed), folder).faults)
        except NotABundle:
            found += 1
    return found


def test_every_file_changed_added_or_taken_out_is_named(tmp_path: Path) -> None:
    run = finished()
    for name in run.files:
        if name in {"bundle.json", "roster.json", "plan.json"}:
            continue
        changed = run.files | {name: run.files[name] + b"x"}
        assert name in {one.log for one in held(repacked(changed), tmp_path).faults}
        without = {other: run.files[other] for other in run.files if other != name}
        if not name.endswith("events.jsonl"):
            assert name in {one.log for one in held(repacked(without), tmp_path).faults}
    added = held(repacked(run.files | {"more.txt": b"more"}), tmp_path)
    assert [one.log for one in added.faults] == ["more.txt"]


def test_a_bundle_of_strangers_fails_a_policy_and_passes_its_own(tmp_path: Path) -> None:
    run = finished()
    content = repacked(run.files)
    roster = json.loads(
        __import__("base64").b64decode(json.loads(run.files["roster.json"])["payload"])
    )
    logs = [vkey(OWN, roster["aggregator"])]
    logs += [vkey(f"site/{one['site']}", one["key"]) for one in roster["members"]]
    witnesses = [
        f"witness {one['site']} {vkey(witness_name(one['site']), one['witness'], is_witness=True)}"
        for one in roster["members"]
    ]
    lines = [f"log {one}" for one in logs] + witnesses
    policy = "\n".join([*lines, "group sites 3 east north south west", "quorum sites # a majority"])
    assert held(content, tmp_path, policy).faults == []
    assert held(content, tmp_path, policy.replace("quorum sites", "quorum none")).faults == []
    for text in (policy, policy.replace("quorum sites", "quorum none")):
        assert of_policy(policy_text(of_policy(text))) == of_policy(text)
    stranger = policy.replace(logs[1], vkey("site/east", run.keys["site/west"].public))
    assert "site/east" in {one.log for one in held(content, tmp_path, stranger).faults}
    fewer = "\n".join([*lines[:-1], "group sites all east north south", "quorum sites"])
    assert "site/west/witness" in {one.log for one in held(content, tmp_path, fewer).faults}
    for unfit in ("", "quorum sites", f"{policy}\nquorum none", f"{policy}\nnonsense"):
        with pytest.raises(PolicyUnfit):
            held(content, tmp_path, unfit)


def test_an_event_of_another_version_keeps_its_integrity_and_is_told(tmp_path: Path) -> None:
    run = finished()
    lines = run.lines(OWN)
    event = json.loads(lines[-1]) | {
        "schema_version": 7,
        "sequence": len(lines),
        "facts": {"kind": "of-later", "more": [1]},
    }
    findings, _ = understood(repacked(run.rewritten(OWN, [*lines, rfc8785.dumps(event)])), tmp_path)
    assert findings.faults == []
    assert any("cannot read (kind 'of-later')" in one.found for one in findings.remarks)


LIES = {
    "an epsilon": ("site/east", "reserved", "the charges give"),
    "a verdict": (OWN, "verdict-given", "is not what the sites' histograms give"),
    "an edge": (OWN, "round-moved", "no round moves from"),
    "a model": (OWN, "checkpoint-stored", "a model without its manifest"),
}


@pytest.mark.parametrize(("origin", "kind", "expected"), LIES.values(), ids=LIES)
def test_a_lie_in_an_event_does_not_follow_from_the_others(
    tmp_path: Path, origin: str, kind: str, expected: str
) -> None:
    run = finished()
    lines = run.lines(origin)
    index = next(at for at, one in enumerate(lines) if f'"kind":"{kind}"'.encode() in one)
    event = json.loads(lines[index])
    match kind:
        case "reserved":
            event["facts"]["spent"] |= {"rdp": 0.5, "pld": 0.4}
        case "verdict-given":
            said = event["facts"]["verdict"]
            said["outcome"] = "rejected" if said["outcome"] == "accepted" else "accepted"
        case "round-moved":
            event["facts"]["target"] = "accepted"
        case _:
            event["facts"]["arrays"] = "sha256:" + "0" * 64
    other = [*lines[:index], rfc8785.dumps(event), *lines[index + 1 :]]
    findings, _ = understood(repacked(run.rewritten(origin, other)), tmp_path)
    told = [one for one in findings.faults if expected in one.found]
    assert [(one.log, one.index) for one in told][:1] == [(origin, index)]


def bare(note: bytes) -> bytes:
    """Take the cosignatures off a head; the owner's signature stands first."""
    text, _, signatures = note.partition(b"\n\n")
    return text + b"\n\n" + signatures.split(b"\n")[0] + b"\n"


@pytest.mark.parametrize("taken_out", [True, False], ids=["heads", "cosignatures"])
def test_the_end_of_a_run_needs_the_cosignatures_that_sites_say_they_gave(
    tmp_path: Path, *, taken_out: bool
) -> None:
    run = finished()
    heads = sorted(name for name in run.files if name.startswith("logs/aggregator/heads/0"))
    ends = next(at for at, one in enumerate(run.lines(OWN)) if b'"kind":"run-closed"' in one)
    assert _covered(run) > ends
    others = dict(run.files)
    for name in heads[1:]:
        content = others.pop(name)
        if not taken_out:
            others[name] = bare(content)
    first = int(heads[0][-12:])
    findings = held(repacked(run.listed(others)), tmp_path)
    told = [one for one in findings.faults if "a quorum of sites cosigned" in one.found]
    assert [(one.log, one.index) for one in told] == [(OWN, first)]
