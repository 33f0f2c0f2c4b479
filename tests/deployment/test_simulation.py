"""Plans played at invented hospitals: who is away, who poisons, and what comes of it."""

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import deployment.cli
from deployment.invented_sites import HELD_OUT, Scenario
from deployment.poison import POISONS
from schemas.command_line import run
from tests.benchmarks.simulation import CONTRACT, PLAN, measured, parameters
from tests.study import write_toml


def plan(folder: Path, **changes: Any) -> Path:
    small = {"network": {"kind": "convolutional", "channels": [4, 8], "groups": 2}}
    (folder / CONTRACT.name).write_bytes(CONTRACT.read_bytes())
    write_toml(folder / "plan.toml", PLAN | small | changes)
    return folder / "plan.toml"


def simulated(
    capsys: pytest.CaptureFixture[str], path: Path, *words: str, expect: int = 0
) -> dict[str, Any]:
    capsys.readouterr()
    assert run(deployment.cli.app, ["simulate", str(path), *words, "--json"]) == expect
    out = capsys.readouterr().out
    found: dict[str, Any] = json.loads(out.splitlines()[-1]) if out else {}
    return found


class Cells(HTMLParser):
    """The cells of a page's table."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.cells: list[str] = []
        self.is_open = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        del attrs
        self.is_open = tag in {"td", "th"}
        if self.is_open:
            self.cells.append("")

    def handle_endtag(self, tag: str) -> None:
        del tag
        self.is_open = False

    def handle_data(self, data: str) -> None:
        if self.is_open:
            self.cells[-1] += data


def test_poisoners_are_named_and_left_out_and_the_page_shows_what_was_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "page.html"
    words = ["--sites", "4", "--patients", "10", "--poisoners", "1", "--attack", "not-a-number"]
    found = simulated(capsys, plan(tmp_path), *words, "--out", str(out))
    assert [one["round"] for one in found["rounds"]] == [1, 2]
    assert [one["quarantined"] for one in found["rounds"]] == [["site-1"], ["site-1"]]
    assert [one["updates"] for one in found["rounds"]] == [4, 4]
    assert found["rounds"][0]["released"] is None
    assert all(0 <= one["held_out"] <= 1 for one in found["rounds"])
    text = out.read_text()
    cells = Cells(text).cells
    assert cells.count("site-1") == 2
    assert [f"{one['held_out']:.3f}" for one in found["rounds"]] == [cells[11], cells[17]]
    assert "<polyline" in text
    assert "<script" not in text


def test_too_many_absences_end_the_run_and_say_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--sites", "3", "--patients", "8", "--dropout", "1", "--rounds", "1"]
    found = simulated(capsys, plan(tmp_path), *words)
    assert found["ended"].startswith("round 1 abandoned: 0 usable updates came, the plan needs 2")
    assert [one["verdict"] for one in found["rounds"]] == ["abandoned"]
    assert found["accepted_round"] is None


def test_a_plan_that_does_not_fit_so_many_sites_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    median = {"aggregation": {"algorithm": "fedavg", "combiner": {"kind": "median"}}}
    simulated(capsys, plan(tmp_path, **median), "--sites", "2", expect=2)
    simulated(capsys, plan(tmp_path), "--sites", "2", "--poisoners", "3", expect=2)


def test_absences_and_prevalences_are_drawn_from_the_seed() -> None:
    scenario = Scenario(50, 10, dropout=0.3, skew=1.0, seed=4)
    again = Scenario(50, 10, dropout=0.3, skew=1.0, seed=4)
    other = Scenario(50, 10, dropout=0.3, skew=1.0, seed=5)

    def drawn(of: Scenario) -> list[tuple[float, bool]]:
        return [(of.prevalence(one), of.is_away(one, 2)) for one in of.names]

    assert drawn(scenario) == drawn(again) != drawn(other)
    away = np.mean([scenario.is_away(one, number) for one in again.names for number in range(40)])
    assert 0.2 < away < 0.4
    shares = [scenario.prevalence(one) for one in scenario.names]
    assert (min(shares), max(shares)) == (0.05, 0.95)
    assert np.mean(shares) == pytest.approx(0.5)
    assert scenario.prevalence(HELD_OUT) == 0.5
    assert {Scenario(9, 10).prevalence(one) for one in Scenario(9, 10).names} == {0.5}


def test_a_poison_changes_what_it_says() -> None:
    delta = np.array([1.0, -2.0], dtype=np.float32)
    assert np.isnan(POISONS["not-a-number"](delta)).all()
    assert POISONS["scaled"](delta).tolist() == [100.0, -200.0]
    assert POISONS["sign-flip"](delta).tolist() == [-10.0, 20.0]


@pytest.mark.soak
def test_a_hundred_sites_take_the_memory_of_ten() -> None:
    assert parameters() > 1_200_000
    assert measured()["memory_ratio"] <= 1.3


MASKED: dict[str, Any] = {
    "protection": {"kind": "masked"},
    "update_gate": {"max_norm": 1000.0},
    "rounds": 1,
    "evaluation": {"rounds": [1], "protection": "masked"},
    "sites": [{"site": one} for one in "abc"],
    "participation": {"quorum": 3},
}


def test_a_masked_plan_is_played(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    found = simulated(capsys, plan(tmp_path, **MASKED), "--sites", "4", "--patients", "12")
    assert (found["ended"], [one["updates"] for one in found["rounds"]]) == ("done", [4])


def test_masked_updates_cannot_be_poisoned_on_their_way(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    words = ("--sites", "4", "--poisoners", "1", "--attack", "sign-flip")
    simulated(capsys, plan(tmp_path, **MASKED), *words, expect=2)
