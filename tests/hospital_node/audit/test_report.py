"""The hospital's own report, of a site that took part in a whole study."""

import json
import re
from pathlib import Path

import pytest

import hospital_node.cli
from hospital_node.audit.plots import spending_plot
from hospital_node.audit.records import HospitalReport
from hospital_node.audit.report import render, report
from hospital_node.config import NodeHome
from hospital_node.node import opened
from schemas.audit.events import ForkSeen, Refused, ReplySent
from schemas.audit.lines import EVENTS, read_facts
from schemas.audit.notes import TreeHead, signed_head
from schemas.command_line import run
from schemas.files import owned
from schemas.names import now
from schemas.wire.keys import SigningKey
from tests.aggregator.audit.test_rendering import Page
from tests.study import Study, command, made

SECTIONS = {
    "verdicts",
    "left",
    "privacy",
    "decisions",
    "exceptions",
    "models",
    "software",
    "verify",
}


@pytest.fixture(scope="module")
def studied(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """A finished private study; west has not approved its plan, and refuses."""
    study = made(tmp_path_factory.mktemp("study"), private=True)
    policy = NodeHome(study.nodes["west"]).policy
    policy.write_text(policy.read_text().partition("[[approvals]]")[0])
    study.conducted()
    return study


def reported(study: Study, site: str) -> HospitalReport:
    return report(NodeHome(study.nodes[site]), generated=now())


def standings(made_report: HospitalReport) -> dict[str, str]:
    return {one.subject: one.standing for one in made_report.findings}


def test_everything_that_left_is_listed_once_by_digest_with_its_cost(studied: Study) -> None:
    found = reported(studied, "east")
    left = list(read_facts(studied.nodes["east"] / "journal", ReplySent))
    assert {one.sent_digest for one in found.sent} == {
        one.reply for one in left if isinstance(one, ReplySent)
    }
    assert [one.artefact for one in found.sent] == ["update", "histogram"] * 2
    assert all(one.is_charged and one.size_bytes for one in found.sent)
    assert {(one.part, one.releases, one.without_privacy) for one in found.parts} == {
        ("train", 2, 0),
        ("validation", 2, 0),
    }
    assert [one.spent.rdp for one in found.charges if one.part == "train"][-1] == pytest.approx(
        found.parts[0].spent.rdp
    )
    without_gate = {name: word for name, word in standings(found).items() if name != "gate"}
    assert without_gate == dict.fromkeys(["integrity", "privacy", "contract", "exceptions"], "PASS")


def test_a_refusal_is_told_with_the_hospitals_own_reason_until_it_is_erased(
    studied: Study,
) -> None:
    found = reported(studied, "west")
    refused = [
        one
        for one in read_facts(studied.nodes["west"] / "journal", Refused)
        if isinstance(one, Refused)
    ]
    assert len(found.refusals) == len(refused) > 0
    assert {one.code for one in found.refusals} == {"not-approved"}
    assert all(one.reason and one.reason.startswith("plan refused") for one in found.refusals)
    assert standings(found)["exceptions"] == "ATTENTION"
    assert found.sent == ()
    private = studied.nodes["west"] / "journal" / "private"
    kept = {path: path.read_bytes() for path in private.iterdir()}
    for path in kept:
        path.unlink()
    try:
        assert {one.reason for one in reported(studied, "west").refusals} == {None}
    finally:
        for path, content in kept.items():
            path.write_bytes(content)


def test_decisions_carry_the_persons_name(studied: Study) -> None:
    found = reported(studied, "east")
    assert [(one.person, one.decision) for one in found.decisions] == [
        ("A. Steward", "approved a plan, under the cap 8")
    ]


@pytest.mark.parametrize("site", ["east", "west"])
def test_the_page_is_whole_self_contained_and_says_what_the_record_says(
    studied: Study, site: str
) -> None:
    found = reported(studied, site)
    html = render(found)
    page = Page(html)
    assert page.open == []
    assert {one["id"] for one in page.named("section")} == SECTIONS
    assert page.named("script", "link", "img") == [{"rel": "icon", "href": "data:,"}]
    targets = [one["href"] for one in page.named("a")]
    assert targets
    assert all(one.startswith("#") for one in targets)
    for one in found.sent:
        assert one.sent_digest in html
    for word in ("compliant", "compliance"):
        assert word not in html.lower()
    assert len(page.named("polyline")) == (2 if site == "east" else 0)


def test_the_command_writes_page_and_record_while_another_owns_the_home(
    studied: Study, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = studied.nodes["east"]
    words = ["audit", "report", "--home", str(home), "--json"]
    with owned(home):
        assert run(hospital_node.cli.app, words) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    record = HospitalReport.from_canonical(Path(told["json"]).read_bytes())
    assert record.identity.site == "east"
    assert record.identity.federation == "t"
    assert Path(told["html"]).read_text() == render(record)
    assert Path(told["html"]).stat().st_mode & 0o077 == 0
    other = tmp_path / "own.html"
    command("audit", "report", "--home", home, "--out", other)
    assert other.with_suffix(".json").exists()


def test_a_changed_journal_and_a_fork_fail(tmp_path: Path) -> None:
    study = made(tmp_path)
    home = study.nodes["east"]
    stranger = SigningKey.generate()
    heads = [
        signed_head(TreeHead("t/aggregator", 3, bytes([one]) * 32), stranger) for one in (1, 2)
    ]
    with opened(home) as node:
        node.journal.append(ForkSeen(known=heads[0], shown=heads[1]))
    found = reported(study, "east")
    assert standings(found)["exceptions"] == "FAIL"
    assert "t/aggregator signed two histories" in found.incidents[0]
    path = home / "journal" / EVENTS
    path.write_bytes(re.sub(rb"A\. Steward", b"B. Steward", path.read_bytes(), count=1))
    assert standings(reported(study, "east"))["integrity"] == "FAIL"


def test_a_home_that_joined_nothing_and_released_nothing_has_a_report(tmp_path: Path) -> None:
    command("init", "--home", tmp_path / "new", "--site", "new")
    found = report(NodeHome(tmp_path / "new"), generated=now())
    html = render(found)
    assert "no federation joined" in html
    assert "Nothing has left yet." in html
    assert standings(found)["privacy"] == "PASS"
    assert standings(found)["contract"] == "ATTENTION"
    assert spending_plot(found.charges, limit=found.limit) is None


def test_releases_without_privacy_are_counted_and_marked(tmp_path: Path) -> None:
    study = made(tmp_path)
    study.conducted()
    found = reported(study, "north")
    assert sum(one.without_privacy for one in found.parts) == len(found.sent) == 4
    assert standings(found)["privacy"] == "ATTENTION"
    assert render(found).count("without privacy</span>") == 4
    assert any("WITHOUT PRIVACY" in one.decision for one in found.decisions)
