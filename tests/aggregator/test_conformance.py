"""Conformance reports in a run: they come beside replies, are recorded, and may be needed."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import aggregator.cli
from aggregator.config import AggregatorHome
from aggregator.conformance import kept
from hospital_node.node import opened as opened_node
from schemas.audit.events import (
    ConformanceReceived,
    Quarantined,
    RefusalReceived,
    ReplyReceived,
    RunClosed,
)
from schemas.audit.exchange import Shared
from schemas.command_line import run
from schemas.conformance import ConformanceReport, DeclaredCount, undisclosed
from schemas.contract import DataContract
from schemas.errors import QuorumLost
from schemas.names import digest_of
from schemas.wire.envelope import opened, signed
from schemas.wire.packet import Packet
from tests import study
from tests.reporting import copied, report, reporting


def beside(reply: Packet, change: Callable[[str | None], str | None]) -> Packet:
    """Change the report beside a reply."""
    part = Shared.from_canonical(reply.audit)
    return replace(
        reply,
        audit=part.model_copy(update={"conformance": change(part.conformance)}).canonical(),
    )


def test_every_site_counts_once_its_report_came_and_each_report_is_recorded_once(
    tmp_path: Path,
) -> None:
    one = reporting(tmp_path)
    with study.conducting(one) as (_, conducted, seen):
        state = conducted()
    assert {source.site for source in state.sources} == set(study.SITES)
    reports = [facts for facts in seen if isinstance(facts, ConformanceReceived)]
    assert {facts.site for facts in reports} == set(study.SITES)
    assert len(reports) == 3
    for facts in reports:
        sent = (tmp_path / f"{facts.site}.report.json").read_bytes()
        assert facts.report == digest_of(sent)
        assert facts.code == "conforms"
        assert facts.declared == (DeclaredCount(part="validation", patients=11),)
        assert [count.part for count in facts.noised] == ["train"]
        (path,) = kept(AggregatorHome(one.aggregator), facts.contract, facts.site)
        assert path.read_bytes() == sent
    assert not [facts for facts in seen if isinstance(facts, Quarantined)]


def test_a_site_that_lets_no_report_leave_refuses_where_the_plan_needs_one(tmp_path: Path) -> None:
    one = reporting(tmp_path, silent=("west",))
    with study.conducting(one) as (_, conducted, seen):
        state = conducted()
    assert {source.site for source in state.sources} == {"east", "north"}
    refused = {(facts.site, facts.code) for facts in seen if isinstance(facts, RefusalReceived)}
    assert refused == {("west", "cohort-unfit")}


def test_where_no_report_is_needed_a_silent_site_counts(tmp_path: Path) -> None:
    one = reporting(tmp_path, needed=False, silent=("west",))
    with study.conducting(one) as (_, conducted, seen):
        state = conducted()
    assert {source.site for source in state.sources} == set(study.SITES)
    reports = {facts.site for facts in seen if isinstance(facts, ConformanceReceived)}
    assert reports == {"east", "north"}


def test_a_site_whose_report_is_kept_from_the_aggregator_does_not_count(tmp_path: Path) -> None:
    one = reporting(tmp_path)

    def tamper(site: str, reply: Packet) -> Packet:
        return beside(reply, lambda _: None) if site == "west" else reply

    with study.conducting(one, tamper) as (_, conducted, seen):
        state = conducted()
    assert {source.site for source in state.sources} == {"east", "north"}
    left_out = {
        (facts.site, facts.check, facts.reason) for facts in seen if isinstance(facts, Quarantined)
    }
    reason = "reply refused: no conformance report of the site counts, the plan needs one"
    assert left_out == {("west", "conformance", reason)}


def forged(one: study.Study, site: str, changes: dict[str, object]) -> str:
    """Sign a changed report as the site itself could."""
    content = (one.folder / f"{site}.report.json").read_bytes()
    with opened_node(one.folder / site) as node:
        whole = opened(content, ConformanceReport, key=node.key.public)
        return signed(whole.model_copy(update=changes), node.key).decode()


FORGED: dict[str, tuple[dict[str, object], str]] = {
    "another contract": ({"contract": digest_of(b"")}, "it is about another contract"),
    "another site": ({"site": "east"}, "it names another federation or site"),
    "another federation": ({"federation": "u"}, "it names another federation or site"),
    "no declared count": ({"declared": ()}, "its declared counts are not those"),
    "a count that is not disclosed": (
        {"declared": (DeclaredCount(part="train", patients=3),)},
        "its declared counts are not those",
    ),
    "no noised count": ({"noised": ()}, "its noised counts are not those"),
    "a head that nobody signed": ({"head": "t\n1\nAA==\n"}, "its journal head is not signed"),
    "a cohort that does not conform": (
        {"code": "does-not-conform"},
        "the site's report says does-not-conform",
    ),
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> study.Study:
    return reporting(tmp_path_factory.mktemp("whole") / "study")


@pytest.mark.parametrize("story", FORGED)
def test_a_report_that_is_not_what_it_must_be_leaves_its_site_out(
    whole: study.Study, tmp_path: Path, story: str
) -> None:
    changes, reason = FORGED[story]
    one = copied(whole, tmp_path / "study")
    content = forged(one, "west", changes)

    def tamper(site: str, reply: Packet) -> Packet:
        return beside(reply, lambda _: content) if site == "west" else reply

    with study.conducting(one, tamper) as (_, conducted, seen):
        state = conducted()
    assert {source.site for source in state.sources} == {"east", "north"}
    faults = [facts for facts in seen if isinstance(facts, Quarantined)]
    assert {(facts.site, facts.check) for facts in faults} == {("west", "conformance")}
    assert all(reason in facts.reason for facts in faults)


def test_another_sites_report_is_not_this_sites(whole: study.Study, tmp_path: Path) -> None:
    one = copied(whole, tmp_path / "study")
    content = (one.folder / "east.report.json").read_text()

    def tamper(site: str, reply: Packet) -> Packet:
        return beside(reply, lambda _: content) if site == "west" else reply

    with study.conducting(one, tamper) as (_, conducted, seen):
        conducted()
    faults = [facts for facts in seen if isinstance(facts, Quarantined)]
    assert {(facts.site, facts.check) for facts in faults} == {("west", "conformance")}


def test_an_older_report_does_not_take_the_place_of_a_newer_one(
    whole: study.Study, tmp_path: Path
) -> None:
    one = copied(whole, tmp_path / "study")
    older = (one.folder / "west.report.json").read_bytes()
    with opened_node(one.folder / "west") as node:
        first = opened(older, ConformanceReport, key=node.key.public)
        head = node.journal.head()
        newer = signed(
            first.model_copy(update={"head": head, "code": "no-cohort", "noised": ()}), node.key
        )
    sent = iter([newer.decode(), older.decode(), older.decode()])

    def tamper(site: str, reply: Packet) -> Packet:
        return beside(reply, lambda _: next(sent, None)) if site == "west" else reply

    with study.conducting(one, tamper) as (_, conducted, seen):
        conducted()
    reports = [facts for facts in seen if isinstance(facts, ConformanceReceived)]
    assert [facts.code for facts in reports if facts.site == "west"] == ["no-cohort"]
    counted = [facts.site for facts in seen if isinstance(facts, ReplyReceived)]
    assert "west" in counted
    faults = {facts.site for facts in seen if isinstance(facts, Quarantined)}
    assert faults == {"west"}


def test_without_any_report_no_quorum_comes(tmp_path: Path) -> None:
    one = reporting(tmp_path, silent=study.SITES)
    with study.conducting(one) as (_, conducted, seen), pytest.raises(QuorumLost):
        conducted()
    assert [facts.accepted for facts in seen if isinstance(facts, RunClosed)] == [None]


def test_who_withdraws_patients_reports_anew(whole: study.Study, tmp_path: Path) -> None:
    one = copied(whole, tmp_path / "study")
    table = (one.folder / "data" / "west" / "labels.csv").read_text().splitlines()
    place = table[0].split(",").index("patient_id")
    patients = tmp_path / "withdrawn.txt"
    patients.write_text(table[1].split(",")[place] + "\n")
    words = ("cohort", "withdraw", "--home", one.folder / "west", "--patients", patients)
    study.command(*words, "--approver", "A. Steward")
    with study.conducting(one) as (_, conducted, seen):
        conducted()
    assert {facts.site for facts in seen if isinstance(facts, RefusalReceived)} == {"west"}
    report(one, "west")
    with study.conducting(one) as (_, conducted, seen):
        state = conducted()
    assert {source.site for source in state.sources} == set(study.SITES)


def test_the_report_on_a_run_shows_what_sites_said(
    whole: study.Study, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = copied(whole, tmp_path / "study")
    with study.conducting(one) as (_, conducted, _):
        name = conducted().run
    words = ["audit", "report", "--home", str(one.aggregator), "--run", name, "--json"]
    capsys.readouterr()
    assert run(aggregator.cli.app, words) == 0
    written = json.loads(capsys.readouterr().out)
    page = Path(written["html"]).read_text()
    assert "Conformance reports" in page
    assert "validation 11" in page
    told = json.loads(Path(written["json"]).read_text())
    assert {row["site"]: row["code"] for row in told["conformance"]} == dict.fromkeys(
        study.SITES, "conforms"
    )


def test_a_report_discloses_what_the_contract_does_and_no_more(whole: study.Study) -> None:
    content = (whole.folder / "west.report.json").read_bytes()
    with opened_node(whole.folder / "west") as node:
        found = opened(content, ConformanceReport, key=node.key.public)
    agreed = DataContract.from_toml((whole.folder / "small.contract.toml").read_text())
    assert undisclosed(found, agreed) == ""
    for changes in (
        {"code": "no-cohort"},
        {"noised": ()},
        {"noised": found.noised * 2},
        {"declared": found.declared * 2},
        {"contract": digest_of(b"")},
    ):
        assert undisclosed(found.model_copy(update=changes), agreed)
    without = found.model_copy(update={"code": "no-cohort", "noised": ()})
    assert undisclosed(without, agreed) == ""
