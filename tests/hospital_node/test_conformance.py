"""What leaves about a cohort: conforms or not, declared counts, and noised ones, charged."""

from collections.abc import Mapping
from pathlib import Path

import pytest

import hospital_node.cli
from hospital_node.config import NodeHome
from hospital_node.node import opened as opened_node
from hospital_node.privacy.ledger import Ledger
from schemas.command_line import run
from schemas.conformance import ConformanceReport
from schemas.wire.envelope import opened
from tests import study

NOISED = {
    "statistic": "patients",
    "part": "train",
    "price": {"kind": "noised", "noise_multiplier": 4.0},
}
DECLARED = {"statistic": "patients", "part": "validation", "price": {"kind": "declared"}}


def made(folder: Path, *disclosures: Mapping[str, object]) -> study.Study:
    """Make a study whose hospital has the cohort of a contract that discloses this."""
    one = study.made(folder, approve=False)
    with one.opened():
        pass  # enrols every node
    study.write_toml(folder / "small.contract.toml", study.CONTRACT | {"disclosures": disclosures})
    study.ingest(one, "east")
    return one


def report(one: study.Study, *words: str, expect: int = 0) -> bytes:
    out = one.folder / "report.json"
    command = ["cohort", "report", "--home", one.folder / "east", "--out", out]
    command += [
        "--contract",
        one.folder / "small.contract.toml",
        "--approver",
        "A. Steward",
        *words,
    ]
    assert run(hospital_node.cli.app, [str(word) for word in command]) == expect
    return out.read_bytes() if out.exists() else b""


def read(one: study.Study, content: bytes) -> ConformanceReport:
    with opened_node(one.folder / "east") as node:
        return opened(content, ConformanceReport, key=node.key.public)


def charged(one: study.Study) -> list[str]:
    with Ledger(NodeHome(one.folder / "east").ledger) as ledger:
        return [row.status for row in ledger.rows()]


def test_without_a_disclosure_no_count_leaves(tmp_path: Path) -> None:
    one = made(tmp_path)
    found = read(one, report(one))
    assert (found.code, found.declared, found.noised) == ("conforms", (), ())
    assert charged(one) == []


def test_a_noised_count_is_charged_once_and_said_once(tmp_path: Path) -> None:
    one = made(tmp_path, NOISED, DECLARED)
    first = report(one, "--declare", "validation=11")
    found = read(one, first)
    assert [(count.part, count.patients) for count in found.declared] == [("validation", 11)]
    (count,) = found.noised
    assert count.privacy.event.noise_multiplier == 4.0
    assert count.privacy.spent.rdp > 0
    assert abs(count.patients - 18) < 4.0 * 20, "thirty patients, 0.4 of them for validation"
    assert charged(one) == ["reserved", "committed"]
    assert report(one, "--declare", "validation=11") == first
    assert charged(one) == ["reserved", "committed"]
    assert run(hospital_node.cli.app, ["audit", "verify", "--home", str(one.folder / "east")]) == 0


def test_a_count_over_the_budget_is_refused_and_nothing_leaves(tmp_path: Path) -> None:
    dear = {**NOISED, "price": {"kind": "noised", "noise_multiplier": 0.05}}
    one = made(tmp_path, dear)
    assert report(one, expect=5) == b""
    assert charged(one) == []


@pytest.mark.parametrize("words", [(), ("--declare", "train=3"), ("--declare", "validation=x")])
def test_only_the_counts_of_the_contract_are_declared(
    tmp_path: Path, words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    one = made(tmp_path, DECLARED)
    assert report(one, *words, expect=2) == b""
    assert "refused: " in capsys.readouterr().err


def test_a_site_without_a_cohort_says_so_and_no_more(tmp_path: Path) -> None:
    one = made(tmp_path, NOISED)
    study.write_toml(
        one.folder / "small.contract.toml", study.CONTRACT | {"title": "x", "disclosures": [NOISED]}
    )
    found = read(one, report(one))
    assert (found.code, found.noised) == ("no-cohort", ())
    assert charged(one) == []
