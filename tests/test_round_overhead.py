"""The benchmark of a round's framework time runs over the code as it stands."""

from pathlib import Path

from tests.benchmarks.round_overhead import whole


def test_a_round_is_timed_beside_its_slowest_training(tmp_path: Path) -> None:
    found = whole(tmp_path, rounds=3).told()
    assert set(found) == {"overhead_s", "round_s", "train_s"}
    assert 0 < found["train_s"] < found["round_s"]
    assert 0 < found["overhead_s"] < found["round_s"]
