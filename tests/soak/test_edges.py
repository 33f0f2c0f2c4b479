"""A run killed before and after every edge of its table ends as the undisturbed one.

Five kills in the normal run, all of them in the soak.
"""

import json
import subprocess
import sys
from pathlib import Path
from random import Random
from typing import Any

import pytest

from hospital_node.config import NodeHome
from hospital_node.policy import Limit, set_limit
from tests.soak.edges import ALL_EDGES, CHANGES, kills
from tests.study import PRIVATE, made

ROOT = Path(__file__).parents[2]
PLACES = [f"{source}:{target}:{point}" for (source, target), point in kills()]
JUDGED = [1, 3, 4, 6]


def told(folder: Path, places: list[str], *, private: bool) -> list[dict[str, Any]]:
    """Run undisturbed and then with a kill at each place; return what came of each run."""
    changes: dict[str, Any] = CHANGES | {"evaluation": {"rounds": JUDGED, "bins": 10}}
    if private:
        changes["privacy"] = PRIVATE["privacy"] | {"noise_multiplier": 30.0}
        changes["evaluation"] |= {"noise_multiplier": 30.0}
    study = made(folder, private=private, **changes)
    for home in study.nodes.values():
        set_limit(NodeHome(home), Limit(epsilon=200.0, delta=1e-4))
    command = [sys.executable, "-m", "tests.soak.edges", str(folder), *places]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603 - our own
    assert found.returncode == 0, found.stderr[-3000:]
    return [json.loads(line) for line in found.stdout.splitlines()]


def hold_public(folder: Path, places: list[str]) -> None:
    undisturbed, *killed = told(folder, places, private=False)
    assert {(source, target) for _, source, target in undisturbed["edges"]} == set(ALL_EDGES)
    assert undisturbed["round"] == 6
    assert len(killed) == len(places)
    for place, one in zip(places, killed, strict=True):
        assert one["accepted"] == undisturbed["accepted"], place
        assert one["round"] == 6, place
        source, target, _ = place.split(":")
        taken = [(edge[1], edge[2]) for edge in one["edges"]]
        assert (source, target) in taken, f"{place}: the killed edge is not in the journal"


def hold_private(folder: Path, places: list[str]) -> None:
    undisturbed, *killed = told(folder, places, private=True)
    assert len(killed) == len(places)
    for place, one in zip(places, killed, strict=True):
        assert one["round"] == 6, place
        for site, spent in undisturbed["spent"].items():
            assert min(spent) > 0
            for part, least in zip(one["spent"][site], spent, strict=True):
                assert part >= least, f"{place}: {site} spent too little"


def test_a_run_killed_at_some_edges_ends_with_the_same_model(tmp_path: Path) -> None:
    hold_public(tmp_path / "study", Random(5).sample(PLACES, 4))  # noqa: S311 - which edges, and no secret


def test_a_private_run_killed_at_an_edge_ends_and_spends_no_less(tmp_path: Path) -> None:
    hold_private(tmp_path / "study", Random(6).sample(PLACES, 1))  # noqa: S311 - as above


@pytest.mark.soak
def test_a_run_killed_at_every_edge_ends_with_the_same_model(tmp_path: Path) -> None:
    hold_public(tmp_path / "study", PLACES)


@pytest.mark.soak
def test_a_private_run_killed_at_every_edge_ends_and_spends_no_less(tmp_path: Path) -> None:
    hold_private(tmp_path / "study", PLACES)
