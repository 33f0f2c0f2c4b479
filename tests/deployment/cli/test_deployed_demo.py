"""`consilium demo --deployed`: the same demo, with every party as a process over TLS."""

import json
from pathlib import Path
from typing import Any

import pytest

import deployment.cli
from aggregator.run_state import StateFile
from schemas.command_line import run
from tests.processes import processes_about
from tests.study import CONTRACT, PLAN, SITES, write_hospital, write_toml

BY_COLUMN = {"parts": {"kind": "column", "column": "part"}}
"""The same parts in every home; by a hash they follow each home's own key."""


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    """Write a plan without privacy, and hospitals of which one's data do not fit."""
    for number, site in enumerate(SITES):
        write_hospital(tmp_path / "data" / site, number)
        parted(tmp_path / "data" / site / "labels.csv")
    misfit = tmp_path / "data" / "north" / "labels.csv"
    misfit.write_text(misfit.read_text().replace("label", "finding", 1))
    cohort = CONTRACT["cohort"] | BY_COLUMN
    write_toml(tmp_path / "plans" / "small.contract.toml", CONTRACT | {"cohort": cohort})
    write_toml(tmp_path / "plans" / "small.plan.toml", PLAN)
    return tmp_path / "plans" / "small.plan.toml"


def parted(labels: Path) -> None:
    """Add the part of each row: two patients of five are for validation."""
    head, *rows = labels.read_text().splitlines()
    patients = sorted({row.split(",")[1] for row in rows})
    part = {one: "val" if at % 5 < 2 else "train" for at, one in enumerate(patients)}
    rows = [f"{row},{part[row.split(',')[1]]}" for row in rows]
    labels.write_text("\n".join([f"{head},part", *rows, ""]))


def shown(
    place: Path, plan: Path, capsys: pytest.CaptureFixture[str], *more: str
) -> dict[str, Any]:
    data = plan.parent.parent / "data"
    words = ["demo", "--plan", plan, "--data", data, "--workdir", place, "--json", *more]
    assert run(deployment.cli.app, [str(one) for one in words]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return found


def accepted(place: Path) -> str:
    [states] = (place / "aggregator" / "runs").glob("*/states.jsonl")
    last = StateFile(states).last()
    assert last is not None
    return last.accepted.arrays


def test_processes_over_tls_come_to_the_same_model_as_one_process(
    tmp_path: Path, plan: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = shown(tmp_path / "embedded", plan, capsys)
    many = shown(tmp_path / "deployed", plan, capsys, "--deployed")
    assert accepted(tmp_path / "deployed") == accepted(tmp_path / "embedded")
    for each in (one, many):
        for place in ("workdir", "seconds", "report", "bundle"):
            del each[place]
        for ended in each["rounds"]:
            del ended["seconds"]
    assert many == one
    assert [site["patients"] for site in many["sites"]] == [30, None, 30]
    assert many["bundle_verified"]
    report = next((tmp_path / "deployed").glob("aggregator/reports/*/report.json"))
    assert json.loads(report.read_text())["run"] in report.parts
    for site in ("east", "west"):
        assert "Serving" in (tmp_path / "deployed" / "logs" / f"{site}.log").read_text()
    assert not processes_about(tmp_path / "deployed")
