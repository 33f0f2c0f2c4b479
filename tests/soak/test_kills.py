"""A killed federation never spends too little and always goes on: 10 kills, 200 in the soak."""

import subprocess
import sys
from pathlib import Path

import pytest

from hospital_node.config import NodeHome
from hospital_node.policy import Limit, set_limit
from tests.study import PRIVATE, made

ROOT = Path(__file__).parents[2]


def campaign(folder: Path, kills: int, seed: int) -> list[int]:
    """Kill a federation this many times; return how many replies had left after each."""
    quiet = PRIVATE["privacy"] | {"noise_multiplier": 30.0}
    evaluation = {"rounds": [1, 3], "bins": 10, "noise_multiplier": 30.0}
    study = made(folder, private=True, rounds=3, privacy=quiet, evaluation=evaluation)
    for home in study.nodes.values():
        set_limit(NodeHome(home), Limit(epsilon=200.0, delta=1e-4))
    command = [sys.executable, "-m", "tests.soak.campaign", str(folder), str(kills), str(seed)]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603 - our own
    assert found.returncode == 0, found.stderr[-3000:]
    return [int(line.split()[1]) for line in found.stdout.splitlines()]


def test_ten_kills_at_random_moments_never_make_a_release_free(tmp_path: Path) -> None:
    left = campaign(tmp_path, 10, seed=11)
    assert len(left) == 10
    assert left[-1] > 0


@pytest.mark.soak
def test_two_hundred_kills_at_random_moments_never_make_a_release_free(tmp_path: Path) -> None:
    left = campaign(tmp_path, 200, seed=12)
    assert len(left) == 200
    assert left == sorted(left), "what was received stays received"
    assert left[-1] > 200
