"""`consilium init-weights`: what a study lead is told when a plan is pinned."""

import json
from pathlib import Path

import pytest

import deployment.cli
from schemas.command_line import run
from schemas.gate import ModelGate
from schemas.gate_power import power
from tests.study import SITES, made


def test_it_says_what_the_gate_would_notice_and_what_it_assumes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sites = [{"site": one, "expected_patients": 600.0} for one in SITES]
    gate = {"margin": 0.02, "site_margin": 0.1}
    study = made(tmp_path, private=True, approve=False, sites=sites, gate=gate)
    capsys.readouterr()
    assert run(deployment.cli.app, ["init-weights", str(study.plan), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["gate_power"]
    halves = dict.fromkeys(SITES, (200.0, 200.0))  # 0.4 of 1000 validate
    expected = power(ModelGate(margin=0.02, site_margin=0.1), halves, bins=10, noise_multiplier=3.0)
    assert found["stratified"] == pytest.approx(expected.stratified)
    assert found["sites"] == pytest.approx(dict(expected.sites))
    assert run(deployment.cli.app, ["init-weights", str(study.plan)]) == 0
    said = capsys.readouterr().out
    assert f"from: at all sites alike {expected.stratified:.3f}; at one site alone: east " in said
    assert "Assumed: 40% of the patients validate (by the contract)" in said


def test_a_gate_that_can_notice_nothing_is_told_before_anyone_pays(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = made(tmp_path, private=True, approve=False, gate={})
    capsys.readouterr()
    assert run(deployment.cli.app, ["init-weights", str(study.plan)]) == 0
    assert capsys.readouterr().out.count("never: too few patients") == 4
