"""The verifier holds every conformance report against its signature, contract, plan and charges."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import rfc8785

from schemas.conformance import ConformanceReport
from schemas.names import digest_of
from schemas.wire.envelope import opened, signed
from tests.bundles import OWN, Files, Finished, finished_study, repacked, understood
from tests.reporting import reporting


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    return finished_study(reporting(tmp_path_factory.mktemp("whole") / "study"))


def faults(files: Files, folder: Path) -> list[str]:
    return [str(one) for one in understood(repacked(files), folder)[0].faults]


def kind_of(line: bytes) -> str:
    return str(json.loads(line)["facts"]["kind"])


def altered(whole: Finished, change: Callable[[dict[str, Any]], None]) -> Files:
    """Change what the aggregator's log says of west's report, and sign the log anew."""
    lines = []
    for line in whole.lines(OWN):
        event = json.loads(line)
        if event["facts"]["kind"] == "conformance-received" and event["facts"]["site"] == "west":
            change(event["facts"])
        lines.append(rfc8785.dumps(event))
    return whole.rewritten(OWN, lines)


def test_a_run_with_reports_verifies(whole: Finished, tmp_path: Path) -> None:
    assert faults(whole.files, tmp_path) == []
    assert len([name for name in whole.files if name.startswith("conformance/")]) == 3


def test_what_the_log_says_of_a_report_stands_in_it(whole: Finished, tmp_path: Path) -> None:
    def other(facts: dict[str, Any]) -> None:
        facts["declared"][0]["patients"] += 1

    found = faults(altered(whole, other), tmp_path)
    assert any("says of west's conformance report what does not stand in it" in o for o in found)


def test_a_report_that_was_taken_out_is_missed(whole: Finished, tmp_path: Path) -> None:
    files = {name: one for name, one in whole.files.items() if name != _name(whole, "west")}
    found = faults(whole.listed(files), tmp_path)
    assert any("a conformance report of west that is not here" in one for one in found)


def test_a_report_that_never_left_is_a_fault(whole: Finished, tmp_path: Path) -> None:
    def invented(facts: dict[str, Any]) -> None:
        facts["report"] = digest_of(b"")

    found = faults(altered(whole, invented), tmp_path)
    assert any("its log never let it leave" in one for one in found)


def test_an_update_that_counts_without_a_report_is_a_fault(whole: Finished, tmp_path: Path) -> None:
    lines = [
        line
        for line in whole.lines(OWN)
        if not (kind_of(line) == "conformance-received" and b'"site":"west"' in line)
    ]
    found = faults(whole.rewritten(OWN, lines), tmp_path)
    assert any("an update of west counts, and no report" in one for one in found)


def test_a_report_that_discloses_otherwise_is_a_fault(whole: Finished, tmp_path: Path) -> None:
    name = _name(whole, "west")
    key = whole.keys["site/west"]
    report = opened(whole.files[name], ConformanceReport, key=key.public)
    forged = signed(report.model_copy(update={"noised": ()}), key)

    def pointing(facts: dict[str, Any]) -> None:
        facts["report"], facts["noised"] = digest_of(forged), []

    changed = altered(whole, pointing)
    found = faults(whole.listed(changed | {name: forged}), tmp_path)
    assert any("the conformance report of west is refused: its noised counts" in o for o in found)


def test_a_count_that_was_not_charged_is_a_fault(whole: Finished, tmp_path: Path) -> None:
    lines = [
        line
        for line in whole.lines("site/west")
        if not (kind_of(line) == "reserved" and b"conformance-" in line)
    ]
    found = faults(whole.rewritten("site/west", lines), tmp_path)
    assert any("west reported a count whose charge is not in its log" in one for one in found)


def _name(whole: Finished, site: str) -> str:
    (name,) = (one for one in whole.files if one.startswith(f"conformance/{site}-"))
    return name
