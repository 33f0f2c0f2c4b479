"""The benchmark of aggregation runs over the code as it stands."""

from pathlib import Path

import pytest

from tests.benchmarks.aggregation import ARRAYS, measured, prepared

SITES = 5


@pytest.mark.parametrize("kind", ["ours", "flower"])
def test_a_round_of_replies_from_another_process_is_aggregated(tmp_path: Path, kind: str) -> None:
    prepared(tmp_path, ARRAYS * 1000, SITES)
    found = measured(tmp_path, SITES, kind)
    assert set(found) == {"copies", "seconds"}
    assert found["seconds"] > 0
