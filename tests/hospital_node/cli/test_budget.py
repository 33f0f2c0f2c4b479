"""`hospital-node budget`, as a person types it, also while another command owns the home."""

import csv
import io
import json
from pathlib import Path

import pytest

from hospital_node.config import NodeHome
from hospital_node.privacy.ledger import Ledger, Row
from schemas.gate import ModelGate
from schemas.gate_power import power
from schemas.privacy import Spend
from schemas.update import EvaluateRequest, Evaluation, Update
from tests.desk import desk
from tests.hospital_node.privacy.accounts import entry
from tests.study import Study, command, made


def said(capsys: pytest.CaptureFixture[str], *words: object, expect: int = 0) -> str:
    capsys.readouterr()
    command(*words, expect=expect)
    streams = capsys.readouterr()
    return streams.err if expect else streams.out


def test_what_was_spent_is_read_while_a_session_owns_the_home(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with desk(tmp_path, private=True) as one:
        update = one.asked()
        assert isinstance(update, Update)
        assert update.privacy is not None
        home = one.node.home.root
        shown = json.loads(said(capsys, "budget", "show", "--home", home, "--json"))
        assert shown["parts"]["train"]["rdp"] == update.privacy.spent.rdp
        assert shown["parts"]["train"]["releases"] == 1
        assert shown["parts"]["train"]["without_privacy"] == 0
        assert "east: privacy spent" in said(capsys, "budget", "show", "--home", home)
        row = Row.from_canonical(
            said(capsys, "budget", "export", "--home", home).encode().split()[0]
        )
        assert row.entry.request == update.request
        ahead = said(capsys, "budget", "forecast", one.study.plan, "--home", home)
        assert "First round that would be refused: none" in ahead
        assert "match the signed tree head" in said(capsys, "audit", "verify", "--home", home)
        assert "Approved:" in said(capsys, "policy", "show", "--home", home)


def test_releases_without_privacy_are_counted_wherever_an_epsilon_is_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with desk(tmp_path) as one:
        home = one.node.home.root
        show = ("budget", "show", "--home", home)
        assert "WITHOUT PRIVACY" not in said(capsys, *show)
        packet = one.packet()
        assert isinstance(one.read(one.answer(packet)), Update)
        assert isinstance(one.read(one.answer(packet)), Update)  # stored: the same release
        assert isinstance(one.asked(EvaluateRequest), Evaluation)
        expected = {"train": 1, "validation": 1}
        parts = json.loads(said(capsys, *show, "--json"))["parts"]
        assert {part: row["without_privacy"] for part, row in parts.items()} == expected
        assert [row["releases"] for row in parts.values()] == [0, 0]
        forecast = ("budget", "forecast", one.study.plan, "--home", home)
        assert json.loads(said(capsys, *forecast, "--json"))["without_privacy"] == expected
        for words in (show, forecast):
            text = " ".join(said(capsys, *words).split())
            assert "2 releases left WITHOUT PRIVACY" in text
            assert "(1 updates, 1 evaluations)" in text
    approve = ("policy", "approve", one.study.plan, "--home", home, "--approver", "A. Steward")
    assert "2 releases left WITHOUT PRIVACY" in said(capsys, *approve, "--without-privacy")
    found = json.loads(said(capsys, *approve, "--without-privacy", "--json"))
    assert found["without_privacy"] == expected


def test_a_forecast_says_what_the_gate_would_notice_and_what_it_assumes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sites = [{"site": one, "expected_patients": 600.0} for one in ("east", "north", "west")]
    gate = {"margin": 0.02, "site_margin": 0.1}
    study: Study = made(tmp_path, private=True, approve=False, sites=sites, gate=gate)
    words = ("budget", "forecast", study.plan, "--home", study.nodes["east"])
    found = json.loads(said(capsys, *words, "--json"))["gate_power"]
    halves = dict.fromkeys(("east", "north", "west"), (200.0, 200.0))  # 0.4 of 1000 validate
    expected = power(ModelGate(margin=0.02, site_margin=0.1), halves, bins=10, noise_multiplier=3.0)
    assert found["stratified"] == pytest.approx(expected.stratified)
    assert found["sites"] == pytest.approx(dict(expected.sites))
    assert found["assumes"].startswith("40% of the patients validate (by the contract)")
    text = said(capsys, *words)
    assert f"{expected.stratified:.3f}" in text
    assert "Assumed: 40%" in text
    (tmp_path / "small.contract.toml").unlink()
    assert "20% of the patients validate (assumed)" in said(capsys, *words)


def test_a_gate_that_cannot_notice_anything_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = made(tmp_path, private=True, approve=False, gate={})
    text = said(capsys, "budget", "forecast", study.plan, "--home", study.nodes["east"])
    assert text.count("never: too few patients") == 4


def test_an_export_holds_every_row_in_either_form(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = made(tmp_path, approve=False)
    home = NodeHome(study.nodes["east"])
    with Ledger(home.ledger) as ledger:
        for name in "abc":
            ledger.reserve(entry(name), limit=100.0, delta=1e-4)
        ledger.commit("a")
        ledger.void("b")
        rows = ledger.rows()
    lines = said(capsys, "budget", "export", "--home", home.root).encode().splitlines()
    assert tuple(map(Row.from_canonical, lines)) == rows
    out = tmp_path / "ledger.csv"
    words = ("budget", "export", "--home", home.root, "--format", "csv", "--out", out)
    assert said(capsys, *words) == "5 rows written to ledger.csv.\n"
    table = list(csv.DictReader(io.StringIO(out.read_text())))
    assert [(one["request"], one["status"]) for one in table] == [
        *(("a", "reserved"), ("b", "reserved"), ("c", "reserved")),
        *(("a", "committed"), ("b", "voided")),
    ]
    last = table[2]
    assert (
        Spend(delta=float(last["delta"]), rdp=float(last["rdp"]), pld=float(last["pld"]))
        == rows[2].spend
    )
    assert float(last["noise_multiplier"]) == rows[2].entry.event.noise_multiplier
    assert "export refused: ledger.csv is there already" in said(capsys, *words, expect=2)


def test_a_ledger_that_the_journal_contradicts_is_not_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with desk(tmp_path, private=True) as one:
        older = one.node.home.ledger.read_bytes()
        one.asked()
        one.node.home.ledger.write_bytes(older)
        for words in (("show",), ("export",), ("forecast", one.study.plan)):
            text = said(capsys, "budget", *words, "--home", one.node.home.root, expect=7)
            assert "a charge in the journal that the ledger does not have" in text


def test_a_changed_cap_is_said_as_one_object(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = made(tmp_path)
    words = ("policy", "limit", "--home", study.nodes["east"], "--approver", "A. Steward")
    shown = json.loads(said(capsys, *words, "--epsilon", 4, "--json"))
    assert shown == {"delta": 0.0001, "epsilon": 4.0}
