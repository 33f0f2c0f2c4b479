"""Kept conformance reports after their site's key was replaced."""

from pathlib import Path

import pytest

import aggregator.cli
from aggregator.audit.bundle import bundled
from aggregator.config import AggregatorHome, load_config, write_config
from aggregator.conformance import Said, examined
from aggregator.federation import opened as opened_federation
from aggregator.tls import make_tls
from schemas.audit.verification.container import Container
from schemas.command_line import run
from schemas.enrolment import fingerprint_of
from schemas.names import digest_of
from schemas.plan import TrainingPlan
from schemas.wire.keys import SigningKey
from tests import study
from tests.reporting import report, reporting

ADDRESS = "127.0.0.1:9"


@pytest.fixture
def reported(tmp_path: Path) -> study.Study:
    """Return a study with one run behind it, for which every site reported."""
    one = reporting(tmp_path)
    home = AggregatorHome(one.aggregator)
    config = load_config(home).model_copy(update={"address": ADDRESS})
    write_config(home, config)
    make_tls(home.tls, federation=config.federation, address=ADDRESS)
    root = fingerprint_of(SigningKey.load(home.root / "keys" / "root").public)
    with (one.nodes["west"] / "node.toml").open("a", encoding="utf-8") as file:
        file.write(f'[aggregator]\naddress = "{ADDRESS}"\nfingerprint = "{root}"\n')
    with study.conducting(one) as (_, conducted, _):
        conducted()
    return one


def rotated(one: study.Study, site: str, *options: str) -> None:
    """Replace a site's keys, as persons on both sides do."""
    request, answer = one.folder / "rotation.json", one.folder / "admission.json"
    study.command("enrol", "rotate", "--home", one.nodes[site], "--out", request)
    heard = ("--digest", digest_of(request.read_bytes()))
    home = ("--home", one.aggregator, *options)
    words = ("roster", "rotate", request, *heard, *home, "--out", answer)
    assert run(aggregator.cli.app, [str(word) for word in words]) == 0
    study.command("enrol", "install", answer, "--home", one.nodes[site])


def said(one: study.Study, content: bytes | None) -> Said:
    """Say what the site's next reply counts for, with this report beside it."""
    with opened_federation(one.aggregator) as federation:
        [path] = federation.home.runs.glob("*/plan.json")
        plan = TrainingPlan.from_canonical(path.read_bytes())
        member = federation.roster().member("west")
        assert member is not None
        text = None if content is None else content.decode()
        return examined(federation, path.parent.name, plan, member, text)


def test_a_report_counts_on_after_its_sites_key_was_replaced_as_planned(
    reported: study.Study,
) -> None:
    older = (reported.folder / "west.report.json").read_bytes()
    rotated(reported, "west")
    assert said(reported, None) == said(reported, older) == Said()


def test_a_newer_report_follows_one_of_the_key_before(reported: study.Study) -> None:
    rotated(reported, "west")
    found = said(reported, newer := report(reported, "west"))
    assert found.fault == ""
    assert found.new is not None
    assert found.new.report == digest_of(newer)


def test_under_a_lost_key_a_report_counts_no_more_and_bars_no_newer_one(
    reported: study.Study,
) -> None:
    older = (reported.folder / "west.report.json").read_bytes()
    rotated(reported, "west", "--compromised")
    for content in (None, older):
        assert "no conformance report of the site counts" in said(reported, content).fault
    found = said(reported, newer := report(reported, "west"))
    assert found.fault == ""
    assert found.new is not None
    assert found.new.report == digest_of(newer)


def test_a_bundle_holds_the_reports_of_revoked_sites_too(
    reported: study.Study, tmp_path: Path
) -> None:
    words = ["roster", "revoke", "--home", str(reported.aggregator), "--site", "west"]
    assert run(aggregator.cli.app, words) == 0
    home = AggregatorHome(reported.aggregator)
    [path] = home.runs.glob("*/plan.json")
    packed = tmp_path / "bundle.zip"
    packed.write_bytes(bundled(home, path.parent.name))
    container = Container(packed)
    names = {name for name in container.entries if name.startswith("conformance/")}
    container.close()
    assert names == {f"conformance/{site}-0001.json" for site in study.SITES}
